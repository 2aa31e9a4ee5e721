"""What is stored is counted once, by model, measure and bin, beside the profile of the model that decides now."""

from __future__ import annotations

import asyncio
import dataclasses
import weakref
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from inquiry_svc.catalogue import EXPECTED_CORRECT, OBSERVATIONS, OWN_METRICS, PROFILE_SHARE
from inquiry_svc.drift import Drift
from inquiry_svc.events import Stored
from inquiry_svc.inquiries import AXES, Model, Outcome
from inquiry_svc.measures import MEASURES
from inquiry_svc.metrics import Metric, Metrics
from inquiry_svc.profiles import Profile, Tally
from inquiry_svc.testing.providers import FunctionClassifier
from inquiry_svc.testing.samples import sample_inquiry, sample_outcome, sample_prediction
from inquiry_svc.workers.merging import merged


class ProfiledClassifier(FunctionClassifier):
    def __init__(self, profile: Profile | None) -> None:
        super().__init__()
        self.profile = profile


def profile(language: str = "english", words: str = "my card was charged twice for march") -> Profile:
    tally = Tally()
    tally.add({"language": language}, 99)
    return Profile(tally.shares(), frozenset(words.split()))


def outcomes(classifier: FunctionClassifier, count: int = 1, body: str = "My card was charged twice.") -> list[Outcome]:
    prediction = replace(sample_prediction(), model=classifier.model)
    return [sample_outcome(sample_inquiry(subject="", body=body), prediction=prediction) for _ in range(count)]


def counted(classifier: FunctionClassifier, *batches: Sequence[Outcome]) -> Metrics:
    metrics = Metrics(OWN_METRICS)
    drift = Drift(lambda: [classifier], metrics)
    for batch in batches:
        drift.on_stored(Stored(batch, 0, 0.0))
    drift.count()
    return metrics


def values(metrics: Metrics, metric: Metric) -> dict[tuple[str, ...], object]:
    return next(dict(family.values) for family in metrics.snapshot() if family.metric is metric)


def test_everything_stands_at_0_before_anything_is_stored() -> None:
    metrics = Metrics(OWN_METRICS)
    profiled = ProfiledClassifier(profile())
    Drift(lambda: [profiled], metrics)
    found = values(metrics, OBSERVATIONS)
    assert found == {("function", measure, each): 0 for measure, bins in MEASURES.items() for each in bins}
    assert values(metrics, EXPECTED_CORRECT) == {("function", axis): 0 for axis in AXES}


def test_what_is_stored_counts_once_in_one_bin_of_each_measure() -> None:
    classifier = ProfiledClassifier(profile())
    metrics = counted(classifier, outcomes(classifier, 3), outcomes(classifier, 2, "\u0441\u0447\u0451\u0442 " * 30))
    found = {key[1:]: count for key, count in values(metrics, OBSERVATIONS).items() if count}
    assert found == {
        ("category", "billing"): 5,
        ("sentiment", "negative"): 5,
        ("urgency", "medium"): 5,
        ("confidence", "<=0.9"): 5,
        ("length", "<=50"): 3,
        ("length", "<=200"): 2,
        ("unknown_words", "<=0.05"): 3,
        ("unknown_words", ">0.4"): 2,
        ("language", "english"): 3,
        ("language", "other_script"): 2,
    }
    assert values(metrics, EXPECTED_CORRECT) == {("function", axis): pytest.approx(4.5) for axis in AXES}


def test_counting_again_counts_nothing_twice() -> None:
    classifier, metrics = ProfiledClassifier(profile()), Metrics(OWN_METRICS)
    drift = Drift(lambda: [classifier], metrics)
    drift.on_stored(Stored(outcomes(classifier, 4), 0, 0.0))
    drift.count()
    drift.count()
    assert values(metrics, OBSERVATIONS)["function", "category", "billing"] == 4


def test_of_a_model_that_is_closed_nothing_is_kept_once_what_it_decided_is_counted() -> None:
    class Words(frozenset[str]):
        """What a weak reference can be made to."""

    def another(digest: str) -> tuple[ProfiledClassifier, weakref.ref[Words]]:
        words = Words(profile().known_words)
        made = ProfiledClassifier(dataclasses.replace(profile(), known_words=words))
        made.model = replace(made.model, digest=digest)
        return made, weakref.ref(words)

    (old, old_words), (new, new_words) = another("1"), another("2")
    classifiers: list[ProfiledClassifier] = [old]
    drift = Drift(lambda: classifiers, Metrics(OWN_METRICS))
    drift.on_stored(Stored(outcomes(old), 0, 0.0))
    classifiers[:] = [new]
    del old
    drift.count()
    assert old_words() is None
    drift.on_stored(Stored(outcomes(new), 0, 0.0))
    drift.count()
    assert new_words() is not None


def test_of_a_flood_the_newest_are_counted() -> None:
    classifier = ProfiledClassifier(profile())
    metrics = counted(classifier, outcomes(classifier, 500), outcomes(classifier, 200, "x" * 2_000))
    lengths = {key[2]: count for key, count in values(metrics, OBSERVATIONS).items() if key[1] == "length" and count}
    assert lengths == {"<=50": 56, ">1600": 200}


