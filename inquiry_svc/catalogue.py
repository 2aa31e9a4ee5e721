"""Every metric that the service itself has, declared once. Names and thresholds are the monitoring guide's.

A histogram's buckets contain each threshold that an alert or an objective uses on it, so that "at most 2 s" is counted
and never interpolated. Plugins declare theirs through `register_metrics`.
"""

from __future__ import annotations

from typing import Final

from inquiry_svc import notice_metrics, review_metrics
from inquiry_svc.inquiries import AXES, CATEGORIES, DEPARTMENTS, REVIEW_REASONS, SENTIMENTS, URGENCIES
from inquiry_svc.measures import MEASURES
from inquiry_svc.metrics import OPEN, Counter, Gauge, Histogram, Metric

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
COMPONENTS: Final = ("database", "cache", "classifier", "fallback", "models", "queue")
STAGES: Final = ("classify", "store")
OPERATIONS: Final = (
    *("save", "get", "list", "feedback", "resolve", "stats"),
    *("review_queue", "reviews", "claim", "return", "erase"),
    *("claim_notices", "settle_notices", "notices", "outbox"),
)
REFUSALS: Final = ("no_key", "unknown_key", "expired_key", "scope", "rate_limit", "sender_limit")
STATUS_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx", "other")

_LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_RESOLUTION_S: Final = (60, 300, 900, 3600, 14_400, 86_400, 259_200)  # 1, 5, 15 min, 1, 4 h, 1, 3 days
_CONFIDENCE: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

HTTP_REQUESTS: Final = Counter(
    "http_requests_total",
    "Requests answered. The endpoint is the route's template, __unmatched__ where none fits or nothing could be read.",
    {"method": METHODS, "endpoint": OPEN, "status": OPEN},
)
HTTP_REQUEST_DURATION: Final = Histogram(
    "http_request_duration_seconds",
    "Time from a request's complete header to its answer.",
    {"endpoint": OPEN, "status_class": STATUS_CLASSES},
    buckets=_LATENCY_S,
)
HTTP_REQUESTS_ACTIVE: Final = Gauge("http_requests_active", "Requests being worked on now.")
HTTP_CONNECTIONS_ACTIVE: Final = Gauge("http_connections_active", "Open client connections.")
HTTP_CONNECTIONS_EXPIRED: Final = Counter(
    "http_connections_expired_total",
    "Connections closed because the client was too slow to send, or to read its answer; a slow body is a request with "
    "status 408.",
    {"waiting_for": ("first_byte", "header", "reading")},
)
HTTP_CONNECTIONS_REFUSED: Final = Counter(
    "http_connections_refused_total", "Connections closed at once because their address had as many as it may."
)
HTTP_REFUSED: Final = Counter(
    "http_requests_refused_total",
    "Requests refused before anything was done: no API key, one that is unknown or has expired, one without the scope, "
    "or too many in the window, of the caller or with one sender's address.",
    {"reason": REFUSALS},
)
API_KEY_READS: Final = Counter(
    "api_keys_reads_total",
    "Times that the file of API keys was read. When it can't be, those that were read before stay valid.",
    {"result": ("done", "failed")},
)

