"""What is done to a stack: things are broken, and mended again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import psutil

from inquiry_svc.inquiries import CATEGORIES
from tests.acceptance.serving import run_command
from tests.acceptance.watched_site import running
from tests.alive.hurrying import FACTOR
from tests.alive.stack import Stack
from tests.alive.traffic import ANGRY, CALM, PAUSE_S
from tests.alive.trouble import FEW_FILES
from tests.alive.waiting import LIMIT_S, until
from tests.fault_proxy import FaultProxy
from tests.servers import free_port
from tests.servers.prometheus import program

PROBER_CONFIG: Final = Path(__file__).parents[2] / "monitoring/prometheus/blackbox.yml"

UNLUCKY: Final = "The text that the database does not take."
UNCLEAR: Final = "Zzz."

_REFUSE_THE_UNLUCKY: Final = f"""
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.body LIKE '{UNLUCKY}%' THEN RAISE EXCEPTION USING ERRCODE = 'data_exception'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON inquiries FOR EACH ROW EXECUTE FUNCTION refuse();
"""
_TAKE_FROM_THE_STREAM: Final = """
redis.call('XADD', 'inquiries', ARGV[1], 'inquiry', ARGV[2])
return redis.call('XREADGROUP', 'GROUP', 'inquiry-svc', 'another', 'STREAMS', 'inquiries', '>')
"""
_SPOIL_EVERY_VALUE: Final = "for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('SET', key, 'spoilt') end"


async def nothing(stack: Stack) -> None:
    pass


async def kill_the_store(stack: Stack) -> None:
    """While nobody writes: the alert does not wait for the first who is turned away."""
    stack.traffic.wanted.clear()
    await asyncio.to_thread(stack.postgres.kill)
    await until(lambda: _fires(stack, "DatabaseConnectionIssues"), "DatabaseConnectionIssues fires")
    stack.traffic.wanted.set()


async def start_the_store(stack: Stack) -> None:
    await asyncio.to_thread(stack.postgres.start)


async def kill_the_service(stack: Stack) -> None:
    stack.service.process.kill()


async def start_the_service(stack: Stack) -> None:
    stack.service = await stack.start_service()


async def refuse_every_notice(stack: Stack) -> None:
    """As a receiver does that has moved away for good."""
    stack.receiver.status = 410


async def have_them_told_again(stack: Stack) -> None:
    stack.receiver.status = 204
    code, out, err = await asyncio.to_thread(run_command, "notices", "retry", "--all", environ=stack.environ)
    assert code == 0, f"{out}{err}"


async def flood_with_anger(stack: Stack) -> None:
    stack.traffic.texts = (CALM[0], ANGRY[0], CALM[1], ANGRY[1])
    stack.traffic.pause_s = 4 * PAUSE_S


async def calm_down(stack: Stack) -> None:
    """With more of the usual than usual, so that the hour need not pass."""
    stack.traffic.texts = CALM
    stack.traffic.pause_s = PAUSE_S / 2


async def settle_the_classifier(stack: Stack) -> None:
    stack.make("none")
    await calm_down(stack)


async def fail_the_classifier(stack: Stack) -> None:
    stack.make("the classifier raises")


async def unsettle_the_classifier(stack: Stack) -> None:
    stack.make("the classifier is unsure")


async def fail_every_second_answer(stack: Stack) -> None:
    stack.make("one answer in two fails")


async def slow_every_fourth_answer(stack: Stack) -> None:
    stack.make("one answer in four is slow")


async def end_the_trouble(stack: Stack) -> None:
    stack.make("none")


# The cache and the stream


async def kill_the_cache(stack: Stack) -> None:
    stack.cache.kill()


async def start_the_cache(stack: Stack) -> None:
    await stack.cache.start()


async def fill_the_cache(stack: Stack) -> None:
    stack.traffic.alike = True
    await _until_there(stack, 'sum(increase(cache_lookups_total{result="hit"}[1m])) > 0')


async def spoil_the_cache(stack: Stack) -> None:
    await stack.cache.ask("EVAL", _SPOIL_EVERY_VALUE, "0")


async def write_no_two_alike(stack: Stack) -> None:
    stack.traffic.alike = False


async def kill_the_stream(stack: Stack) -> None:
    stack.stream.kill()


async def start_the_stream(stack: Stack) -> None:
    await stack.stream.start()


async def await_the_group(stack: Stack) -> None:
    async def is_there() -> bool:
        return b"inquiry-svc" in await stack.stream.ask("XINFO", "GROUPS", "inquiries")

    await until(is_there, "the source reads the stream")


async def hold_a_message_elsewhere(stack: Stack) -> None:
    """Another process of the group took it ten minutes ago, and hangs."""
    inquiry = json.dumps({"body": CALM[0], "sender_email": "ana@example.org"})
    id_ = f"{int((time.time() - 600) * 1000)}-0"
    taken = await stack.stream.ask("EVAL", _TAKE_FROM_THE_STREAM, "0", id_, inquiry)
    assert taken.startswith(b"*"), taken


async def lose_what_is_held(stack: Stack) -> None:
    await stack.stream.ask("XGROUP", "DELCONSUMER", "inquiries", "inquiry-svc", "another")
    await stack.stream.ask("XTRIM", "inquiries", "MAXLEN", "0")


async def queue_what_is_no_inquiry(stack: Stack) -> None:
    await stack.stream.ask("XADD", "inquiries", "*", "inquiry", "{}")


# The database


async def refuse_every_second_line(stack: Stack) -> None:
    await asyncio.to_thread(stack.postgres.sql, _REFUSE_THE_UNLUCKY)
    stack.traffic.in_bulk = True
    stack.traffic.texts = (CALM[0], UNLUCKY)


async def take_every_line(stack: Stack) -> None:
    await asyncio.to_thread(stack.postgres.sql, "DROP FUNCTION refuse CASCADE")
    stack.traffic.in_bulk = False
    stack.traffic.texts = CALM


async def lock_the_tables(stack: Stack) -> None:
    """Again and again for a moment: whoever asks gets an answer, and most of the time all wait."""
    stack.begin(_lock(stack.postgres.url()), *(_list(stack.service.url) for _ in range(24)))


async def end_what_was_begun(stack: Stack) -> None:
    await stack.end()


async def have_something_reviewed(stack: Stack) -> None:
    stack.traffic.texts = (UNCLEAR,)

    async def is_there() -> bool:
        return await asyncio.to_thread(stack.postgres.sql, "SELECT count(*) FROM reviews") != "0"

    await until(is_there, "an inquiry waits for review")
    stack.traffic.texts = CALM


async def let_a_review_grow_old(stack: Stack) -> None:
    await asyncio.to_thread(stack.postgres.sql, "UPDATE reviews SET timestamp = now() - interval '4 days'")


async def review_all(stack: Stack) -> None:
    await asyncio.to_thread(stack.postgres.sql, "DELETE FROM reviews")


async def answer_too_late(stack: Stack) -> None:
    """Thirty inquiries, an hour after they were due."""
    await asyncio.to_thread(stack.postgres.sql, "UPDATE routing_decisions SET sla_due_at = now() - interval '1 hour'")
    await _post_on_each(stack, "resolve", 30, {})


async def answer_many_in_time(stack: Stack) -> None:
    due_tomorrow = "UPDATE routing_decisions SET sla_due_at = now() + interval '1 day' WHERE resolved_at IS NULL"
    await asyncio.to_thread(stack.postgres.sql, due_tomorrow)
    await _post_on_each(stack, "resolve", 250, {})


async def find_the_categories_wrong(stack: Stack) -> None:
    """Those who read CALM say that it is about staff."""
    await _post_on_each(stack, "feedback", 60, {"category": "hr"})


async def find_the_categories_right(stack: Stack) -> None:
    """As the model says: that it is wrong was a mistake. Enough to make up for it."""
    for category in CATEGORIES:
        await _post_on_each(stack, "feedback", 450, {"category": category}, category)


# The machine, the processes and the way to them


async def kill_each_new_worker(stack: Stack) -> None:
    """Three times the youngest, so that the other one serves on."""
    for _ in range(3):
        workers = stack.service.workers()
        victim = max(workers, key=lambda process_id: psutil.Process(process_id).create_time())
        os.kill(victim, signal.SIGKILL)

        async def is_replaced(victim: int = victim, count: int = len(workers)) -> bool:
            now = stack.service.workers()
            return victim not in now and len(now) == count

        await until(is_replaced, "another worker is started")


async def open_many_connections(stack: Stack) -> None:
    [(_, open_before)] = await stack.prometheus.ask("sum(process_open_fds{job='inquiry-svc'})")
    stack.begin(_stay_connected(stack.service.url, int(0.88 * 2 * FEW_FILES - open_before)))


async def let_the_disk_fill_up(stack: Stack) -> None:
    stack.make("the disk fills up")


async def fill_the_disk(stack: Stack) -> None:
    stack.make("the disk is almost full")


async def start_another_instance(stack: Stack) -> None:
    stack.second = await stack.start_service("second", free_port())
    stack.scrape(stack.service.url, stack.second.url)
    await _until_there(stack, "sum(up{job='inquiry-svc'}) == 2")


async def kill_the_other_instance(stack: Stack) -> None:
    assert stack.second
    stack.second.process.kill()


async def start_it_again(stack: Stack) -> None:
    assert stack.second
    stack.second = await stack.start_service("second", int(stack.second.url.rpartition(":")[2]))


async def lose_the_target(stack: Stack) -> None:
    stack.scrape()


async def find_the_target(stack: Stack) -> None:
    stack.scrape(stack.service.url)


async def probe_through_a_proxy(stack: Stack) -> None:
    stack.way = FaultProxy(int(stack.service.url.rpartition(":")[2]))
    listening = await stack.opened.enter_async_context(await asyncio.start_server(stack.way.serve, "127.0.0.1", 0))
    command = [program("blackbox-exporter"), f"--config.file={PROBER_CONFIG}"]
    log = stack.folder / "prober.log"
    stack.opened.enter_context(running([*command, f"--web.listen-address={stack.prober}"], log))
    stack.probe(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/api/v1/inquiries/classify")
    await _until_there(stack, "probe_success == 1")


async def cut_the_way(stack: Stack) -> None:
    assert stack.way
    stack.way.fault = "reset"


async def mend_the_way(stack: Stack) -> None:
    assert stack.way
    stack.way.fault = "none"
    await _until_there(stack, "probe_success == 1")
    stack.probe()  # or it would tell of the next fault


# Models and plugins


async def name_a_model_that_is_gone(stack: Stack) -> None:
    models = stack.data_dir / "models"
    models.mkdir(exist_ok=True)
    (models / "aliases.json").write_text(json.dumps({"champion": {"provider": "xgboost", "digest": "0" * 64}}))


async def name_none(stack: Stack) -> None:
    (stack.data_dir / "models/aliases.json").unlink()


async def fail_the_fallback(stack: Stack) -> None:
    stack.make("the fallback raises")


async def fail_a_watcher(stack: Stack) -> None:
    stack.make("a watcher raises")


async def slow_the_classifier(stack: Stack) -> None:
    """So that more is sent than there are places for."""
    stack.make("the classifier is slow")
    stack.traffic.pause_s = PAUSE_S / 6


async def quicken_the_classifier(stack: Stack) -> None:
    stack.make("none")
    stack.traffic.pause_s = PAUSE_S


async def be_quiet_for_an_hour(stack: Stack) -> None:
    stack.traffic.wanted.clear()
    await _until_there(stack, f"sum(increase(inquiries_processed_total[{3600 // FACTOR}s])) == 0", within_s=600)


async def slow_every_answer(stack: Stack) -> None:
    stack.make("every answer is slow")
    stack.traffic.pause_s = PAUSE_S / 12
    stack.traffic.wanted.set()


async def quicken_every_answer(stack: Stack) -> None:
    stack.make("none")
    stack.traffic.pause_s = PAUSE_S / 2


async def slow_the_day(stack: Stack) -> None:
    """Then nobody writes, so that the day stays as it is."""
    stack.make("the classifier is slow")
    await _until_there(stack, "ALERTS{alertname='InferenceBudgetBurn'}")
    stack.traffic.wanted.clear()


async def make_up_for_the_day(stack: Stack) -> None:
    stack.make("none")
    stack.traffic.pause_s = PAUSE_S / 4
    stack.traffic.wanted.set()


async def fail_an_answer_in_thirty(stack: Stack) -> None:
    stack.make("one answer in thirty fails")
    stack.traffic.pause_s = PAUSE_S / 4


async def end_the_rare_trouble(stack: Stack) -> None:
    """With much more of the usual: the six hours of the next pace would not forget it."""
    stack.make("none")
    stack.traffic.pause_s = PAUSE_S / 10


async def _fires(stack: Stack, alert: str) -> bool:
    return alert in await stack.firing()


async def _until_there(stack: Stack, query: str, *, within_s: float = LIMIT_S) -> None:
    async def is_there() -> bool:
        return bool(await stack.prometheus.ask(query))

    await until(is_there, query, within_s=within_s)


async def _post_on_each(
    stack: Stack, what: str, count: int, sent: Mapping[str, str], category: str | None = None
) -> None:
    """On so many open inquiries, or as many as there are; of one category, if it is said."""
    which = f"WHERE resolved_at IS NULL AND category = '{category}'" if category else "WHERE resolved_at IS NULL"
    ids = f"SELECT inquiry_id FROM outcomes {which} ORDER BY timestamp LIMIT {count}"
    async with aiohttp.ClientSession(stack.service.url) as session:
        for inquiry_id in (await asyncio.to_thread(stack.postgres.sql, ids)).split():
            async with session.post(f"/api/v1/inquiries/{inquiry_id}/{what}", json=sent) as answer:
                assert answer.status in (200, 201), await answer.text()


async def _lock(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        while True:
            async with connection.transaction():
                await connection.execute("LOCK TABLE inquiries")
                await connection.execute("SELECT pg_sleep(0.25)")
    finally:
        connection.terminate()


async def _list(url: str) -> None:
    async with aiohttp.ClientSession(url) as session:
        while True:
            async with session.get("/api/v1/inquiries") as answer:
                await answer.read()


async def _stay_connected(url: str, count: int) -> None:
    """Each asks once, so that it is none who says nothing."""
    address = url.removeprefix("http://")
    host, _, port = address.rpartition(":")
    async with AsyncExitStack() as opened:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(host, int(port))
            opened.callback(writer.close)
            writer.write(f"GET /api/v1/health/live HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()
