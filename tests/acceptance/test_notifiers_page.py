"""docs/notifiers.md: its commands run, its settings are settings, and its receiver does what the page says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, get_args

import aiohttp
import pytest
from aiohttp import web

from inquiry_svc.config import load_settings
from inquiry_svc.notices import NOTICE_KINDS, NoticeKind
from inquiry_svc.plugins import Offers, build_manager
from inquiry_svc.testing.notifiers import notice_of
from inquiry_svc.testing.running import running_service
from inquiry_svc.testing.samples import sample_outcome
from inquiry_svc_plugins.notifiers.webhook.notifier import opened
from inquiry_svc_plugins.notifiers.webhook.payload import encoded
from tests.acceptance.serving import child_environ
from tests.plugins.test_notifier_webhook import OTHER_SECRET, settings_for
from tests.servers.webhook import SECRET, WebhookReceiver, webhook_receiver

PAGE: Final = (Path(__file__).parents[2] / "docs/notifiers.md").read_text()
BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [block for found, block in BLOCKS if found == language]


@asynccontextmanager
async def receiver_of_the_page(chat: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Its URL."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("CHAT_URL", chat.url)
    names: dict[str, Any] = {"__name__": "receiver"}
    exec("".join(blocks("python")), names)
    runner = web.AppRunner(names["app"], access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/inquiries"
    finally:
        await runner.cleanup()


async def test_its_receiver_tells_a_chat_of_an_escalation(monkeypatch: pytest.MonkeyPatch) -> None:
    async with webhook_receiver() as chat, receiver_of_the_page(chat, monkeypatch) as url:
        chat.status = 200
        settings = {
            "notifiers.providers": ("webhook",),
            "notifiers.webhook.url": url,
            "notifiers.webhook.secret": f"{OTHER_SECRET} {SECRET}",
            "notifiers.webhook.allow_private": True,
        }
        body = {
            "body": "Our lawyers will sue you unless you answer by tomorrow. This is unacceptable!",
            "sender_email": "ana@example.org",
        }
        async with running_service(settings) as running:
            async with running.client.post("/api/v1/inquiries/submit", json=body) as answer:
                inquiry = await answer.json()
            assert inquiry["routing"]["escalated"]
            async with asyncio.timeout(20):
                while not chat.accepted:  # noqa: ASYNC110 (a server tells nobody)
                    await asyncio.sleep(0.01)
    [said] = chat.accepted
    urgency = inquiry["urgency"]["label"]
    assert said.content["text"].startswith(
        f"{inquiry['inquiry_id']}: {urgency}, for {inquiry['routing']['consultant']}, "
    )


async def test_its_receiver_says_a_thing_once_and_believes_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = sample_outcome()
    notice = notice_of(outcome)
    async with webhook_receiver() as chat, receiver_of_the_page(chat, monkeypatch) as url:
        chat.statuses, chat.status = [500], 200
        async with opened(settings_for(url)) as notifier:
            with pytest.raises(Exception, match="503"):
                await notifier.notify(notice, outcome)
            for _ in range(2):
                await notifier.notify(notice, outcome)
        assert len(chat.accepted) == 1
        other = sample_outcome()
        async with opened(settings_for(url, secret=OTHER_SECRET)) as forger:
            with pytest.raises(Exception, match="401"):
                await forger.notify(notice_of(other), other)
        async with aiohttp.ClientSession() as client, client.post(url, data=b"{}") as answer:
            assert answer.status == 401
        assert len(chat.requests) == 2


def test_a_request_that_was_caught_and_is_sent_again_later_is_not_believed() -> None:
    names: dict[str, Any] = {}
    exec(blocks("python")[0], names)
    headers = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330"}
    headers["webhook-signature"] = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    body = b'{"test": 2432232314}'
    for seconds, believed in ((1614265330, True), (1614265330 + 301, False)):
        names["time"] = type("Clock", (), {"time": staticmethod(lambda seconds=seconds: seconds)})
        assert names["is_genuine"](SECRET, headers, body) is believed


def test_its_example_has_the_form_of_what_is_sent() -> None:
    [example] = blocks("json")
    outcome = sample_outcome()
    sent = json.loads(encoded(notice_of(outcome), outcome, with_text=False))
    assert form(json.loads(example)) == form(sent)


def form(content: Any) -> Any:
    """Names and kinds of values. A list stands for any."""
    if isinstance(content, Mapping):
        return {name: form(value) for name, value in content.items()}
    return type(content).__name__


def test_it_names_every_kind() -> None:
    assert re.findall(r"^\| `(\w+)` \| .*\|$", PAGE, re.MULTILINE) == list(NOTICE_KINDS) == list(get_args(NoticeKind))


def test_its_settings_are_settings(tmp_path: Path) -> None:
    public, private = blocks("toml")
    for number, block in enumerate([public, private]):
        file = tmp_path / f"{number}.toml"
        file.write_text(block)
        settings, _ = load_settings(Offers(build_manager()), file=file)
        webhook = settings.of_providers["notifiers", "webhook"]
        assert webhook.allow_private is (block is private)
    assert settings.notifiers.timeout_s == 10
    assert settings.notifiers.give_up_after_s == 3 * 24 * 3600


def test_its_commands_make_secrets_that_the_service_takes(tmp_path: Path) -> None:
    make, both = [block for block in blocks("sh") if "webhook-secret" in block]
    (tmp_path / "old-webhook-secret").write_text(f"{OTHER_SECRET}\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", make + both],
        cwd=tmp_path,
        env=child_environ({"PATH": path}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"notifiers\.webhook\.secret .*\*\*\*.*INQUIRY_NOTIFIERS__WEBHOOK__SECRET_FILE", done.stdout)
    secrets = (tmp_path / "both-webhook-secrets").read_text().split()
    assert secrets == [(tmp_path / "webhook-secret").read_text().strip(), OTHER_SECRET]
    assert len(base64.b64decode(secrets[0].removeprefix("whsec_"))) == 32
