"""The notifier `webhook` against real servers: those that take what comes, and those that mean or do harm."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given

from inquiry_svc.contracts import Host, Notifier
from inquiry_svc.errors import ConfigurationError, Unavailable, Undeliverable
from inquiry_svc.inquiries import Feedback, IdempotencyKey, Outcome
from inquiry_svc.metrics import Metrics
from inquiry_svc.notices import NOTICE_KINDS, NoticeKind
from inquiry_svc.testing.notifiers import Heard, NotifierContract, State, notice_of
from inquiry_svc.testing.outcomes import outcomes
from inquiry_svc.testing.samples import NOON, sample_inquiry, sample_outcome
from inquiry_svc.web.outgoing import encode, inquiry_out
from inquiry_svc_plugins.notifiers.webhook import WebhookSettings, open_webhook, reach
from inquiry_svc_plugins.notifiers.webhook.notifier import opened
from inquiry_svc_plugins.notifiers.webhook.payload import encoded
from inquiry_svc_plugins.notifiers.webhook.reach import is_public
from inquiry_svc_plugins.notifiers.webhook.signing import keys_of, signed
from tests.servers.webhook import SECRET, WebhookReceiver, certificate_of_localhost, webhook_receiver

OTHER_SECRET: Final = "whsec_" + base64.b64encode(bytes(range(64))).decode()
TOKEN: Final = "token-in-the-url"
METADATA: Final = "169.254.169.254"
"""Where clouds give away the passwords of a machine to whoever asks from inside it."""


def settings_for(url: str, **changes: Any) -> WebhookSettings:
    wanted: dict[str, Any] = {"secret": SECRET, "kinds": NOTICE_KINDS, "allow_private": True}
    return WebhookSettings(url=url, **{**wanted, **changes})


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@dataclass(frozen=True, slots=True)
class ContractReceiver:
    server: WebhookReceiver
    folder: Path

    def open_notifier(self) -> AbstractAsyncContextManager[Notifier]:
        return open_webhook(settings_for(self.server.url), Host(self.folder, Metrics()))

    async def heard(self) -> Sequence[Heard]:
        return [
            Heard(each.webhook_id, each.content["type"].removeprefix("inquiry."), each.inquiry_id)
            for each in self.server.accepted
        ]

    async def become(self, state: State) -> None:
        await (self.server.stop() if state == "away" else self.server.start())
        if state == "hung":
            self.server.open.clear()
        else:
            self.server.open.set()


class TestWebhookNotifier(NotifierContract):
    @pytest.fixture
    def receiver(self, receiver: WebhookReceiver, tmp_path: Path) -> ContractReceiver:
        return ContractReceiver(receiver, tmp_path)


# The signature


def verified(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float) -> bool:
    """As a receiver does who knows nothing but version 1.0.0 of the specification."""
    sent_at, key = headers["webhook-timestamp"], base64.b64decode(secret.split("_", 1)[1])
    mac = hmac.new(key, b".".join([headers["webhook-id"].encode(), sent_at.encode(), body]), hashlib.sha256)
    wanted = "v1," + base64.b64encode(mac.digest()).decode()
    given = headers["webhook-signature"].split(" ")
    return abs(now_s - int(sent_at)) <= 300 and any(hmac.compare_digest(each, wanted) for each in given)


def test_a_signature_is_what_the_libraries_of_the_specification_expect() -> None:
    """Their common example."""
    headers = signed(
        keys_of(SECRET), webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek", at_s=1614265330, body=b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert verified(SECRET, headers, b'{"test": 2432232314}', now_s=1614265330)


async def test_a_receiver_that_knows_the_specification_alone_can_trust_it(
    receiver: WebhookReceiver,
) -> None:
    outcome = sample_outcome()
    notice = notice_of(outcome, "escalated")
    async with opened(settings_for(receiver.url)) as notifier:
        await notifier.notify(notice, outcome)
    [request] = receiver.requests
    headers, now_s = request.headers, time.time()
    assert headers["webhook-id"] == notice.notice_id
    assert headers["Content-Type"] == "application/json"
    assert verified(SECRET, headers, request.body, now_s=now_s)
    assert not verified(OTHER_SECRET, headers, request.body, now_s=now_s)
    assert not verified(SECRET, headers, request.body.replace(b"escalated", b"resolved"), now_s=now_s)
    assert not verified(SECRET, {**headers, "webhook-id": "another"}, request.body, now_s=now_s)
    assert not verified(SECRET, headers, request.body, now_s=now_s + 900)


async def test_each_of_several_secrets_is_enough_while_receivers_change_over(receiver: WebhookReceiver) -> None:
    outcome = sample_outcome()
    async with opened(settings_for(receiver.url, secret=f"{OTHER_SECRET} {SECRET}\n")) as notifier:
        await notifier.notify(notice_of(outcome), outcome)
    [request] = receiver.requests
    for secret in (SECRET, OTHER_SECRET):
        assert verified(secret, request.headers, request.body, now_s=time.time())


async def test_each_attempt_has_the_same_id_and_is_signed_for_its_own_time(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, clock = sample_outcome(), [1_800_000_000.0, 1_800_003_600.5]
    notice = notice_of(outcome)
    monkeypatch.setattr("inquiry_svc_plugins.notifiers.webhook.notifier.time", lambda: clock.pop(0))
    receiver.statuses = [500]
    async with opened(settings_for(receiver.url)) as notifier:
        with pytest.raises(Unavailable):
            await notifier.notify(notice, outcome)
        await notifier.notify(notice, outcome)
    first, second = receiver.requests
    assert first.webhook_id == second.webhook_id == notice.notice_id
    assert [each.headers["webhook-timestamp"] for each in (first, second)] == ["1800000000", "1800003600"]
    assert verified(SECRET, first.headers, first.body, now_s=1_800_000_000)
    assert verified(SECRET, second.headers, second.body, now_s=1_800_003_600)


# What is sent


@given(outcome=outcomes())
def test_with_text_the_data_is_what_the_http_interface_shows(outcome: Outcome) -> None:
    content = json.loads(encoded(notice_of(outcome), outcome, with_text=True))
    assert content["data"] == json.loads(encode(inquiry_out(outcome)))


@given(outcome=outcomes())
def test_without_text_it_is_that_less_what_people_wrote(outcome: Outcome) -> None:
    shown = json.loads(encode(inquiry_out(outcome)))
    for field_name in ("subject", "body", "sender_email", "sender_name", "metadata"):
        del shown[field_name]
    if shown["feedback"]:
        del shown["feedback"]["reviewer"]
    assert json.loads(encoded(notice_of(outcome), outcome, with_text=False))["data"] == shown


async def test_nothing_of_subject_body_or_sender_leaves_unless_it_is_wanted(receiver: WebhookReceiver) -> None:
    written = ["subject-7f3", "body-7f3", "from-7f3@example.org", "name-7f3", "meta-7f3", "key-7f3", "reviewer-7f3"]
    subject, body, sender_email, sender_name, metadata, key, reviewer = written
    inquiry = sample_inquiry(
        subject=subject,
        body=body,
        sender_email=sender_email,
        sender_name=sender_name,
        metadata={metadata: metadata},
        idempotency_key=IdempotencyKey(key, key),
    )
    outcome = sample_outcome(inquiry, feedback=Feedback("billing", None, None, reviewer, NOON))
    for with_text in (False, True):
        async with opened(settings_for(receiver.url, with_text=with_text)) as notifier:
            await notifier.notify(notice_of(outcome), outcome)
    sent, sent_with_text = [f"{dict(each.headers)} {each.body!r}" for each in receiver.requests]
    assert "7f3" not in sent
    assert [each for each in written if each not in sent_with_text] == [key]


@pytest.mark.parametrize("kind", NOTICE_KINDS)
async def test_the_payload_says_what_happened_when_and_in_which_version(kind: NoticeKind) -> None:
    outcome = sample_outcome()
    notice = notice_of(outcome, kind)
    content = json.loads(encoded(notice, outcome, with_text=False))
    assert content.keys() == {"type", "version", "timestamp", "data"}
    assert (content["type"], content["version"]) == (f"inquiry.{kind}", 1)
    assert content["timestamp"] == notice.created_at.isoformat().replace("+00:00", "Z")


# How an answer is judged


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivered(receiver: WebhookReceiver, status: int) -> None:
    receiver.status = status
    await told(receiver.url)
    assert len(receiver.requests) == 1


async def test_410_says_that_it_will_never_be_wanted(receiver: WebhookReceiver) -> None:
    receiver.status = 410
    with pytest.raises(Undeliverable, match="410"):
        await told(receiver.url)


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 404, 409, 422, 429, 451, 500, 502, 503, 504])
async def test_all_else_is_for_another_time(receiver: WebhookReceiver, status: int) -> None:
    receiver.status = status
    with pytest.raises(Unavailable, match=str(status)):
        await told(receiver.url)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "rest_s"),
    [("", 1), ("0", 0), ("120", 120), ("86400", 3600), ("9" * 9, 1), ("-5", 1), ("1.5", 1), ("Wed, 21 Oct 2026", 1)],
)
async def test_a_receiver_may_say_when_to_come_again(receiver: WebhookReceiver, retry_after: str, rest_s: int) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": retry_after}
    with pytest.raises(Unavailable) as raised:
        await told(receiver.url)
    assert raised.value.retry_after_s == rest_s


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(receiver: WebhookReceiver, status: int) -> None:
    receiver.status = status
    async with webhook_receiver() as elsewhere:
        for target in (elsewhere.url, f"http://{METADATA}/latest/meta-data/"):
            receiver.headers = {"Location": target}
            with pytest.raises(Unavailable, match=str(status)):
                await told(receiver.url)
        assert elsewhere.requests == []
    assert len(receiver.requests) == 2


async def told(url: str, **changes: Any) -> None:
    outcome = sample_outcome()
    async with opened(settings_for(url, **changes)) as notifier:
        await notifier.notify(notice_of(outcome), outcome)


# Servers that do harm


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Listener:
    port: int
    connections: int = 0
    given_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody has closed a connection."""


