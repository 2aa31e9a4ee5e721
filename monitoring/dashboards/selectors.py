"""Series that several panels read. Scrapes and health checks are left out of what users meet, as the alerts do."""

from __future__ import annotations

from typing import Final

_USERS: Final = 'job="inquiry-svc",endpoint!~"/metrics|/api/v1/(metrics|health.*)"'
_TIMED: Final = 'job="inquiry-svc",endpoint!~"__unmatched__|/metrics|/api/v1/(metrics|health.*|inquiries/bulk)"'

REQUESTS: Final = f"http_requests_total{{{_USERS}}}"
FAULTS: Final = f'http_requests_total{{{_USERS},status=~"5.."}}'
REFUSED: Final = f'http_requests_total{{{_USERS},status=~"4.."}}'
DURATION_BUCKETS: Final = f"http_request_duration_seconds_bucket{{{_TIMED}}}"
"""Without uploads in bulk, which take as long as they are."""
