"""The console's pages of a real service: what they show of it, what they do to it, what they say when it says no."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from inquiry_svc.console import app, charts, overview
from inquiry_svc.console.showing import plain
from inquiry_svc.errors import StoreUnavailable
from inquiry_svc.hookspecs import hookimpl
from inquiry_svc.inquiries import Text, Verdict
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import Running, running_service
from inquiry_svc.web import schemas as out
from inquiry_svc_plugins.stores.memory import MemoryStore
from tests.servers import free_port

APP: Final = Path(app.__file__)
INQUIRIES: Final = "/api/v1/inquiries"
KEY: Final = "a-key-of-the-console"
HOSTILE: Final = "![x](https://example.org/x.png) **bold** <b>html</b> :material/home: $x$"

Console = Callable[..., Any]


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with running_service({"review.audit_share": 1.0}) as running:
        yield running


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    """`await console(url, "reviews.py")` is that page, once it has run."""

    async def opened(url: str, page: str | None = None, *, api_key: str = "") -> AppTest:
        overview._totals.clear()
        monkeypatch.setattr(sys, "argv", [str(APP), url, api_key, "5.0"])
        visited = AppTest.from_file(APP, default_timeout=30)
        await run(visited)
        if page is not None:
            visited.switch_page(page)
            await run(visited)
        return visited

    return opened


async def run(page: AppTest) -> None:
    """In a thread, so that the service can answer meanwhile."""
    await asyncio.to_thread(page.run)
    assert [each.value for each in page.exception] == []


async def submit(running: Running, **more: Any) -> str:
    body = {"body": "My card was charged twice.", "sender_email": "ana@example.org", **more}
    async with running.client.post(f"{INQUIRIES}/submit", json=body) as answer:
        assert answer.status == 201, await answer.text()
        found: str = (await answer.json())["inquiry_id"]
        return found


async def asked(running: Running, path: str) -> Any:
    async with running.client.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def click(page: AppTest, label: str) -> None:
    [button] = [each for each in page.button if each.label == label]
    button.click()
    await run(page)


def tiles(page: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in page.metric}


def texts(elements: Iterable[Any]) -> list[str]:
    return [each.value for each in elements]


def drawn(page: AppTest) -> list[list[dict[str, Any]]]:
    """The rows that each chart shows."""
    protos = [each.proto for each in page.get("vega_lite_chart")]
    data = [(each.datasets[0].data if each.datasets else each.data).data for each in protos]
    return [convert_arrow_bytes_to_pandas_df(each).to_dict("records") for each in data]


async def test_the_overview_shows_what_the_service_has_stored(running: Running, console: Console) -> None:
    now = datetime.now(UTC)
    for days, body in enumerate(["Invoice wrong", "Invoice wrong", "The app crashes", "Contract dispute", "Love it"]):
        await submit(running, body=body, received_at=(now - timedelta(days=days, hours=1)).isoformat())
    page = await console(running.url)
    stats = await asked(running, "/api/v1/stats?days=1")
    assert tiles(page)["Inquiries, 24 hours"] == f"{stats['total_inquiries']}" == "1"
    assert tiles(page)["Waiting for review"] == f"{stats['needs_review_inquiries']}"
    assert tiles(page)["Priority"] == f"{stats['average_priority_score']:.0f}"
    [badge] = [each for each in texts(page.markdown) if "healthy" in each]
    assert "green" in badge
    assert len(page.dataframe[0].value) == 5

    latest, by_day, by_category, *_ = drawn(page)
    assert sum(row["count"] for row in latest) == 5
    assert {row["label"]: row["count"] for row in by_category if row["count"]} == {"Billing": 1}
    assert len({row["period"] for row in by_day}) == 7
    daily: dict[str, int] = {}
    for row in by_day:
        daily[row["period"]] = daily.get(row["period"], 0) + row["count"]
    assert list(daily.values()) == [0, 0, 1, 1, 1, 1, 1], "oldest first"

    page.get("button_group")[0].set_value("7 days")
    await run(page)
    assert tiles(page)["Inquiries, 7 days"] == "5"


async def test_a_service_without_inquiries_has_an_overview(running: Running, console: Console) -> None:
    page = await console(running.url)
    assert tiles(page)["Inquiries, 24 hours"] == "0"
    assert tiles(page)["Escalated"] == tiles(page)["Confidence"] == "-"
    assert texts(page.info) == ["No inquiries yet."]


async def test_a_form_that_is_sent_twice_is_one_inquiry_and_another_is_another(
    running: Running, console: Console
) -> None:
    page = await console(running.url, "submit.py")
    page.text_input(key="sender_email").set_value("ana@example.org")
    page.text_input(key="subject").set_value("Charged twice")
    page.text_area(key="body").set_value("My card was charged twice.")
    for _ in range(2):
        await click(page, "Submit")
        assert texts(page.success) == ["It is stored and routed."]
    [stored] = (await asked(running, INQUIRIES))["items"]
    assert (stored["subject"], stored["source"], stored["sender_name"]) == ("Charged twice", "email", None)
    assert stored["inquiry_id"] in texts(page.text)
    assert tiles(page)["Department"] == "Finance"

    page.text_area(key="body").set_value("And now three times.")
    await click(page, "Submit")
    assert len((await asked(running, INQUIRIES))["items"]) == 2


async def test_what_is_wrong_with_a_form_is_said_for_each_field(running: Running, console: Console) -> None:
    page = await console(running.url, "submit.py")
    page.text_input(key="sender_email").set_value("no address")
    await click(page, "Submit")
    assert "422" in page.error[0].value
    assert {text.split(":")[0] for text in texts(page.text)} == {"body", "sender_email"}
    assert (await asked(running, INQUIRIES))["items"] == []


async def test_reviews_are_taken_corrected_skipped_and_given_back(running: Running, console: Console) -> None:
    first = await submit(running)
    second = await submit(running, body="The app crashes.")
    page = await console(running.url, "reviews.py")
    assert all(each.disabled for each in page.button if each.label.startswith("Take"))
    page.text_input(key="reviewer").set_value(" Ana ")
    await run(page)

    await click(page, "Take the next")
    assert {each["claimed_by"] for each in (await asked(running, "/api/v1/reviews"))["items"]} == {"Ana", None}
    await click(page, "Skip")
    assert texts(page.success) == ["Skipped."]
    [turn, _] = [each["inquiry"]["inquiry_id"] for each in (await asked(running, "/api/v1/reviews"))["items"]]
    assert turn == second

    await click(page, "Take the next")
    await click(page, "Give it back")
    assert [each["claimed_by"] for each in (await asked(running, "/api/v1/reviews"))["items"]] == [None, None]

    page.button(key=f"take_{first}").click()
    await run(page)
    page.radio(key=f"category_{first}").set_value("legal")
    await click(page, "That is right")
    assert texts(page.success) == ["Decided. Thank you."]
    feedback = (await asked(running, f"{INQUIRIES}/{first}"))["feedback"]
    assert (feedback["category"], feedback["reviewer"]) == ("legal", "Ana")
    assert len((await asked(running, "/api/v1/reviews"))["items"]) == 1


async def test_what_another_holds_is_shown_as_theirs_and_what_was_lost_is_let_go(
    running: Running, console: Console
) -> None:
    inquiry = await submit(running)
    page = await console(running.url, "reviews.py")
    page.text_input(key="reviewer").set_value("Ana")
    await run(page)
    await click(page, "Take the next")
    for action, who in (("release", "Ana"), ("claim", "*Ben*")):
        async with running.client.post(f"/api/v1/reviews/{inquiry}/{action}", json={"reviewer": who}) as answer:
            assert answer.status == 200
    await click(page, "That is right")
    assert "409" in page.error[0].value
    await run(page)
    assert [text for text in texts(page.text) if text.startswith("*Ben* holds it until")]
    assert not [each for each in page.button if each.label == "Take this one"]


async def test_who_finds_all_held_by_others_is_told(running: Running, console: Console) -> None:
    await submit(running)
    async with running.client.post("/api/v1/reviews/claim", json={"reviewer": "Ben"}) as answer:
        assert len((await answer.json())["items"]) == 1
    page = await console(running.url, "reviews.py")
    page.text_input(key="reviewer").set_value("Ana")
    await run(page)
    await click(page, "Take the next")
    assert texts(page.info) == ["Others hold all that waits."]


async def test_inquiries_are_filtered_paged_opened_and_answered(running: Running, console: Console) -> None:
    for number in range(51):
        await submit(running, subject=f"number {number}")
    odd = await submit(running, body="The app crashes with an error.", subject="the odd one")
    page = await console(running.url, "inquiries.py")
    assert len(page.dataframe[0].value) == 50
    await click(page, "Older")
    assert len(page.dataframe[0].value) == 2
    await click(page, "Newer")
    assert len(page.dataframe[0].value) == 50

    await click(page, "Older")
    page.selectbox(key="only_category").set_value("technical_support")
    await run(page)
    assert list(page.dataframe[0].value["Inquiry"]) == ["the odd one"]
    page.selectbox(key="opened").set_value(odd)
    await run(page)
    assert "the odd one" in page.code[0].value
    await click(page, "It was answered")
    assert (await asked(running, f"{INQUIRIES}/{odd}"))["resolved_at"] is not None
    assert "It was answered." in texts(page.success)


async def test_what_others_wrote_is_never_markdown(running: Running, console: Console) -> None:
    inquiry = await submit(running, subject=HOSTILE, body=HOSTILE, sender_name=HOSTILE)
    stored, queue = [await console(running.url, name) for name in ("inquiries.py", "reviews.py")]
    assert HOSTILE in texts(queue.text)
    assert markdown_of_others(queue) == []
    stored.selectbox(key="opened").set_value(inquiry)
    queue.text_input(key="reviewer").set_value("Ana")
    for page in (stored, queue):
        await run(page)
    await click(queue, "Take the next")
    for page in (stored, queue):
        assert HOSTILE in page.code[0].value
        assert markdown_of_others(page) == []


def markdown_of_others(page: AppTest) -> list[str]:
    kinds = (page.markdown, page.caption, page.error, page.info, page.success, page.warning)
    return [text for kind in kinds for text in texts(kind) if "x.png" in text]


def test_text_made_plain_shows_itself() -> None:
    assert plain("a *b* `c`\n[d](e)") == r"a \*b\* \`c\` \[d\]\(e\)"


@pytest.mark.parametrize("page", [None, "inquiries.py", "reviews.py"])
async def test_a_service_that_does_not_answer_is_said_not_to(console: Console, page: str | None) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    shown = await console(url, page)
    assert f"`{url}` can't be reached" in shown.error[0].value
    assert "inquiry-svc serve" in shown.markdown[-1].value


async def no_answer(_: Sequence[Text]) -> Sequence[Verdict]:
    raise RuntimeError("broken on purpose")


async def test_a_service_that_lives_on_its_fallback_is_said_to_be_degraded(console: Console) -> None:
    settings = {"classifier.provider": "given"}
    async with running_service(settings, plugins=[Offering(classifier=FunctionClassifier(no_answer))]) as running:
        await submit(running)
        page = await console(running.url)
        assert "degraded" in page.warning[0].value
        assert "classifier" in page.warning[0].value
        assert tiles(page)["Inquiries, 24 hours"] == "1"


class LostStore(MemoryStore):
    """Is away once `lost` is set."""

    lost = False

    async def check(self) -> None:
        if self.lost:
            raise StoreUnavailable("lost on purpose")


async def test_a_service_that_can_not_serve_is_said_not_to(console: Console) -> None:
    store = LostStore()
    async with running_service({"store.provider": "given"}, plugins=[Offering(store=store)]) as running:
        store.lost = True
        async with asyncio.timeout(20):
            while True:
                async with running.client.get("/api/v1/health") as answer:
                    if answer.status == 503:
                        break
                await asyncio.sleep(0.05)
        page = await console(running.url)
        assert "can't serve: database unhealthy" in page.error[0].value


class Guarded:
    """A service that wants an API key."""

    @hookimpl
    def register_middlewares(self) -> Iterable[Any]:
        @web.middleware
        async def wanting(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                raise web.HTTPUnauthorized
            answer: web.StreamResponse = await handler(request)
            return answer

        return [wanting]


async def test_an_api_key_is_sent_and_a_missing_one_is_asked_for(console: Console) -> None:
    async with running_service(plugins=[Guarded()]) as running:
        without = await console(running.url)
        assert "INQUIRY_CLIENT__KEY" in without.error[0].value
        page = await console(running.url, api_key=KEY)
        assert tiles(page)["Inquiries, 24 hours"] == "0"
        assert len(page.error) == 0


@pytest.mark.parametrize(
    ("now", "both", "shown"),
    [
        ((30, 6), (50, 7), ("+50%", "+15.0 points")),
        ((10, 0), (30, 2), ("-50%", "-10.0 points")),
        ((30, 6), (49, 7), (None, None)),
        ((0, 0), (40, 2), (None, None)),
    ],
)
def test_a_change_is_shown_against_a_period_that_had_enough(
    now: tuple[int, int], both: tuple[int, int], shown: tuple[str | None, str | None]
) -> None:
    assert overview.changes(stats_of(*now), stats_of(*both)) == shown


def stats_of(total: int, escalated: int) -> out.StatsOut:
    rate = escalated / total if total else None
    return out.StatsOut(1, total, total, escalated, rate, 0, {}, {}, {}, {}, None, None)


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (timedelta(0), timedelta(seconds=1)),
        (timedelta(minutes=10), timedelta(seconds=30)),
        (timedelta(days=7), timedelta(hours=6)),
        (timedelta(days=9000), timedelta(days=30)),
    ],
)
def test_a_chart_of_moments_has_no_more_bars_than_can_be_seen(span: timedelta, step: timedelta) -> None:
    assert charts.step_for(span) == step
