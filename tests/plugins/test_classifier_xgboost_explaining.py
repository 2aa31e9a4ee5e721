"""The weights are Shapley values that add up, stand where the words stand, and tell what happens without the words."""

from __future__ import annotations

import asyncio
import itertools
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inquiry_svc.contracts import Host
from inquiry_svc.explanations import AxisExplanation, Span, Words, margin_between
from inquiry_svc.inquiries import AXES, Text
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.leaving_out import leave_out
from inquiry_svc.metrics import Metrics
from inquiry_svc.testing.classifiers import ODD, ORDINARY
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.xgboost.explaining import explain, phrases, weigh
from inquiry_svc_plugins.classifiers.xgboost.fast import quickened
from inquiry_svc_plugins.classifiers.xgboost.features import extract
from inquiry_svc_plugins.classifiers.xgboost.lexicon import LEXICON
from inquiry_svc_plugins.classifiers.xgboost.lookalikes import as_seen
from inquiry_svc_plugins.classifiers.xgboost.meanings import LABELS
from inquiry_svc_plugins.classifiers.xgboost.model import load_model
from inquiry_svc_plugins.classifiers.xgboost.places import runs_of
from inquiry_svc_plugins.classifiers.xgboost.shapley import shares
from inquiry_svc_plugins.classifiers.xgboost.token_scores import Pair, TokenScores, token_scores
from inquiry_svc_plugins.classifiers.xgboost.trees import Forest
from inquiry_svc_plugins.classifiers.xgboost.units import BLANK, DROPPED, INK, unit_tables

CORPUS = plugin.PACKAGED_MODEL.with_name("corpus")
JUDGING = read_labelled(sorted((CORPUS / "judging").glob("judging-*.jsonl")))
ROWS = read_labelled(sorted(CORPUS.rglob("*.jsonl")))
MODEL = load_model(plugin.PACKAGED_MODEL)

pieces = st.sampled_from(
    [
        *(
            "refund",
            "URGENT",
            "can't",
            "caf\u00e9",
            "cafe\u0301",
            "re\u200bfund",
            "\U0001f525",
            "\u2764\ufe0f",
            "!!",
            "2024",
            "r\u0435fund",
            "\uff32\uff25\uff26",
            "\U0001d429ay",
        ),
        *("ana@example.org,", "(https://example.org/x?y=1)", "www.example.org", "log-in", "\ud83d", "\u5de5\u5177"),
        *(":)", " :-( ", ";D", "<3", ":"),
        *(" ", "\n", "\u00a0", "\t", "\x00", "\u200b", "\u0301", "\u202e", "\x1c", "\u3000", "great", "not"),
    ]
)
strings = (
    st.text(max_size=60) | st.lists(pieces, max_size=25).map("".join) | st.lists(pieces, max_size=25).map(" ".join)
)
texts = st.builds(Text, strings, strings)
many = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


def weighed(text: Text) -> dict[str, AxisExplanation]:
    """Raises unless the weights add up to each margin."""
    axes = weigh(MODEL, text)
    for axis, explained in axes.items():
        assert explained.total == pytest.approx(explained.margin, abs=1e-4), (axis, text)
    return axes


# The weights add up


@many
@given(text=texts)
@example(text=Text("", ""))
@example(text=Text("\x00", "\u200b"))
def test_the_weights_of_any_text_add_up_to_its_margins(text: Text) -> None:
    weighed(text)


def test_the_weights_of_rows_of_the_corpus_add_up_and_no_label_leads_as_far_without_the_words_for_it() -> None:
    check_rows(ROWS[::12])


@pytest.mark.soak
def test_the_weights_of_every_row_of_the_corpus_do() -> None:
    check_rows(ROWS)


def check_rows(rows: Sequence[LabelledText]) -> None:
    told: list[bool] = []
    for row in rows:
        axes = weighed(row.text)
        assert {explained.rest for explained in axes.values()} == {0}, "all of it falls to words and surface features"
        cuts = [
            leave_out(row.text, spans_of([words for words in explained.words if words.weight > 0]))
            for explained in axes.values()
        ]
        for (axis, explained), verdict in zip(axes.items(), MODEL.verdicts(cuts), strict=True):
            left = margin_between(verdict, axis, explained.label.label, explained.runner_up.label)
            told.append(left < explained.margin)
    assert share(told) > 0.99


@many
@given(text=texts)
@example(text=Text("", "\xd5\U00068fc5"))  # has a run of characters in the bucket that every text has
def test_what_the_tokens_add_makes_up_the_linear_scores(text: Text) -> None:
    features = extract([text])
    linear = MODEL.linear
    tokens = token_scores(runs_of(text), features, linear)
    in_every_text = linear.contributions(features)[features.starts].sum(axis=0)
    assert np.abs(tokens.adds.sum(axis=0) + in_every_text + linear.bias - linear.scores(features)[0]).max() < 1e-4
    counts = np.minimum(tokens.listed.sum(axis=0), 10)
    assert counts.tolist() == features.surface[0, -len(LEXICON) :].tolist()


