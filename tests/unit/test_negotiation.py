"""An `Accept` header is answered by what it likes best, and one that makes no sense by the first there is."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from inquiry_svc.web.negotiation import best_liked


@dataclass(frozen=True)
class Form:
    name: str
    content_type: str


TEXT = Form("text", "text/plain; version=0.0.4; charset=utf-8")
OPENMETRICS = Form("openmetrics", "application/openmetrics-text; version=1.0.0; charset=utf-8")


@pytest.mark.parametrize(
    ("accept", "liked"),
    [
        ("*/*", "text"),
        ("text/plain", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("APPLICATION/OPENMETRICS-TEXT ; Version=1.0.0", "openmetrics"),
        ('application/openmetrics-text; version="1.0.0"', "openmetrics"),
        ("application/*", "openmetrics"),
        ("text/*;q=0.3, application/*;q=0.4", "openmetrics"),
        ("text/plain;q=0.9,*/*;q=0.95", "openmetrics"),  # what says more of a form decides over it
        ("application/openmetrics-text;version=0.0.1,text/plain;q=0.1", "text"),
        ("application/openmetrics-text;q=0,*/*;q=0.1", "text"),
        ("text/plain;q=0,*/*", "openmetrics"),
        ("image/png", "text"),
        ("", "text"),
        (",,;q=1,text", "text"),
        ("application/openmetrics-text;q=nonsense, text/plain;q=0.1", "text"),
        ("text/plain;q=0.5;q=7, application/openmetrics-text", "text"),
    ],
)
def test_what_is_liked_best_is_given(accept: str, liked: str) -> None:
    assert best_liked(accept, [TEXT, OPENMETRICS]).name == liked


def test_the_order_decides_among_equals_alone() -> None:
    assert best_liked("*/*", [OPENMETRICS, TEXT]) is OPENMETRICS
    assert best_liked("text/plain", [OPENMETRICS, TEXT]) is TEXT
