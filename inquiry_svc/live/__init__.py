"""The dashboards without Grafana and Prometheus: one page, live from a running service's own metrics.

`exposition` reads a scrape, `history` keeps the last ones, `promql` answers the panels' queries from them, and `site`
serves the page. The panels are those of monitoring/dashboards, from where `make dashboards` writes panels.json.
"""