@asynccontextmanager
async def listening(serve: Serve, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[Listener]:
    """Answers each connection by `serve`, which may be cut off by the other side."""
    tasks = set[asyncio.Task[None]]()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            found.given_up.set()
            writer.close()

    server = await asyncio.start_server(take, host, 0, **options)
    found = Listener(server.sockets[0].getsockname()[1])
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_answer_without_end_is_not_read() -> None:
    written_bytes = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written_bytes
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            written_bytes += 65_536
            await writer.drain()

    async with listening(pour) as listener:
        await told(f"http://127.0.0.1:{listener.port}/")
        async with asyncio.timeout(20):
            await listener.given_up.wait()
    assert written_bytes < 64 * 2**20, "it read on"


async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def continue_for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x00\xff not HTTP at all\r\n\r\n")
    await writer.drain()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def cut_off(telling: Coroutine[Any, Any, object], listener: Listener) -> None:
    """As the time limit does, once it is connected."""
    task = asyncio.create_task(telling)
    async with asyncio.timeout(20):
        while not listener.connections:  # noqa: ASYNC110 (nothing tells)
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("serve", [endless_headers, garbage, hang_up])
async def test_who_answers_no_http_has_not_been_told_and_no_token_is_quoted(serve: Serve) -> None:
    async with listening(serve) as listener:
        with pytest.raises(Unavailable) as raised:
            await told(f"http://127.0.0.1:{listener.port}/{TOKEN}?t={TOKEN}")
    assert TOKEN not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("serve", [drip, continue_for_ever, ignore])
async def test_who_does_not_answer_lets_go_when_the_call_is_cut_off(serve: Serve) -> None:
    async with listening(serve) as listener:
        await cut_off(told(f"http://127.0.0.1:{listener.port}/"), listener)
        async with asyncio.timeout(20):
            await listener.given_up.wait()


async def test_no_refusal_tells_the_token(receiver: WebhookReceiver) -> None:
    receiver.status = 500
    errors: list[Unavailable] = []
    for _ in ("answers 500", "is away"):
        with pytest.raises(Unavailable) as raised:
            await told(f"{receiver.url}/{TOKEN}")
        errors.append(raised.value)
        await receiver.stop()
    assert "can't be reached" in str(errors[1])
    assert TOKEN not in "".join("".join(traceback.format_exception(error)) for error in errors)


async def test_it_keeps_no_cookies_and_takes_no_proxy_and_no_password_from_the_environment(
    receiver: WebhookReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    receiver.headers = {"Set-Cookie": "seen=1; Path=/"}
    async with webhook_receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        outcome = sample_outcome()
        async with opened(settings_for(receiver.url)) as notifier:
            for _ in range(2):
                await notifier.notify(notice_of(outcome), outcome)
        assert proxy.requests == []
    assert [each.headers.keys() & {"Authorization", "Cookie"} for each in receiver.requests] == [set(), set()]


async def test_who_cannot_prove_its_name_gets_nothing(tmp_path: Path) -> None:
    tls, _ = await asyncio.to_thread(certificate_of_localhost, tmp_path)
    async with webhook_receiver(tls) as receiver:
        with pytest.raises(Unavailable, match="certificate"):
            await told(receiver.url)
        assert receiver.requests == []


# Addresses inside the network


PRIVATE: Final = (
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *(METADATA, "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1"),
    *("2001:db8::1", "100::1", "4000::1"),
)
PUBLIC: Final = (
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "223.255.255.254"),
    *("2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"),
)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_inside_a_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_that_is_reached_from_everywhere_is_public(address: str) -> None:
    assert is_public(address)


class Names(AbstractResolver):
    """Resolves every name to what it is told, each time to the next."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None: ...


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::ffff:127.0.0.1"], ["127.0.0.1", "127.0.0.2"], [METADATA]])
async def test_a_name_that_leads_inside_is_not_followed(addresses: Sequence[str]) -> None:
    async with listening(ignore, "0.0.0.0") as listener:
        with pytest.raises(Unavailable, match="not a public address"):
            await told_by_name(Names(addresses), listener.port)
        assert listener.connections == 0


async def test_the_machines_own_name_for_itself_is_not_followed() -> None:
    async with listening(ignore) as listener:
        with pytest.raises(Unavailable, match="not a public address"):
            await told(f"https://localhost:{listener.port}/", allow_private=False)
        assert listener.connections == 0


async def test_a_name_that_leads_inside_only_the_second_time_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 127.0.0.2 were public: the address of each connection is looked at, not the name and not once."""
    monkeypatch.setattr(reach, "is_public", lambda address: address == "127.0.0.2")
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    async with listening(ignore, "127.0.0.2") as public, listening(ignore) as inside:
        await cut_off(told_by_name(names, public.port), public)  # it waits for TLS
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1 is not a public address"):
            await told_by_name(names, inside.port)
        assert inside.connections == 0


async def told_by_name(names: Names, port: int) -> None:
    outcome = sample_outcome()
    settings = settings_for(f"https://receiver.example.org:{port}/", allow_private=False)
    async with opened(settings, resolver=names) as notifier:
        await notifier.notify(notice_of(outcome), outcome)


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1.", "localhost."])
async def test_no_other_way_to_write_an_address_leads_inside(host: str) -> None:
    async with listening(ignore) as listener:
        with pytest.raises((Unavailable, ConfigurationError)):
            await told(f"https://{host}:{listener.port}/", allow_private=False)
        assert listener.connections == 0


# Settings


@pytest.mark.parametrize(
    ("changes", "told_of"),
    [
        ({"url": ""}, "url"),
        ({"url": f"hooks.example.org/{TOKEN}"}, "url"),
        ({"url": f"ftp://hooks.example.org/{TOKEN}"}, "url"),
        ({"url": f"https:///{TOKEN}"}, "url"),
        ({"url": f"https://[::{TOKEN}"}, "url"),
        ({"url": f"http://hooks.example.org/{TOKEN}"}, "allow_private"),
        ({"url": f"https://10.0.0.1/{TOKEN}"}, "allow_private"),
        ({"url": f"https://[::1]/{TOKEN}"}, "allow_private"),
        ({"url": f"https://[::ffff:{METADATA}]/{TOKEN}"}, "allow_private"),
        ({"secret": ""}, "secret"),
        ({"secret": TOKEN}, "secret"),
        ({"secret": f"whsec_{TOKEN}"}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(bytes(23)).decode()}, "secret"),
        ({"secret": "whsec_" + base64.b64encode(bytes(65)).decode()}, "secret"),
        ({"secret": f"{SECRET} {SECRET[6:]}"}, "secret"),
    ],
)
async def test_what_cannot_work_stops_the_start_and_is_not_quoted(
    changes: Mapping[str, Any], told_of: str, tmp_path: Path
) -> None:
    wanted = {"url": "https://hooks.example.org/", "secret": SECRET, **changes}
    with pytest.raises(ConfigurationError, match=told_of) as raised:
        async with open_webhook(WebhookSettings(**wanted), Host(tmp_path, Metrics())):
            pass
    said = "".join(traceback.format_exception(raised.value))
    assert TOKEN not in said
    assert SECRET[6:] not in said


async def test_unless_told_otherwise_it_tells_of_escalations_to_public_addresses_without_text(tmp_path: Path) -> None:
    settings = WebhookSettings(url="https://hooks.example.org/", secret=SECRET)
    assert (settings.with_text, settings.allow_private) == (False, False)
    async with open_webhook(settings, Host(tmp_path, Metrics())) as notifier:
        assert set(notifier.kinds) == {"escalated"}
