"""The monitoring guide's load test, for Locust: users who wait 1 to 3 s, with three submissions for each look at stats.

    locust -f benchmarks/locustfile.py --host=http://localhost:8000

Then open http://localhost:8089; with `--headless --users 100 --run-time 1m` there is no page. Each submission is a new
one of over 10,000 texts, so that no cache answers, unless `--hit-share` gives the share of texts that were sent before.
It ends with exit code 1 if a key figure of the guide is missed: errors under 1 %, 95 % of the answers within 2 s.

A user waits for its answer before it asks again, so a service that stalls is asked less: `open_loop.py` asks on.
"""

from __future__ import annotations

import logging
import random
from itertools import cycle
from typing import Any, Final

from locust import HttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from inquiry_svc.labelled import read_labelled
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL

MAX_ERRORS: Final = 0.01
MAX_P95_MS: Final = 2000
POPULAR: Final = 10
"""So many texts are sent again and again where a cache is to hit."""

logger = logging.getLogger(__name__)
dice = random.Random(1)
texts = [row.text for row in read_labelled(sorted(PACKAGED_MODEL.with_name("corpus").glob("*.jsonl")))]
dice.shuffle(texts)
popular, others = texts[:POPULAR], cycle(texts[POPULAR:])


class InquiryUser(HttpUser):
    wait_time = between(1, 3)

    @task(3)
    def submit_inquiry(self) -> None:
        text = dice.choice(popular) if dice.random() < self.environment.parsed_options.hit_share else next(others)
        inquiry = {"subject": text.subject, "body": text.body, "sender_email": "ana@example.org"}
        with self.client.post("/api/v1/inquiries/submit", json=inquiry, catch_response=True) as response:
            if response.status_code != 201 or response.json()["body"] != text.body:
                response.failure(f"not what was submitted: {response.status_code} {response.text[:200]}")

    @task(1)
    def get_stats(self) -> None:
        self.client.get("/api/v1/stats")


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--hit-share", type=float, default=0.0, help="Share of submissions whose text was sent before")


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    total = environment.stats.total
    p95_ms = total.get_response_time_percentile(0.95)
    missed = not total.num_requests or total.fail_ratio >= MAX_ERRORS or p95_ms > MAX_P95_MS
    logger.log(
        logging.ERROR if missed else logging.INFO,
        "%d requests, errors %.2f %%, p95 %d ms: %s",
        *(
            total.num_requests,
            total.fail_ratio * 100,
            p95_ms,
            "a key figure is missed" if missed else "as it should be",
        ),
    )
    environment.process_exit_code = int(missed)