def test_the_profile_stands_beside_the_counts_bin_for_bin() -> None:
    classifier = ProfiledClassifier(profile())
    metrics = counted(classifier)
    shown = values(metrics, PROFILE_SHARE)
    assert shown.keys() == values(metrics, OBSERVATIONS).keys()
    assert shown["function", "language", "english"] == pytest.approx(99.5 / 101)


@pytest.mark.parametrize("classifier", [FunctionClassifier(), ProfiledClassifier(None)], ids=["never", "not now"])
def test_a_model_without_a_profile_is_counted_without_unknown_words(classifier: FunctionClassifier) -> None:
    metrics = counted(classifier, outcomes(classifier))
    assert values(metrics, PROFILE_SHARE) == {}
    measured = {key[1] for key, count in values(metrics, OBSERVATIONS).items() if count}
    assert measured == MEASURES.keys() - {"unknown_words"}


def test_a_model_that_is_exchanged_brings_its_own_profile_and_words() -> None:
    classifier, metrics = ProfiledClassifier(profile()), Metrics(OWN_METRICS)
    drift = Drift(lambda: [classifier], metrics)
    classifier.model, classifier.profile = Model("function", "2", "1" * 32), profile("other_latin", "mi factura")
    drift.on_stored(Stored(outcomes(classifier, body="mi factura"), 0, 0.0))
    drift.count()
    assert metrics.series(PROFILE_SHARE, model_name="function", measure="language", bin="other_latin").value > 0.9
    assert values(metrics, OBSERVATIONS)["function", "unknown_words", "<=0.05"] == 1


def test_of_several_versions_the_first_shows_its_profile_whenever_the_others_come_and_go() -> None:
    def version(number: str, shown: Profile | None) -> ProfiledClassifier:
        made = ProfiledClassifier(shown)
        made.model = Model("function", number, number * 32)
        return made

    def shown() -> tuple[bool, ...]:
        shares = [
            values(metrics, PROFILE_SHARE).get(("function", "language", each)) for each in ("english", "other_latin")
        ]
        return tuple(share is not None and share > 0.9 for share in shares)  # type: ignore[operator]

    one, two, bare = version("1", profile("english")), version("2", profile("other_latin")), version("3", None)
    classifiers, metrics, seen = [one], Metrics(OWN_METRICS), []
    drift = Drift(lambda: classifiers, metrics)
    for classifiers[:] in ([one, two], [one], [two, one], [bare, two], [two, bare], [one, bare]):
        drift.on_stored(Stored(outcomes(one), 0, 0.0))
        drift.count()
        seen.append(shown())
    english, latin, none = (True, False), (False, True), (False, False)
    assert seen == [english, english, latin, none, latin, english]


def test_a_model_that_comes_back_before_anything_is_counted_has_its_profile_again() -> None:
    first, metrics = ProfiledClassifier(profile()), Metrics(OWN_METRICS)
    second = ProfiledClassifier(None)
    second.model = Model("function", "2", "2" * 32)
    classifiers = [first]
    drift = Drift(lambda: classifiers, metrics)
    for classifiers[:] in ([first], [second], [first]):
        drift.count()
    drift.on_stored(Stored(outcomes(first), 0, 0.0))
    drift.count()
    assert any(key[1] == "unknown_words" and count for key, count in values(metrics, OBSERVATIONS).items())


def test_what_another_model_decided_counts_under_its_name_without_unknown_words() -> None:
    metrics = counted(ProfiledClassifier(profile()), [sample_outcome()])
    measured = {key[1] for key, count in values(metrics, OBSERVATIONS).items() if count and key[0] == "sample"}
    assert measured == MEASURES.keys() - {"unknown_words"}


def test_two_processes_add_up_and_their_profile_stays_one() -> None:
    classifier = ProfiledClassifier(profile())
    both = [counted(classifier, outcomes(classifier, count)).snapshot() for count in (2, 3)]
    found = {family.metric.name: dict(family.values) for family in merged(both)}
    assert found[OBSERVATIONS.name]["function", "language", "english"] == 5
    shares = [share for key, share in found[PROFILE_SHARE.name].items() if key[1] == "language"]
    assert sum(map(float, shares)) == pytest.approx(1)  # type: ignore[arg-type]


async def test_in_a_flood_no_more_is_counted_in_a_period_than_is_kept() -> None:
    classifier, metrics = ProfiledClassifier(profile()), Metrics(OWN_METRICS)
    drift = Drift(lambda: [classifier], metrics)
    batch = Stored(outcomes(classifier, 64), 0, 0.0)
    for _ in range(4):
        drift.on_stored(batch)
    counting = asyncio.create_task(drift._count_in_turns())
    while not counting.done():
        drift.on_stored(batch)
        await asyncio.sleep(0)
    assert values(metrics, OBSERVATIONS)["function", "category", "billing"] == 256


async def test_what_is_left_at_the_end_is_counted() -> None:
    classifier, metrics = ProfiledClassifier(profile()), Metrics(OWN_METRICS)
    drift = Drift(lambda: [classifier], metrics)
    async with drift.counted(period_s=3600):
        drift.on_stored(Stored(outcomes(classifier, 7), 0, 0.0))
        assert values(metrics, OBSERVATIONS)["function", "category", "billing"] == 0
    assert values(metrics, OBSERVATIONS)["function", "category", "billing"] == 7
