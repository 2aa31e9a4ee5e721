"""`inquiry-svc notices` shows what was not delivered and why, has it told again, and drops it, beside a service."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inquiry_svc.contracts import Host
from inquiry_svc.metrics import Metrics
from inquiry_svc.notices import Notice, NoticeFilters, NoticeKind, Settled, Undelivered
from inquiry_svc.testing.notices import notices_of
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc_plugins.stores.sqlite import SqliteSettings, open_sqlite
from tests.acceptance.serving import run_command


async def stored(folder: Path) -> list[Notice]:
    """One that is set aside, one that waits for another attempt, one that is due, and one of another notifier."""
    now = datetime.now(UTC)
    told: list[tuple[NoticeKind, str, int]] = [
        ("escalated", "chat", 80),
        ("triaged", "chat", 2),
        ("triaged", "chat", 1),
        ("resolved", "desk", 3),
    ]
    outcomes = [sample_outcome() for _ in told]
    made = [
        notices_of(each, kind, notifier=notifier, at=now - timedelta(hours=hours))[0]
        for each, (kind, notifier, hours) in zip(outcomes, told, strict=True)
    ]
    async with open_sqlite(SqliteSettings(), Host(folder, Metrics())) as store:
        await store.save(outcomes, made)
        aside, again = await store.claim_notices("chat", now=now, until=now, limit=2)
        await store.settle_notices(
            [
                Settled(aside, "set_aside", now, "the receiver answered 410"),
                Settled(again, "failed", now + timedelta(minutes=40), "no answer in time"),
            ]
        )
    return made


async def left(folder: Path) -> list[Undelivered]:
    async with open_sqlite(SqliteSettings(), Host(folder, Metrics())) as store:
        return list(await store.notices(NoticeFilters(), limit=100))


def notices(folder: Path, *arguments: str, stdin: str = "") -> str:
    code, out, err = run_command("notices", *arguments, "--data-dir", str(folder), stdin=stdin)
    assert (code, err) == (0, "")
    return out


async def test_the_list_shows_what_is_not_told_and_why(tmp_path: Path) -> None:
    aside, again, due, desk = await stored(tmp_path)
    before = (tmp_path / "inquiries.sqlite3").read_bytes()
    lines = notices(tmp_path, "list").splitlines()
    assert [line.split()[:2] for line in lines] == [
        [each.notice_id, each.notifier] for each in (aside, again, due, desk)
    ]
    assert lines[0].endswith("  set aside   1 failed: the receiver answered 410")
    assert re.search(r"  due in 3\d min  1 failed: no answer in time$", lines[1])
    assert lines[2].endswith("  waiting")
    assert f"  inquiry {aside.inquiry_id}  {aside.created_at:%Y-%m-%d %H:%M:%SZ}  " in lines[0]
    assert notices(tmp_path, "list", "--notifier", "chat").splitlines() == [
        "chat: 2 wait, the oldest for 2 h 0 min; 1 set aside",
        *lines[:3],
    ]
    assert notices(tmp_path, "list", "--set-aside").splitlines() == lines[:1]
    assert notices(tmp_path, "list", "--limit", "2").splitlines() == lines[:2]
    assert (tmp_path / "inquiries.sqlite3").read_bytes() == before


async def test_what_is_set_aside_or_waits_can_be_told_again_by_id_or_all_at_once(tmp_path: Path) -> None:
    aside, *_ = await stored(tmp_path)
    assert notices(tmp_path, "retry", aside.notice_id) == "1 notice is due now\n"
    assert [each.set_aside_at for each in await left(tmp_path)] == [None] * 4
    assert notices(tmp_path, "retry", "--all", "--notifier", "desk") == "0 notices are due now\n"
    assert notices(tmp_path, "retry", "--all") == "1 notice is due now\n"
    assert all(each.due_at <= datetime.now(UTC) for each in await left(tmp_path))


async def test_what_is_dropped_is_asked_about_and_is_gone(tmp_path: Path) -> None:
    _, again, due, desk = await stored(tmp_path)
    code, _, err = run_command("notices", "drop", "--all", "--data-dir", str(tmp_path), stdin="n\n")
    assert (code, err) == (1, "inquiry-svc: interrupted\n")
    assert len(await left(tmp_path)) == 4
    assert notices(tmp_path, "drop", "--all", stdin="y\n").endswith("1 notice is dropped\n")
    assert [each.notice for each in await left(tmp_path)] == [again, due, desk]
    assert notices(tmp_path, "drop", "--all", "--waiting", "--notifier", "desk", "--yes") == "1 notice is dropped\n"
    assert notices(tmp_path, "drop", due.notice_id, "--yes") == "1 notice is dropped\n"
    assert [each.notice for each in await left(tmp_path)] == [again]


async def test_a_thousand_and_more_are_done_in_small_steps(tmp_path: Path) -> None:
    outcome = sample_outcome()
    async with open_sqlite(SqliteSettings(), Host(tmp_path, Metrics())) as store:
        await store.save([outcome], notices_of(outcome, *["triaged"] * 2345))  # type: ignore[arg-type]
    assert notices(tmp_path, "drop", "--all", "--waiting", "--yes") == "2,345 notices are dropped\n"


@pytest.mark.parametrize("arguments", [["retry"], ["drop", "--yes"], ["retry", "x", "--all"]])
def test_it_says_what_to_name_where_nothing_or_too_much_is_named(tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = run_command("notices", *arguments, "--data-dir", str(tmp_path))
    assert (code, out) == (2, "")
    assert err.startswith("inquiry-svc: name notices by their ids")


@pytest.mark.parametrize("arguments", [["list"], ["retry", "--all"], ["drop", "--all", "--yes"]])
def test_where_no_store_is_none_is_made(tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = run_command("notices", *arguments, "--data-dir", str(tmp_path / "nowhere"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "nowhere").exists()