def random_forest(depth: int, columns: int, chance: np.random.Generator) -> Forest:
    splits, trees, labels = (1 << depth) - 1, 12, 3
    thresholds = chance.normal(size=(splits, trees)).astype(np.float32)
    thresholds[chance.random((splits, trees)) < 0.2] = np.inf
    return Forest(
        slice(1, 1 + labels),
        chance.integers(0, columns, (splits, trees), np.int32),
        thresholds,
        chance.normal(size=(trees, splits + 1)).astype(np.float32),
    )


def shares_by_hand(margin: Callable[[NDArray[np.float32]], float], states: NDArray[np.float32]) -> list[float]:
    """The definition: each player's gain, averaged over all coalitions of the others, each size counting alike."""
    count = 2 * len(states)

    def value(joined: tuple[int, ...]) -> float:
        return margin(
            np.array([column[int(2 * at in joined), int(2 * at + 1 in joined)] for at, column in enumerate(states)])
        )

    values = {
        joined: value(joined) for size in range(count + 1) for joined in itertools.combinations(range(count), size)
    }
    found = [0.0] * count
    for joined, before in values.items():
        for player in set(range(count)) - set(joined):
            gain = values[tuple(sorted((*joined, player)))] - before
            found[player] += gain / (count * math.comb(count - 1, len(joined)))
    return found


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_shares_are_the_shapley_values_of_two_players_a_column(depth: int) -> None:
    chance = np.random.default_rng(depth)
    forest = random_forest(depth, 4, chance)
    states = chance.normal(size=(4, 2, 2)).astype(np.float32)

    def margin(inputs: NDArray[np.float32]) -> float:
        margins = forest.margins(inputs.astype(np.float32)[:, None])[0]
        return float(margins[2]) - float(margins[0])

    expected = shares_by_hand(margin, states)
    assert max(map(abs, expected)) > 0.1
    assert shares(forest, 2, 0, states).ravel().tolist() == pytest.approx(expected, abs=1e-5)


# Words stand where they stand


@many
@given(text=texts)
def test_each_visible_character_belongs_to_one_place_of_one_token(text: Text) -> None:
    covered = {"subject": [0] * len(text.subject), "body": [0] * len(text.body)}
    for spans in runs_of(text).spans:
        for span in spans:
            assert span.start < span.end
            for at in range(span.start, span.end):
                covered[span.field][at] += 1
    for field, counts in covered.items():
        for character, count in zip(as_seen(getattr(text, field)), counts, strict=True):
            kind = INK if ord(character) > 0xFFFF else unit_tables().kinds[ord(character)]
            if kind in (BLANK, DROPPED) or character.isspace():
                assert count <= 1
            else:
                assert count == 1, (character, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a re\u200bfund\ufeff now", {"a": [0], "re\u200bfund\ufeff": [2], "now": [11]}),
        ("cafe\u0301 z\u0351\u0343a\u0310 end", {"cafe\u0301": [0], "z\u0351\u0343a\u0310": [6], "end": [12]}),
        ("\U0001f525\U0001f525 fire \U0001f525\U0001f525", {"\U0001f525\U0001f525": [0, 8], "fire": [3]}),
        ("at <ana@example.org>, or www.example.org !", {"<ana@example.org>,": [3], "www.example.org": [25], "!": [41]}),
        ("Refund  my\nREFUND: refund!", {"Refund": [0, 11, 19], ":": [17], "!": [25]}),
        ("on 12.03.2024 at 07.45", {"12": [3, 6, 17, 20], "2024": [9]}),
        ("I can\u2019t, I can't", {"can\u2019t": [2, 11]}),
        ("\x00a\x00b", {"a": [1], "b": [3]}),
        ("refund r\u0435fund \U0001d429ay", {"refund": [0, 7], "\U0001d429ay": [14]}),
        ("half \ud83d and \udd25\ud83d\udd25", {"half": [0], "and": [7]}),
        ("\u2028\u2029 x \u00a0y", {"x": [3], "y": [6]}),
    ],
)
def test_places_are_those_of_the_text_as_it_was_given(text: str, words: dict[str, list[int]]) -> None:
    for given_text, field in ((Text("", text), "body"), (Text(text, "Elsewhere"), "subject")):
        found = {
            getattr(given_text, field)[spans[0].start : spans[0].end]: [span.start for span in spans]
            for spans in runs_of(given_text).spans
            if spans[0].field == field
        }
        assert {word: found.get(word, []) for word in words} == words


def test_a_word_in_subject_and_body_is_one_word_at_two_places() -> None:
    spans = {Span("subject", 0, 6), Span("body", 5, 11)}
    words = [each for each in weigh(MODEL, Text("Refund", "Your refund"))["category"].words if set(each.spans) & spans]
    assert [set(each.spans) for each in words] == [spans]


def as_read(phrase: str) -> str:
    """To the model a digit is a digit."""
    return re.sub(r"\d", "0", phrase.lower().replace("\n", " "))


