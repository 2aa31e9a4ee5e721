"""What every classifier must do, as tests to inherit. Needs pytest and pytest-asyncio.

    class TestMyClassifier(ClassifierContract):
        @pytest.fixture
        async def classifier(self, tmp_path: Path) -> AsyncIterator[Classifier]:
            async with open_my_classifier(MySettings(), Host(tmp_path, Metrics())) as classifier:
                yield classifier

How right its answers are is not asked here: `inquiry-svc evaluate` tells. One that can say why inherits
`ExplainerContract` too, one that lends its reasons to others `WeigherContract`, one that knows its training
`ProfiledContract`, with the same fixture; one whose models are folders is tried by `model_folders` besides.
"""

from __future__ import annotations

import math
import random
from typing import Final

import pytest

from inquiry_svc.contracts import Classifier, Explainer, Profiled
from inquiry_svc.explanations import TOLERANCE as EXPLANATION_TOLERANCE
from inquiry_svc.explanations import Explanation, Weigher, contest, margin_between
from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.leaving_out import NAMED, leave_out
from inquiry_svc.measures import MEASURES, words_of

TOLERANCE: Final = 1e-6
"""How far two answers to one text may be apart, and the scores of an axis from adding up to 1."""

ORDINARY: Final = (
    Text("Charged twice", "My card was charged twice for March."),
    Text("", "cant log in, 6 people waiting at the counter"),
    Text("Praise", "Your technician was wonderful, thank you so much!"),
    Text("Parental leave", "When do I have to tell you that I take parental leave in the summer?"),
    Text(
        "Data deletion",
        "Please delete all data that you hold about me, see https://example.org/gdpr.",
    ),
    Text("Quote", "What would 250 licences cost, and is there a discount for schools?"),
)