INQUIRIES_PROCESSED: Final = Counter(
    "inquiries_processed_total",
    "Inquiries submitted: committed (success), or not acknowledged because of a fault of the service (failed).",
    {"status": ("success", "failed")},
)
INQUIRIES_REFUSED: Final = Counter(
    "inquiries_refused_total", "Texts refused at the door because every place was taken."
)
INQUIRIES_REPLAYED: Final = Counter(
    "inquiries_replayed_total", "Submissions answered from an earlier one with the same idempotency key."
)
TEXTS_RECEIVED: Final = Counter("texts_received_total", "Texts taken into a batch, to be stored or only classified.")
TRIAGE_FAILURES: Final = Counter(
    "triage_failures_total",
    "Texts and inquiries that got no answer, by the stage that failed.",
    {"stage": ("classify", "route", "store")},
)
UNASSIGNED: Final = Counter("inquiries_unassigned_total", "Inquiries routed while nobody of the department was free.")
INQUIRIES_IN_FLIGHT: Final = Gauge("inquiries_in_flight", "Texts taken in and not answered yet.")
PROCESSING_DURATION: Final = Histogram(
    "inquiry_processing_duration_seconds",
    "Time from taking an inquiry in to its commit.",
    buckets=_LATENCY_S,
)
CATEGORY: Final = Counter("inquiry_category_total", "Inquiries stored, by category.", {"category": CATEGORIES})
SENTIMENT: Final = Counter("inquiry_sentiment_total", "Inquiries stored, by sentiment.", {"sentiment": SENTIMENTS})
URGENCY: Final = Counter("inquiry_urgency_total", "Inquiries stored, by urgency.", {"urgency": URGENCIES})
NEEDS_REVIEW: Final = Counter(
    "inquiries_needing_review_total",
    "Inquiries stored of whose answer the service is unsure; audits do not count.",
)
FOR_REVIEW: Final = Counter(
    "inquiry_review_reasons_total",
    "Inquiries stored that a person should look at, by each reason; one may have several. Chance picks the audit.",
    {"reason": REVIEW_REASONS},
)
ROUTING_DECISIONS: Final = Counter(
    "routing_decisions_total",
    "Inquiries stored, by the department that answers and whether they were escalated.",
    {"department": DEPARTMENTS, "escalated": ("true", "false")},
)
PRIORITY_SCORE: Final = Histogram(
    "inquiry_priority_score", "Priority of the inquiries stored, 0 to 100.", buckets=tuple(range(10, 101, 10))
)
SATISFACTION: Final = Gauge(
    "customer_satisfaction_score",
    "Estimated satisfaction of those who wrote, 1 to 5, from the sentiment of what they wrote: nobody was asked. "
    "Negative is 1, neutral 3, positive 5, weighted by the model's probabilities; an exponentially weighted mean over "
    "about the last 50 inquiries stored for the department; with several workers, the mean of theirs.",
    {"department": DEPARTMENTS},
    across="mean",
    starts_at_0=False,
)
SATISFACTION_COUNT: Final = Gauge(
    "customer_satisfaction_score_count",
    "Inquiries behind customer_satisfaction_score, of the processes that run now.",
    {"department": DEPARTMENTS},
)
RESOLUTION: Final = Histogram(
    "inquiry_processing_efficiency_seconds",
    "Time from receiving an inquiry to its resolution, of those resolved. The guide calls it "
    "inquiry_processing_efficiency; a recording rule keeps that name.",
    {"department": DEPARTMENTS},
    buckets=_RESOLUTION_S,
)
RESOLVED: Final = Counter(
    "inquiries_resolved_total",
    "Inquiries resolved, by whether it was done by their due time.",
    {"within_sla": ("true", "false")},
)
INQUIRIES_ERASED: Final = Counter("inquiries_erased_total", "Inquiries erased over HTTP, not by the command.")

MODEL_PREDICTIONS: Final = Counter(
    "model_predictions_total",
    "Categories predicted, from the cache or not.",
    {"model_name": OPEN, "prediction": CATEGORIES},
)
MODEL_CONFIDENCE: Final = Histogram(
    "model_prediction_confidence",
    "Confidence in the predicted category.",
    {"model_name": OPEN},
    buckets=_CONFIDENCE,
)
MODEL_INFERENCE_DURATION: Final = Histogram(
    "model_inference_duration_seconds",
    "Time of one call to a classifier, which takes a whole batch.",
    {"model_name": OPEN},
    buckets=_LATENCY_S,
)
EXPLANATION_DURATION: Final = Histogram(
    "explanation_duration_seconds",
    "Time in which a classifier said why it said what it said; only on demand, and beside all other work.",
    buckets=_LATENCY_S,
)
MODEL_INFO: Final = Gauge(
    "model_version_info",
    "1 for each model that is open: the one that answers, and the one that answers when that fails.",
    {"model_name": OPEN, "version": OPEN, "sha": OPEN, "role": ("classifier", "fallback")},
    across="max",
)
MODEL_FEEDBACK: Final = Counter(
    "model_feedback_total",
    "Times that a person said the right category of an inquiry, by what the model had said and whether it was that.",
    {"model_name": OPEN, "category": CATEGORIES, "correct": ("true", "false")},
)
SENTIMENT_FEEDBACK: Final = Counter(
    "model_sentiment_feedback_total",
    "The same as model_feedback_total, of sentiments.",
    {"model_name": OPEN, "sentiment": SENTIMENTS, "correct": ("true", "false")},
)
URGENCY_FEEDBACK: Final = Counter(
    "model_urgency_feedback_total",
    "The same as model_feedback_total, of urgencies.",
    {"model_name": OPEN, "urgency": URGENCIES, "correct": ("true", "false")},
)
MODEL_ACCURACY: Final = Gauge(
    "model_accuracy_score",
    "Share that was correct of the feedback in model_feedback_total since this process started; with several workers, "
    "the mean of those that got any. For an alert, which needs a window and a number, divide model_feedback_total.",
    {"model_name": OPEN, "category": CATEGORIES},
    across="mean",
)
EXPECTED_CORRECT: Final = Counter(
    "model_expected_correct_total",
    "Labels that should be right by the model's own word: the confidences of what it said of the inquiries in "
    "inquiry_observations_total, added up. Divided by how many these are, its accuracy before anybody looked.",
    {"model_name": OPEN, "axis": tuple(AXES)},
)
OBSERVATIONS: Final = Counter(
    "inquiry_observations_total",
    "Inquiries stored, by the bin of each measure that they fell into: at most 256 a second of each process. "
    "Versions of one model_name count together.",
    {"model_name": OPEN, "measure": tuple(MEASURES), "bin": OPEN},
)
PROFILE_SHARE: Final = Gauge(
    "model_profile_share",
    "Share of each bin of inquiry_observations_total in what the model was trained on, held out; of several versions "
    "the champion. Adds up to 1 for each measure; not there for a model without a profile.",
    {"model_name": OPEN, "measure": tuple(MEASURES), "bin": OPEN},
    across="max",
)
CLASSIFIER_FALLBACKS: Final = Counter(
    "classifier_fallbacks_total",
    "Texts answered by the fallback classifier: the first one raised, did not answer in time, or is being rested.",
    {"reason": ("error", "timeout", "resting")},
)
CACHE_LOOKUPS: Final = Counter(
    "cache_lookups_total",
    "Texts looked up in the cache. Invalid: what came back was not what had been put. Error: the cache failed.",
    {"result": ("hit", "miss", "invalid", "error")},
)

