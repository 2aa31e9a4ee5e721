"""The cluster under the service, and Argo CD, which brings it there: for a service in Kubernetes alone."""

from __future__ import annotations

from typing import Final

from monitoring.dashboards.panels import Above, Below, Dashboard, Panel

_CADVISOR: Final = "Kubernetes (the kubelet's cAdvisor)"
_STATE: Final = "Kubernetes (kube-state-metrics)"
# The pod's own group and its pause container would be counted beside the containers in it.
_CONTAINERS: Final = 'container!="",container!="POD",image!=""'

KUBERNETES_CLUSTER: Final = Dashboard(
    "kubernetes-cluster",
    "Kubernetes Cluster Overview",
    "Nodes, pods and deployments of the cluster that the service runs in.",
    refresh="30s",
    over="6h",
    panels=(
        Panel(
            "How busy is each namespace?",
            "cores",
            "Processor time in use, in cores, by namespace.",
            {
                "{{namespace}}": f"sum by (namespace) "
                f"(rate(container_cpu_usage_seconds_total{{{_CONTAINERS}}}[$__rate_interval]))"
            },
            form="stacked",
            needs=_CADVISOR,
        ),
        Panel(
            "How much memory has each pod?",
            "bytes",
            "What can't be given back without killing it: the working set, without caches of files.",
            {
                "{{namespace}}/{{pod}}": f"sum by (namespace, pod) "
                f"(container_memory_working_set_bytes{{{_CONTAINERS}}})",
            },
            needs=_CADVISOR,
        ),
        Panel(
            "How busy is each pod of ours?",
            "cores",
            "Processor time in use, in cores, in the namespace inquiries-system.",
            {
                "{{pod}}": "sum by (pod) (rate(container_cpu_usage_seconds_total"
                f'{{{_CONTAINERS},namespace="inquiries-system"}}[$__rate_interval]))'
            },
            needs=_CADVISOR,
        ),
        Panel(
            "Which container is near its memory limit?",
            "share",
            "Working set of the limit, where there is one. At 100 % the kernel kills it.",
            {
                "{{pod}}/{{container}}": "sum by (namespace, pod, container) "
                f"(container_memory_working_set_bytes{{{_CONTAINERS}}})"
                " / (sum by (namespace, pod, container) "
                f"(container_spec_memory_limit_bytes{{{_CONTAINERS}}}) > 0"
                " or sum by (namespace, pod, container) "
                '(kube_pod_container_resource_limits{resource="memory"}))'
            },
            limits=Above(0.8, 0.95),
            needs="Kubernetes (cAdvisor, and kube-state-metrics where cAdvisor's limits are dropped)",
        ),
        Panel(
            "Which pods restart?",
            "count",
            "Restarts within the hour before. More than three is a loop.",
            {
                "{{namespace}}/{{pod}}": "sum by (namespace, pod) "
                "(increase(kube_pod_container_status_restarts_total[1h]))"
            },
            limits=Above(1, 3),
            runbooks=("HighPodRestartRate",),
            needs=_STATE,
        ),
        Panel(
            "How busy is each node?",
            "share",
            "Processor time in use. Each node by itself: a mean over them hides the one that is overloaded.",
            {"{{instance}}": '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))'},
            limits=Above(0.6, 0.8),
            runbooks=("HighNodeCPUUsage",),
            needs="Kubernetes (node-exporter)",
        ),
        Panel(
            "Which volumes fill up?",
            "share",
            "Of the room of each volume claim, what is in use.",
            {
                "{{namespace}}/{{persistentvolumeclaim}}": "max by (namespace, persistentvolumeclaim) "
                "(kubelet_volume_stats_used_bytes / kubelet_volume_stats_capacity_bytes)"
            },
            limits=Above(0.8, 0.9),
            needs="Kubernetes (the kubelet)",
        ),
        Panel(
            "Are our pods running?",
            "count",
            "Pods of the namespace inquiries-system by phase.",
            {"{{phase}}": 'sum by (phase) (kube_pod_status_phase{namespace="inquiries-system"})'},
            form="stacked",
            needs=_STATE,
        ),
        Panel(
            "Are all replicas available?",
            "share",
            "Of the replicas that each deployment wants.",
            {
                "{{namespace}}/{{deployment}}": "sum by (namespace, deployment) "
                "(kube_deployment_status_replicas_available)"
                " / (sum by (namespace, deployment) (kube_deployment_spec_replicas) > 0)"
            },
            limits=Below(1, 0.5),
            needs=_STATE,
        ),
        Panel(
            "Do our endpoints answer?",
            "share",
            "Of the service endpoints of the namespace inquiries-system, those that answered the last scrape.",
            {"endpoints": 'avg(up{job="kubernetes-service-endpoints",namespace="inquiries-system"})'},
            form="number",
            limits=Below(1, 0.5),
            width=6,
            needs="Kubernetes (endpoints scraped under the job kubernetes-service-endpoints)",
        ),
        Panel(
            "Is what runs what was asked for?",
            "count",
            "Argo CD's applications by the state of their synchronisation.",
            {"{{sync_status}}": "count by (sync_status) (argocd_app_info)"},
            form="bars",
            runbooks=("ArgoCDSyncFailed",),
            width=6,
            needs="Argo CD",
        ),
        Panel(
            "Are the applications well?",
            "count",
            "Argo CD's applications by health.",
            {"{{health_status}}": "count by (health_status) (argocd_app_info)"},
            form="bars",
            runbooks=("ArgoCDSyncError",),
            width=6,
            needs="Argo CD",
        ),
        Panel(
            "Do synchronisations fail?",
            "count",
            "Synchronisations of the hour before that ended in an error.",
            {
                "{{name}}": 'sum by (name) (increase(argocd_app_sync_total{phase=~"Error|Failed"}[1h]))',
            },
            form="bars",
            limits=Above(1, 3),
            runbooks=("ArgoCDSyncAttemptFailed",),
            width=6,
            needs="Argo CD",
        ),
    ),
)