ODD: Final = {
    "empty subject": Text("", "Where is my invoice?"),
    "one character": Text("", "?"),
    "nothing at all": Text("", ""),
    "lone whitespace": Text(" ", " \t\n\u00a0\u2003 "),
    "10,000 characters": Text("long", "The invoice of last month is wrong and nobody answers. " * 182),
    "10,000 characters without a space": Text("", "x" * 10_000),
    "10,000 repeats": Text("", "URGENT " * 1428),
    "addresses without an end": Text("", "a@" * 2500 + "://" * 1500),
    "emoji": Text("\U0001f44d", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f525\U0001f525 works \u2764\ufe0f"),
    "right to left": Text("\u0641\u0627\u062a", "\u0623\u0631\u064a\u062f \u202eabc\u202c \u05e9\u05dc"),
    "no spaces between words": Text("", "\u8acb\u6c42\u66f8\u306e\u91d1\u984d\u304c\u9593\u9055\u3044\u3067\u3059"),
    "capitals that grow": Text("\u0130STANBUL", "\u1e9e \ufb01\ufb02 \u01c5 \u0130\u0130\u0130 \u03a3\u03a3"),
    "stacked accents": Text("", "z\u0351\u0343\u0342a\u0310\u0311l\u0334\u0335g\u0321\u0322o"),
    "zero width": Text("\u200b", "ref\u200bund\ufeff \u2060now\u00ad"),
    "control characters": Text("\x01\x02", "a\x0bb\x0c\x1b[31mred\x7f\x85\u2028\u2029"),
    "lone surrogates": Text("\ud83d", "half an emoji \udc4d\ud83d"),
    "private use and non-characters": Text("\ue000\ue001", "\uffff\ufffe \U0010ffff \U000f0000"),
}  # fmt: skip
"""Texts that a customer, a broken client or an attacker may send, by what is odd about them."""


class ClassifierContract:
    """Inherit it in a class called `Test...`, and override the fixture `classifier`."""

    @pytest.fixture
    async def classifier(self) -> Classifier:
        raise NotImplementedError("override the fixture `classifier`")

    @pytest.mark.parametrize("size", [1, 2, 64, 200])
    async def test_a_batch_of_any_size_gets_a_verdict_for_each_text_in_order(
        self, classifier: Classifier, size: int
    ) -> None:
        texts = [ORDINARY[place % len(ORDINARY)] for place in range(size)]
        random.Random(size).shuffle(texts)
        alone = {text: (await classifier.classify([text]))[0] for text in ORDINARY}
        verdicts = await classifier.classify(texts)
        assert len(verdicts) == size
        for text, verdict in zip(texts, verdicts, strict=True):
            assert_same(verdict, alone[text])

    async def test_different_texts_do_not_all_get_the_same_verdict(self, classifier: Classifier) -> None:
        verdicts = await classifier.classify(ORDINARY)
        assert len({verdict.scores for verdict in verdicts}) > 1

    @pytest.mark.parametrize("oddity", ODD)
    async def test_an_odd_text_gets_a_sound_verdict(self, classifier: Classifier, oddity: str) -> None:
        (verdict,) = await classifier.classify([ODD[oddity]])
        assert_sound(verdict)

    async def test_ordinary_texts_get_sound_verdicts(self, classifier: Classifier) -> None:
        for verdict in await classifier.classify(ORDINARY):
            assert_sound(verdict)

    async def test_a_text_gets_the_same_verdict_alone_and_among_odd_ones(self, classifier: Classifier) -> None:
        texts = [*ODD.values(), *ORDINARY]
        together = await classifier.classify(texts)
        backwards = await classifier.classify(texts[::-1])
        for text, one, other in zip(texts, together, backwards[::-1], strict=True):
            (alone,) = await classifier.classify([text])
            assert_same(one, alone)
            assert_same(other, alone)

    async def test_500_identical_texts_get_500_identical_verdicts(self, classifier: Classifier) -> None:
        verdicts = await classifier.classify([ORDINARY[0]] * 500)
        assert len(verdicts) == 500
        assert len(set(verdicts)) == 1

    async def test_asked_again_it_gives_the_same_answer(self, classifier: Classifier) -> None:
        assert await classifier.classify(ORDINARY) == await classifier.classify(ORDINARY)

    async def test_random_text_gets_sound_verdicts(self, classifier: Classifier) -> None:
        seed = random.SystemRandom().randrange(10**6)
        print(f"seed {seed}")  # noqa: T201 - pytest shows it with a failure
        chance = random.Random(seed)
        texts = [Text(_random_text(chance, 20), _random_text(chance, 300)) for _ in range(50)]
        for verdict in await classifier.classify(texts):
            assert_sound(verdict)

    async def test_the_model_is_named_and_stays_the_same(self, classifier: Classifier) -> None:
        before = classifier.model
        await classifier.classify(ORDINARY)
        assert classifier.model == before
        assert before.name
        assert before.version
        assert before.digest


class ExplainerContract:
    """Inherit it beside `ClassifierContract`."""

    @pytest.fixture
    async def classifier(self) -> Classifier:
        raise NotImplementedError("override the fixture `classifier`")

    @pytest.mark.parametrize("oddity", ODD)
    async def test_an_odd_text_gets_a_sound_explanation(self, classifier: Classifier, oddity: str) -> None:
        (verdict,) = await classifier.classify([ODD[oddity]])
        assert_explains(await explained(classifier, ODD[oddity]), ODD[oddity], verdict)

    async def test_random_and_ordinary_texts_get_sound_explanations(self, classifier: Classifier) -> None:
        seed = random.SystemRandom().randrange(10**6)
        print(f"seed {seed}")  # noqa: T201 - pytest shows it with a failure
        chance = random.Random(seed)
        texts = [Text(_random_text(chance, 20), _random_text(chance, 200)) for _ in range(20)]
        for text in [*texts, *ORDINARY]:
            (verdict,) = await classifier.classify([text])
            assert_explains(await explained(classifier, text), text, verdict)

    async def test_without_the_words_that_spoke_for_it_a_label_leads_by_less(self, classifier: Classifier) -> None:
        tried = 0
        for text in ORDINARY:
            explanation = await explained(classifier, text)
            for axis, each in explanation.axes.items():
                spans = [span for words in each.words if words.weight > 0 for span in words.spans]
                if spans:
                    (verdict,) = await classifier.classify([leave_out(text, spans)])
                    left = margin_between(verdict, axis, each.label.label, each.runner_up.label)
                    assert left < each.margin, (text, axis)
                    tried += 1
        assert tried >= len(ORDINARY), "most labels have words that speak for them"

    async def test_what_it_says_of_words_left_out_is_what_happens(self, classifier: Classifier) -> None:
        flips = 0
        for text in ORDINARY:
            for axis, each in (await explained(classifier, text)).axes.items():
                for words in each.words[:NAMED]:
                    (verdict,) = await classifier.classify([leave_out(text, words.spans)])
                    left = margin_between(verdict, axis, each.label.label, each.runner_up.label)
                    assert words.alone == pytest.approx(each.margin - left, abs=EXPLANATION_TOLERANCE)
                if each.flip is not None:
                    (verdict,) = await classifier.classify([leave_out(text, each.flip.spans)])
                    assert getattr(verdict, axis).label == each.flip.label.label != each.label.label
                    flips += 1
        assert flips, "in no ordinary text did leaving out a word change a label"

    async def test_explaining_changes_no_verdict(self, classifier: Classifier) -> None:
        before = await classifier.classify(ORDINARY)
        for text in ORDINARY:
            assert (await explained(classifier, text)).model == classifier.model
        assert await classifier.classify(ORDINARY) == before


class WeigherContract:
    """Inherit it beside `ExplainerContract`."""

    @pytest.fixture
    async def classifier(self) -> Classifier:
        raise NotImplementedError("override the fixture `classifier`")

    async def test_between_any_two_labels_its_weights_add_up_to_its_margin(self, classifier: Classifier) -> None:
        assert isinstance(classifier, Weigher), "it has no `weigh`: see `inquiry_svc.explanations.Weigher`"
        for place, text in enumerate(ORDINARY):
            (verdict,) = await classifier.classify([text])
            for other in range(1, 3):
                between = {
                    axis: (labels[place % len(labels)], labels[(place + other) % len(labels)])
                    for axis, labels in AXES.items()
                }
                found = await classifier.weigh(text, between)
                assert list(found) == list(AXES)
                for axis, each in found.items():
                    assert (each.label.label, each.runner_up.label) == between[axis]
                    assert abs(each.margin - margin_between(verdict, axis, *between[axis])) <= EXPLANATION_TOLERANCE
                    assert abs(each.total - each.margin) <= EXPLANATION_TOLERANCE, axis

    async def test_it_weighs_the_axes_named_alone(self, classifier: Classifier) -> None:
        assert isinstance(classifier, Weigher)
        assert list(await classifier.weigh(ORDINARY[0], {"sentiment": ("neutral", "positive")})) == ["sentiment"]

    async def test_what_it_judges_aside_it_judges_as_it_classifies(self, classifier: Classifier) -> None:
        assert isinstance(classifier, Weigher)
        for texts in (ORDINARY, [ODD["10,000 characters"]], [ORDINARY[1]] * 200):
            aside, classified = await classifier.judge(texts), await classifier.classify(texts)
            assert 1 <= len(aside) <= len(texts)
            for one, other in zip(aside, classified, strict=False):
                assert_same(one, other)


class ProfiledContract:
    """Inherit it beside `ClassifierContract`."""

    @pytest.fixture
    async def classifier(self) -> Classifier:
        raise NotImplementedError("override the fixture `classifier`")

    async def test_its_profile_has_a_share_of_every_bin(self, classifier: Classifier) -> None:
        assert isinstance(classifier, Profiled), "it has no `profile`: see `inquiry_svc.contracts.Profiled`"
        profile = classifier.profile
        assert profile is not None
        for measure, bins in MEASURES.items():
            shares = profile.shares[measure]
            assert tuple(shares) == bins
            assert min(shares.values()) > 0
            assert abs(sum(shares.values()) - 1) < 1e-3, measure

    async def test_it_knows_words_as_they_are_looked_up(self, classifier: Classifier) -> None:
        assert isinstance(classifier, Profiled)
        known = classifier.profile.known_words if classifier.profile else frozenset()
        assert known
        assert [word for word in known if words_of(Text("", word)) != {word}] == []


async def explained(classifier: Classifier, text: Text) -> Explanation:
    assert isinstance(classifier, Explainer), "it has no `explain`: see `inquiry_svc.contracts.Explainer`"
    return await classifier.explain(text)


def assert_explains(explanation: Explanation, text: Text, verdict: Verdict) -> None:
    """Of each axis: label and runner-up of the verdict, parts that add up to its margin, words that are in the text."""
    assert list(explanation.axes) == list(AXES)
    for axis, each in explanation.axes.items():
        label, runner_up = contest(verdict, axis)
        assert (each.label.label, each.runner_up.label) == (label.label, runner_up.label), axis
        assert abs(each.label.confidence - label.confidence) <= TOLERANCE
        margin = margin_between(verdict, axis, label.label, runner_up.label)
        assert abs(each.margin - margin) <= EXPLANATION_TOLERANCE, axis
        assert abs(each.total - each.margin) <= EXPLANATION_TOLERANCE, f"{axis}: the parts do not make up the margin"
        weights = [abs(words.weight) for words in each.words]
        assert weights == sorted(weights, reverse=True), "the heaviest first"
        for words in each.words:
            fields = [getattr(text, span.field) for span in words.spans]
            assert fields, "words stand somewhere"
            for field, span in zip(fields, words.spans, strict=True):
                assert 0 <= span.start < span.end <= len(field), (words.text, span)
            assert words.text == fields[0][words.spans[0].start : words.spans[0].end]


def assert_sound(verdict: Verdict) -> None:
    """Plain finite floats that add up to 1 on each axis, and the labels that they say."""
    assert len(verdict.scores) == sum(map(len, AXES.values()))
    assert {type(score) for score in verdict.scores} == {float}
    assert all(math.isfinite(score) and 0 <= score <= 1 for score in verdict.scores)
    assert type(verdict.evidence) is float
    assert 0 <= verdict.evidence <= 1
    first = 0
    for axis, labels in AXES.items():
        scores = verdict.scores[first : first + len(labels)]
        first += len(labels)
        answer = getattr(verdict, axis)
        assert abs(sum(scores) - 1) <= TOLERANCE, axis
        assert answer.confidence == max(scores), axis
        assert answer.label in labels, axis
        assert scores[labels.index(answer.label)] == max(scores), axis
        assert type(answer.confidence) is float
        assert type(answer.label) is str


def assert_same(verdict: Verdict, other: Verdict) -> None:
    """The same scores and evidence within `TOLERANCE`."""
    assert len(verdict.scores) == len(other.scores)
    assert abs(verdict.evidence - other.evidence) <= TOLERANCE
    assert all(abs(one - two) <= TOLERANCE for one, two in zip(verdict.scores, other.scores, strict=True))


def _random_text(chance: random.Random, most: int) -> str:
    blocks = ((0x20, 0x7E), (0x20, 0x7E), (0x1, 0x2FF), (0x1, 0xFFFF), (0x10000, 0x10FFFF))
    return "".join(chr(chance.randint(*chance.choice(blocks))) for _ in range(chance.randint(0, most)))
