"""Asks the service over HTTP, with an API key where one is set, and says in plain words what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec
import requests

from inquiry_svc.errors import InquiryServiceError
from inquiry_svc.web import schemas as out

AnswerT = TypeVar("AnswerT", bound=out.Outgoing)

_API: Final = "/api/v1"
_UNHEALTHY: Final = 503


class NoAnswer(InquiryServiceError):
    """Nobody answers there, or not as the service does."""


class Refused(InquiryServiceError):
    """The service answered with a problem document, or somebody between with less."""

    def __init__(self, status: int, detail: str, faults: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = faults
        """Of what was sent: the field, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Client:
    """Each call raises `NoAnswer` or `Refused`."""

    url: str
    api_key: str = field(default="", repr=False)
    timeout_s: float = 5.0

    def get(self, path: str, kind: type[AnswerT], /, **query: Any) -> AnswerT:
        """What is None or empty in the query is not asked for."""
        params = {name: _as_text(value) for name, value in query.items() if value not in (None, "")}
        return self._asked("GET", path, kind, params=params)

    def post(
        self, path: str, kind: type[AnswerT], /, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AnswerT:
        return self._asked("POST", path, kind, json=body, headers=headers or {})

    def health(self) -> out.HealthOut:
        """Of a service that is unwell, too."""
        answer = self._answer("GET", "/health")
        if answer.status_code == _UNHEALTHY and b'"components"' in answer.content:
            return self._read(answer, out.HealthOut)
        return self._read(self._accepted(answer), out.HealthOut)

    def _asked(self, method: str, path: str, kind: type[AnswerT], **options: Any) -> AnswerT:
        return self._read(self._accepted(self._answer(method, path, **options)), kind)

    def _answer(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> requests.Response:
        bearer = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        with requests.Session() as session:
            session.trust_env = False  # past any proxy, and no password of a .netrc in place of the key
            try:
                return session.request(
                    method,
                    f"{self.url}{_API}{path}",
                    headers={**bearer, **(headers or {})},
                    timeout=self.timeout_s,
                    allow_redirects=False,  # the key is for this address
                    **rest,
                )
            except requests.Timeout as error:
                raise NoAnswer(f"no answer within {self.timeout_s:g} s") from error
            except requests.ConnectionError as error:
                raise NoAnswer("nobody listens there, or the connection broke") from error
            except (requests.RequestException, ValueError) as error:
                raise NoAnswer(f"asking it ended in {type(error).__name__}") from error

    @staticmethod
    def _accepted(answer: requests.Response) -> requests.Response:
        if answer.ok and not answer.is_redirect:
            return answer
        try:
            problem = msgspec.json.decode(answer.content, type=out.ProblemOut)
        except msgspec.MsgspecError:
            raise Refused(answer.status_code, answer.reason or "no reason given") from None
        faults = [] if problem.errors is msgspec.UNSET else problem.errors
        raise Refused(answer.status_code, problem.detail, tuple((each.field, each.message) for each in faults))

    @staticmethod
    def _read(answer: requests.Response, kind: type[AnswerT]) -> AnswerT:
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise NoAnswer("what answers there is not this release of inquiry-svc") from error


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
