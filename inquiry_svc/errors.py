"""Every error that the service raises on purpose.

    InquiryServiceError
    ├── ConfigurationError        the start is refused: names the thing, the value and the cure; exit code 2
    │   └── PluginError           a plugin breaks the rules of `hookspecs.py`, or two share a name
    ├── Overloaded                no place is free: try again after `retry_after_s`
    ├── Unavailable               a provider can't be reached or timed out: try again after `retry_after_s`
    │   └── StoreUnavailable      nothing was acknowledged
    ├── PromotionRefused          a model misses a limit of the configuration; exit code 1
    ├── UpkeepFailed              a store can't be backed up or restored now; what was there before is as it was
    ├── InquiryInvalid            what was sent is not an inquiry: `reasons` says why
    ├── TriageFailed              a plugin raised over this one inquiry; the others of its batch were served
    ├── IdempotencyKeyReused      the key was used before for another payload
    ├── CannotExplain             the classifier that would have to say why can't
    ├── Undeliverable             a notifier will never be able to tell of this: no use in trying again
    ├── InquiryNotFound
    ├── AlreadyResolved
    └── ReviewNotYours            another reviewer holds it, or it does not wait for review

Library code knows no HTTP: `web/problems.py` maps these to statuses in one table. Their messages are logged, where
those of other exceptions are not: never quote an inquiry in one.
"""

from __future__ import annotations

from collections.abc import Sequence


class InquiryServiceError(Exception):
    """The root: catch this to catch all that is ours."""


class ConfigurationError(InquiryServiceError):
    """One line that names the thing, the value and the cure."""


class PluginError(ConfigurationError):
    """A plugin breaks the rules of the hooks."""


class Overloaded(InquiryServiceError):
    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(InquiryServiceError):
    """A provider as a whole is out of reach. Trying the same on half of the batch would fail too."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreUnavailable(Unavailable):
    """The store is out of reach, full or read-only. What was being saved was not acknowledged."""


class PromotionRefused(InquiryServiceError):
    """A model misses a limit of the configuration: see `models.limits`. Nothing has changed; exit code 1."""


class UpkeepFailed(InquiryServiceError):
    """A backup or a restore failed: in use, damaged, no room. What was there before is as it was; exit code 1."""


class InquiryInvalid(InquiryServiceError):
    """What was sent can't be taken in, now or later. `reasons` are for the sender: they may quote names of fields."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("what was sent is not a valid inquiry")
        self.reasons = reasons


class TriageFailed(InquiryServiceError):
    """A plugin raised over this one inquiry; its cause is chained."""


class IdempotencyKeyReused(InquiryServiceError):
    """The key was used before, for another payload."""


class CannotExplain(InquiryServiceError):
    """The classifier has no `explain`: see `contracts.Explainer`."""


class Undeliverable(InquiryServiceError):
    """A notice that its receiver will never take. The message is kept beside it, for a person to read."""


class InquiryNotFound(InquiryServiceError):
    """No inquiry has this id."""


class AlreadyResolved(InquiryServiceError):
    """The inquiry was resolved before."""


class ReviewNotYours(InquiryServiceError):
    """Another reviewer holds the review, or the inquiry does not wait for one (any more)."""
