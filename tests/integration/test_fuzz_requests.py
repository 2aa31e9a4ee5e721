"""Whatever bytes come, nothing breaks: what is valid is taken, and the rest is refused with the field's name.

The inputs are random bytes, valid bodies with random damage, and bodies made to be valid; over HTTP, and far more of
them against the check alone, which is the code that HTTP calls.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from inquiry_svc.intake.bodies import FeedbackIn, ResolveIn, SubmitIn, TextIn
from inquiry_svc.intake.checking import MAX_BODY_BYTES, MAX_METADATA_BYTES, WHITESPACE
from inquiry_svc.intake.inquiry import fingerprint_of, inquiry_of
from inquiry_svc.testing.problems import assert_problem
from inquiry_svc.testing.providers import FunctionClassifier, Offering
from inquiry_svc.testing.running import running_service
from inquiry_svc.web.incoming import Refusal, validate
from inquiry_svc.web.problems import problem

VALID: Final = json.dumps(
    {
        "subject": "Charged twice",
        "body": "My card was charged twice for March.",
        "sender_email": "ana@example.org",
        "sender_name": "Ana",
        "source": "web",
        "received_at": "2026-11-23T09:00:00Z",
        "metadata": {"order": "A-17", "n": [1, 2.5, None, True, {"deep": {"er": []}}]},
    }
).encode()
FRAGMENTS: Final = (
    *(b"\\u0000", b"\\ud800", b"\\udfff\\ud800", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u202e".encode()),
    *(b"NaN", b"-Infinity", b"1e999", b"-1e-999", b"9" * 400, b"-9223372036854775809", b"0.1e+308", b"-0", b"01"),
    *(b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[" * 40, b'{"a":' * 40, b"]" * 40, b"}" * 40, b"[" * 9_000),
    *(
        b'"body":1,',
        b'"\\u0062ody":1,',
        b'"metadata":',
        b'"sender_email":"a@b"',
        b"x" * 600,
        b" " * 11_000,
        b"@",
        b"\\",
    ),
    *(
        b'"received_at":"0001-01-01T00:00:00Z",',
        b'"received_at":"9999-12-31T23:59:59-14:00",',
        b'"received_at":"24:00"',
    ),
    *("\u0300".encode() * 50, "\U0010ffff".encode(), "ﷺ".encode() * 100, b"\x7f", b"\x85", b"\n", b'"', b",", b":"),
)

_ROUNDS: Final = 400
HANG_S: Final = 1.0
"""Of this process's own time, which others on the machine don't lengthen; who waits idly for longer is cut off."""


def mutated(rng: random.Random) -> bytes:
    """A valid body, or a handful of bytes, damaged in a few places."""
    raw = bytearray(VALID if rng.random() < 0.9 else rng.randbytes(rng.randrange(60)))
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        place = rng.randrange(len(raw) + 1)
        other = min(len(raw), place + rng.choice([1, 1, 2, 10, 50]))
        match rng.randrange(6):
            case 0:
                raw[place:other] = b""
            case 1:
                raw[place:place] = rng.randbytes(rng.choice([1, 1, 4]))
            case 2:
                raw[place:place] = rng.choice(FRAGMENTS)
            case 3:
                raw[place:other] = rng.choice(FRAGMENTS)
            case 4:
                raw[place:place] = raw[place:other]
            case _:
                values = [b'"' + name + b'":' for name in (b"body", b"subject", b"metadata", b"source", b"received_at")]
                raw = bytearray(VALID.replace(b"{", b"{" + rng.choice(values) + rng.choice(FRAGMENTS) + b",", 1))
    return bytes(raw)


def _well_refused(raw: bytes, kind: type[Any]) -> bool:
    """Check the bytes as a handler does. Raises `AssertionError` for a refusal that is not a good one."""
    try:
        value = validate(raw, kind)
    except Refusal as refusal:
        assert refusal.status in (400, 422)
        assert_problem(msgspec.json.decode(msgspec.json.encode(problem(refusal, "id"))), refusal.status)
        return True
    if isinstance(value, SubmitIn):
        assert 1 <= len(value.body) <= 10_000
        assert value.body == value.body.strip(WHITESPACE)
        assert "\0" not in repr(value).encode().decode()
        assert len(msgspec.json.encode(value.metadata)) <= MAX_METADATA_BYTES
        fingerprint_of(value)
        msgspec.json.encode(inquiry_of(value, idempotency_key=None))
    return False


def _check_at_random(rng: random.Random, rounds: int, chosen: int) -> int:
    refused = 0
    for number in range(rounds):
        raw, kind = mutated(rng), rng.choice([SubmitIn, SubmitIn, SubmitIn, TextIn, FeedbackIn, ResolveIn])
        began_s = time.process_time()
        try:
            refused += _well_refused(raw, kind)
        except Exception as error:
            raise AssertionError(f"seed {chosen}, round {number}: {kind.__name__} of {raw!r}") from error
        assert time.process_time() - began_s < HANG_S, (
            f"seed {chosen}, round {number}: {kind.__name__} of {raw!r} hangs"
        )
    return refused


def test_damaged_bodies_are_refused_well_or_are_valid_still() -> None:
    chosen = random.randrange(2**32)
    refused = _check_at_random(random.Random(chosen), 20_000, chosen)
    assert 10_000 < refused < 20_000, f"seed {chosen}: the damage is too small or too great"


@given(raw=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=300)
def test_any_bytes_are_refused_well(raw: bytes) -> None:
    assert _well_refused(raw, SubmitIn)


# Text that the interface allows: no NUL, no lone surrogate.
_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
_JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_METADATA: Final = st.dictionaries(_TEXT, _JSON, max_size=4).filter(
    lambda document: len(json.dumps(document, ensure_ascii=False).encode()) <= MAX_METADATA_BYTES
)
_OPTIONAL: Final[dict[str, st.SearchStrategy[Any]]] = {
    "subject": _TEXT,
    "sender_name": st.none() | _TEXT,
    "source": st.sampled_from(["api", "email", "web", "chat", "bulk", "other"]),
    "received_at": st.none() | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()),
    "metadata": _METADATA,
}


def _valid_bodies() -> st.SearchStrategy[dict[str, Any]]:
    required: dict[str, st.SearchStrategy[Any]] = {
        "body": _TEXT.filter(lambda text: text.strip(WHITESPACE)) | st.just("\U0001f600" * 10_000),
        "sender_email": st.emails(),
    }
    return st.fixed_dictionaries(required, optional=_OPTIONAL).filter(
        lambda sent: sent.get("received_at") is None or "1972" <= sent["received_at"] < "8999"
    )


async def test_what_is_valid_is_taken_and_given_back() -> None:
    def ask(post: Callable[[bytes], tuple[int, Any]]) -> None:
        @_examples(200)
        @given(sent=_valid_bodies(), ascii_only=st.booleans())
        def check(sent: dict[str, Any], ascii_only: bool) -> None:
            raw = json.dumps(sent, ensure_ascii=ascii_only).encode()
            status, found = post(raw)
            if len(raw) > MAX_BODY_BYTES:
                assert status == 413
                return
            assert status == 201, found
            assert found["body"] == sent["body"].strip(WHITESPACE)
            assert found["metadata"] == sent.get("metadata", {})
            assert repr(found["metadata"]) == repr(sent.get("metadata", {}))

        check()

    await _over_http(ask)


async def test_damaged_requests_over_http_are_never_our_fault() -> None:
    chosen = random.randrange(2**32)

    def ask(post: Callable[[bytes], tuple[int, Any]]) -> None:
        _post_at_random(post, random.Random(chosen), _ROUNDS, chosen)

    await _over_http(ask)


def _post_at_random(post: Callable[[bytes], tuple[int, Any]], rng: random.Random, rounds: int, chosen: int) -> None:
    for number in range(rounds):
        raw = mutated(rng)
        began_s = time.process_time()
        status, document = post(raw)
        assert time.process_time() - began_s < HANG_S, f"seed {chosen}, round {number}: {raw!r} hangs"
        assert status in (201, 400, 413, 422), f"seed {chosen}, round {number}: {raw!r} gives {document}"
        if status != 201:
            assert_problem(document, status)


async def test_ten_megabytes_of_anything_are_413() -> None:
    def ask(post: Callable[[bytes], tuple[int, Any]]) -> None:
        for byte in (b"x", b"[", b"{", b'"', b"\0", b"9"):
            status, document = post(byte * 10_000_000)
            assert status == 413
            assert_problem(document, 413)

    await _over_http(ask)


async def test_damaged_http_gets_no_5xx_and_the_service_lives_on() -> None:
    chosen = random.randrange(2**32)
    heads = [
        b"POST /api/v1/inquiries/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Idempotency-Key: k\r\nX-Request-ID: r\r\nContent-Length: %d\r\n\r\n%s" % (len(VALID), VALID),
        b"GET /api/v1/inquiries?limit=5&cursor=abc HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
        b"POST /api/v1/inquiries/bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}\n{}\r\n0\r\n\r\n",
    ]
    pieces = (
        *FRAGMENTS,
        b"\r\n",
        b"\r\n\r\n",
        b"%",
        b"%00",
        b"%ff",
        b"HTTP/1.0",
        b"Expect: x\r\n",
        b"Upgrade: h2c\r\n",
    )

    rng = random.Random(chosen)

    def damaged() -> bytes:
        raw = bytearray(rng.choice(heads))
        for _ in range(rng.choice([1, 2, 5])):
            place = rng.randrange(len(raw))
            end = place + rng.choice([0, 1, 5])
            raw[place:end] = rng.choice(pieces) if rng.random() < 0.7 else rng.randbytes(2)
        return bytes(raw)

    limits = {"server.body_timeout_s": 0.3, "server.header_timeout_s": 0.3, "server.keepalive_timeout_s": 0.3}
    async with running_service(limits) as running:
        sent = [damaged() for _ in range(400)]
        answers = await asyncio.gather(*(_exchange(running.url, raw) for raw in sent))
        for raw, answer in zip(sent, answers, strict=True):
            statuses = re.findall(rb"HTTP/\d\.\d (\d)\d\d ", answer)
            assert b"5" not in statuses, f"seed {chosen}: {raw!r} gives {answer!r}"
        assert sum(bool(answer) for answer in answers) > 300, f"seed {chosen}: too few were answered to tell"
        async with running.client.get("/api/v1/health") as health:
            assert health.status == 200


async def _exchange(url: str, raw: bytes) -> bytes:
    """Send the bytes and read until the server closes, or has been quiet for longer than its own limits."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    answer = bytearray()
    with suppress(ConnectionError, TimeoutError):  # closed on us, as it may be
        writer.write(raw)
        while chunk := await asyncio.wait_for(reader.read(65_536), 2):
            answer += chunk
    writer.close()
    return bytes(answer)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_damaged_bodies() -> None:
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")
    _check_at_random(random.Random(chosen), 950_000, chosen)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_fifty_thousand_damaged_requests_over_http() -> None:
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")

    def ask(post: Callable[[bytes], tuple[int, Any]]) -> None:
        _post_at_random(post, random.Random(chosen), 50_000, chosen)

    await _over_http(ask)


def _examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")
    limits = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    return lambda check: seed(chosen)(limits(check))


async def _over_http(ask: Callable[[Callable[[bytes], tuple[int, Any]]], None]) -> None:
    """Run `ask` in a thread with a function that submits bytes and returns the status and the answer."""
    offering = Offering(classifier=FunctionClassifier())
    quiet = {"classifier.provider": "given", "logging.requests": "none"}
    async with running_service(quiet, plugins=[offering]) as running:
        address = urlsplit(running.url)

        def post(raw: bytes) -> tuple[int, Any]:
            connection.request("POST", "/api/v1/inquiries/submit", raw, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
        try:
            await asyncio.to_thread(ask, post)
        finally:
            connection.close()