def test_a_phrase_is_two_neighbours_that_always_stand_together() -> None:
    count = 0
    for row in JUDGING[::2]:
        for explained in weigh(MODEL, row.text).values():
            places = [span for words in explained.words for span in words.spans]
            assert len(set(places)) == len(places)
            for words in explained.words:
                if len(words.text.split()) > 1:
                    count += 1
                    assert len(words.text.split()) == 2
                    assert len({as_read(written(row.text, span)) for span in words.spans}) == 1
    assert count > 100


@pytest.mark.parametrize(
    ("weights", "as_words", "pairs", "expected"),
    [
        ((1, 1, 0), (0.1, -0.1, 0), [(0, 1, 0.2)], [(0, 1)]),
        ((-1, -1, 0), (0.1, -0.1, 0), [(0, 1, -0.2)], [(0, 1)]),
        ((1, 1, 0), (0.3, 0.1, 0), [(0, 1, 0.2)], []),
        ((1, 1, 0), (0.1, -0.3, 0), [(0, 1, 0.2)], []),
        ((1, -1, 0), (0.1, 0.1, 0), [(0, 1, 0.2)], []),
        ((1, 1, 0), (0.1, 0.1, 0), [(0, 1, -0.2)], []),
        ((1, 1, 1), (0.0, 0.0, 0), [(0, 1, 0.2), (1, 2, 0.3)], [(1, 2)]),
    ],
)
def test_a_pair_is_a_phrase_where_it_says_more_than_its_words_and_the_same(
    weights: tuple[float, ...],
    as_words: tuple[float, ...],
    pairs: list[tuple[int, int, float]],
    expected: list[tuple[int, int]],
) -> None:
    def adds(value: float) -> NDArray[np.float64]:
        return np.array([value, 0.0] + [9.0] * (LABELS - 2))

    tokens = TokenScores(
        np.zeros((3, LABELS)),
        np.array(list(map(adds, as_words))),
        np.zeros((3, len(LEXICON))),
        [Pair(first, second, adds(value)) for first, second, value in pairs],
    )
    found = phrases(tokens, np.array(weights, float), 0, 1)
    assert [(pair.first, pair.second) for pair in found] == expected


def written(text: Text, span: Span) -> str:
    field: str = getattr(text, span.field)
    return field[span.start : span.end]


# Without the words


class Told:
    """How often the margin moved as the weights say, without the words named."""

    def __init__(self) -> None:
        self.heaviest_for: list[bool] = []
        self.heaviest_against: list[bool] = []
        self.three_for: list[bool] = []


@pytest.fixture(scope="module")
def told() -> dict[str, Told]:
    """On mail by hands that the model has not seen."""
    found = {axis: Told() for axis in AXES}
    for row in JUDGING:
        for axis, explained in explain(MODEL, row.text).axes.items():
            speaking_for = [words for words in explained.words if words.weight > 0]
            against = [words for words in explained.words if words.weight < 0]
            found[axis].heaviest_for += [words.alone > 0 for words in speaking_for[:1] if words.alone is not None]
            found[axis].heaviest_against += [words.alone < 0 for words in against[:1] if words.alone is not None]
            (verdict,) = MODEL.verdicts([leave_out(row.text, spans_of(speaking_for[:3]))])
            left = margin_between(verdict, axis, explained.label.label, explained.runner_up.label)
            found[axis].three_for.append(left < explained.margin)
    return found


@pytest.mark.parametrize("axis", AXES)
def test_on_unseen_mail_a_margin_moves_as_the_weights_say_when_words_are_left_out(
    axis: str, told: dict[str, Told]
) -> None:
    figures = [share(each) for each in (told[axis].heaviest_for, told[axis].heaviest_against, told[axis].three_for)]
    print(f"{axis}: without the heaviest for, the heaviest against, the three heaviest for: {figures}")
    assert figures[0] > 0.85
    assert figures[1] > 0.78
    assert figures[2] > 0.94


def share(told: list[bool]) -> float:
    assert len(told) > 200
    return round(sum(told) / len(told), 3)


def spans_of(words: list[Words]) -> list[Span]:
    return [span for each in words for span in each.spans]


# Beside all other work


async def test_classifying_does_not_wait_for_explanations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "MAX_INLINE_CHARACTERS", -1)
    long = [Text("", ODD["10,000 characters"].body + str(number)) for number in range(4)]
    async with plugin.open_xgboost(plugin.XgboostSettings(), Host(tmp_path, Metrics())) as classifier:
        assert isinstance(classifier, plugin.XgboostClassifier)
        explanations = [asyncio.create_task(classifier.explain(text)) for text in long]
        await asyncio.sleep(0)
        assert await classifier.classify(ORDINARY) == quickened(MODEL).verdicts(ORDINARY)
        assert not explanations[-1].done()
        await asyncio.gather(*explanations)


def test_an_explanation_costs_no_more_for_a_long_text_than_a_hundred_of_its_verdicts() -> None:
    text = ODD["10,000 characters"]

    def cost_s(work: Callable[[], object]) -> float:
        def once() -> float:
            started = time.thread_time()
            work()
            return time.thread_time() - started

        return min(once() for _ in range(5))

    assert cost_s(lambda: explain(MODEL, text)) < 100 * cost_s(lambda: MODEL.verdicts([text]))