CANDIDATES: Final = ("challenger", "shadow")
LIMITS: Final = ("accuracy", "agreement", "latency", "errors")
CANDIDATE_TEXTS: Final = Counter(
    "model_candidate_texts_total",
    "Texts that a candidate was to classify: the challenger's share, and those of which the shadow was asked besides.",
    {"alias": CANDIDATES, "result": ("classified", "failed")},
)
CANDIDATE_DURATION: Final = Histogram(
    "model_candidate_duration_seconds",
    "Time of one call to a candidate: a batch of the challenger's share, or one text of the shadow's.",
    {"alias": CANDIDATES},
    buckets=_LATENCY_S,
)
CANDIDATE_CONFIDENCE: Final = Histogram(
    "model_candidate_confidence",
    "A candidate's confidence in the category.",
    {"alias": CANDIDATES},
    buckets=_CONFIDENCE,
)
CANDIDATE_AGREEMENT: Final = Counter(
    "model_candidate_agreement_total",
    "Texts that the champion answered and a candidate was asked of besides, by whether they agree on an axis.",
    {"alias": CANDIDATES, "axis": tuple(AXES), "agrees": ("true", "false")},
)
ALIAS_FEEDBACK: Final = Counter(
    "model_alias_feedback_total",
    "Times that a person said the right label of an inquiry that the champion or the challenger of now had answered.",
    {"alias": ("champion", "challenger"), "axis": tuple(AXES), "correct": ("true", "false")},
)
SECOND_OPINIONS: Final = Counter(
    "model_second_opinions_total",
    "Texts of which candidates were asked besides, and those dropped because the service was not idle for long enough.",
    {"result": ("asked", "dropped")},
)
SECOND_OPINIONS_WAITING: Final = Gauge(
    "model_second_opinions_waiting", "Texts that candidates will be asked of when nobody waits for an answer."
)
MODEL_SWAPS: Final = Counter(
    "model_swaps_total",
    "Times that a process took up what the registry says, and models that it refused: broken, missing, or another.",
    {"result": ("done", "refused")},
)
CANARY_ROLLBACKS: Final = Counter(
    "model_canary_rollbacks_total",
    "Challengers taken down by the service itself, by the first limit that was crossed.",
    {"limit": LIMITS},
)

BATCH_SIZE: Final = Histogram(
    "batch_size", "Items worked on together.", {"stage": STAGES}, buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
QUEUE_DEPTH: Final = Gauge("batch_queue_depth", "Items waiting for the next batch.", {"stage": STAGES})

DB_QUERY_DURATION: Final = Histogram(
    "db_query_duration_seconds",
    "Time of one call to the store; a save is a whole batch.",
    {"operation": OPERATIONS},
    buckets=_LATENCY_S,
)
DB_CONNECTIONS_ACTIVE: Final = Gauge("db_connections_active", "Calls to the store in progress.")
DB_CONNECTIONS: Final = Gauge(
    "db_connections",
    "Connections of the store's pools: open and idle, open and working, and how many there may be. 0 without a pool.",
    {"kind": ("reader", "writer"), "state": ("idle", "active", "max")},
)

HEALTH: Final = Gauge(
    "system_health_status",
    "1 when the component answered its last check, else 0; with several workers, 1 when it answered all of them.",
    {"component": COMPONENTS},
    across="min",
)
WORKERS_RUNNING: Final = Gauge("workers_running", "Processes that serve now.")
WORKER_RESTARTS: Final = Counter("worker_restarts_total", "Workers that died unasked and are started again.")
EXPORTER_PUSHES: Final = Counter(
    "exporter_pushes_total",
    "Times that an exporter sent the metrics. After a failure the next one sends what is missing.",
    {"exporter": OPEN, "result": ("ok", "failed")},
)
SOURCE_FAILURES: Final = Counter(
    "source_failures_total", "Runs of a source that failed; it is started again.", {"source": OPEN}
)
PLUGIN_ERRORS: Final = Counter("plugin_errors_total", "Watchers that raised.", {"plugin": OPEN, "hook": OPEN})

_ALL: Final = globals() | vars(review_metrics) | vars(notice_metrics)
OWN_METRICS: Final = tuple(each for each in _ALL.values() if isinstance(each, Metric))
