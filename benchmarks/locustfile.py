"""The monitoring guide's load test, for Locust: users who wait 1 to 3 s, with three submissions for each look at stats.

    locust -f benchmarks/locustfile.py --host=http://localhost:8000

Then open http://localhost:8089; with `--headless --users 100 --run-time 1m` there is no page. Each submission is a new
one of over 10,000 texts, so that no cache answers, unless `--hit-share` gives the share of texts that were sent before.
It ends with exit code 1 if a key figure of the guide is missed: errors under 1 %, 95 % of the answers within 2 s, more
than 100 inquiries a minute (which takes ten users), 99 % of the model's calls within 500 ms, and of 100 inquiries or
more under 10 % escalated.

A user waits for its answer before it asks again, so a service that stalls is asked less: `open_loop.py` asks on.
"""

from __future__ import annotations

import logging
import random
from itertools import cycle
from typing import Any, Final
from urllib.request import urlopen

from locust import HttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from inquiry_svc.labelled import read_labelled
from inquiry_svc.testing.exporters import samples_of
from inquiry_svc_plugins.classifiers.xgboost import PACKAGED_MODEL

MAX_ERRORS: Final = 0.01
MAX_P95_MS: Final = 2000
MIN_SUBMITTED_PER_MIN: Final = 100
MAX_INFERENCE_S: Final = 0.5
MAX_SLOW_INFERENCES: Final = 0.01
MAX_ESCALATED: Final = 0.1
MIN_SUBMITTED: Final = 100
"""Of fewer, the share that is escalated says nothing."""
SUBMIT: Final = "/api/v1/inquiries/submit"
POPULAR: Final = 10
"""So many texts are sent again and again where a cache is to hit."""

logger = logging.getLogger(__name__)
dice = random.Random(1)
texts = [row.text for row in read_labelled(sorted(PACKAGED_MODEL.with_name("corpus").glob("*.jsonl")))]
dice.shuffle(texts)
popular, others = texts[:POPULAR], cycle(texts[POPULAR:])
escalated: list[bool] = []
"""Whether each inquiry that was answered was."""


class InquiryUser(HttpUser):
    wait_time = between(1, 3)

    @task(3)
    def submit_inquiry(self) -> None:
        text = dice.choice(popular) if dice.random() < self.environment.parsed_options.hit_share else next(others)
        inquiry = {"subject": text.subject, "body": text.body, "sender_email": "ana@example.org"}
        with self.client.post(SUBMIT, json=inquiry, catch_response=True) as response:
            if response.status_code != 201 or response.json()["body"] != text.body:
                response.failure(f"not what was submitted: {response.status_code} {response.text[:200]}")
            else:
                escalated.append(response.json()["routing"]["escalated"])

    @task(1)
    def get_stats(self) -> None:
        self.client.get("/api/v1/stats")


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--hit-share", type=float, default=0.0, help="Share of submissions whose text was sent before")


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    total = environment.stats.total
    figures = [
        ("errors", total.fail_ratio, total.fail_ratio < MAX_ERRORS and total.num_requests > 0),
        ("p95 in ms", p95_ms := total.get_response_time_percentile(0.95), p95_ms <= MAX_P95_MS),
        ("inquiries a minute", rate := _submitted_per_min(environment), rate > MIN_SUBMITTED_PER_MIN),
    ]
    if (slow := _slow_inferences(environment.host)) is not None:
        figures.append(("share of slow inferences", slow, slow <= MAX_SLOW_INFERENCES))
    if len(escalated) >= MIN_SUBMITTED:
        share = sum(escalated) / len(escalated)
        figures.append(("share of escalated", share, share < MAX_ESCALATED))
    for name, value, is_met in figures:
        logger.log(
            logging.INFO if is_met else logging.ERROR,
            "%s: %.4g, %s",
            *(name, value, "as it should be" if is_met else "a key figure is missed"),
        )
    environment.process_exit_code = int(not all(is_met for *_, is_met in figures))


def _submitted_per_min(environment: Environment) -> float:
    return float(environment.stats.get(SUBMIT, "POST").total_rps * 60)


def _slow_inferences(host: str | None) -> float | None:
    """The share of the model's calls, since the service began, that took longer; None where it does not say."""
    try:
        with urlopen(f"{host}/metrics", timeout=10) as answer:
            found = samples_of(answer.read())
    except OSError:
        return None
    name, bound = "model_inference_duration_seconds", ("le", str(MAX_INFERENCE_S))
    calls = sum(value for (sample, _), value in found.items() if sample == f"{name}_count")
    quick = sum(value for (sample, labels), value in found.items() if sample == f"{name}_bucket" and bound in labels)
    return 1 - quick / calls if calls else None
