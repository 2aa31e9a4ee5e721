"""Every text falls into one bin of each measure, and languages that the model can't read do not pass for English."""

from __future__ import annotations

import pytest

from inquiry_svc.inquiries import Text
from inquiry_svc.measures import MEASURES, READ, confidence_bin, observed, observed_of_text, words_of
from inquiry_svc.testing.classifiers import ODD, ORDINARY
from inquiry_svc.testing.samples import sample_verdict


@pytest.mark.parametrize("oddity", ODD)
def test_an_odd_text_falls_into_one_bin_of_each_measure(oddity: str) -> None:
    found = observed(ODD[oddity], sample_verdict(), frozenset({"invoice"}))
    assert found.keys() == MEASURES.keys()
    assert [measure for measure, each in found.items() if each not in MEASURES[measure]] == []


def test_labels_and_confidence_are_those_of_the_verdict() -> None:
    found = observed(ORDINARY[0], sample_verdict("legal", "neutral", "high"), None)
    assert (found["category"], found["sentiment"], found["urgency"]) == ("legal", "neutral", "high")
    assert found["confidence"] == "<=0.9"


@pytest.mark.parametrize(
    ("confidence", "found"), [(0.2, "<=0.5"), (0.5, "<=0.5"), (0.5001, "<=0.6"), (0.98, "<=0.98"), (0.981, ">0.98")]
)
def test_a_bound_belongs_to_the_bin_below_it(confidence: float, found: str) -> None:
    assert confidence_bin(confidence) == found


@pytest.mark.parametrize(("characters", "found"), [(0, "<=50"), (50, "<=50"), (51, "<=100"), (1_601, ">1600")])
def test_length_is_that_of_subject_and_body(characters: int, found: str) -> None:
    subject = "x" * min(characters, 20)
    assert observed_of_text(Text(subject, "x" * (characters - len(subject))), None)["length"] == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("invoice invoice the Invoice", "<=0.05"),
        ("the invoice 2026-03 of 17.50", "<=0.4"),  # of three words, "of" is new; numbers are none
        ("the invoice zorbled quuxly", ">0.4"),
        ("", "<=0.05"),
    ],
)
def test_unknown_words_are_counted_among_the_different_words(body: str, found: str) -> None:
    assert observed_of_text(Text("", body), frozenset({"the", "invoice"}))["unknown_words"] == found


def test_without_known_words_nothing_is_said_of_unknown_ones() -> None:
    assert "unknown_words" not in observed_of_text(ORDINARY[0], None)


def test_of_a_long_text_the_beginning_is_read() -> None:
    assert words_of(Text("Before", "a " * READ + "after")) == {"before", "a"}


@pytest.mark.parametrize("text", ORDINARY, ids=lambda text: text.body[:20])
def test_english_is_told(text: Text) -> None:
    assert observed_of_text(text, None)["language"] == "english"


@pytest.mark.parametrize(
    ("language", "body"),
    [
        ("other_latin", "Guten Tag, meine Rechnung vom M\u00e4rz ist falsch. Bitte pr\u00fcfen Sie den Betrag."),
        ("other_latin", "Bonjour, ma facture de mars est incorrecte. Pouvez-vous v\u00e9rifier le montant ?"),
        ("other_latin", "Hola, me han cobrado dos veces la factura de marzo. No me deja entrar en la cuenta."),
        ("other_latin", "Goedemiddag, mijn factuur van maart klopt niet. Kunt u het bedrag in orde maken?"),
        ("other_latin", "asdkjh qwpoei zmxncb lkasjd poqwie mznxbc"),
        (
            "other_script",
            "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435, \u0441\u0447\u0451\u0442",
        ),
        ("other_script", "\u8acb\u6c42\u66f8\u306e\u91d1\u984d\u304c\u9593\u9055\u3044\u3067\u3059"),
        ("too_short", "Invoice #4711"),
        ("too_short", ""),
    ],
)
def test_what_is_not_english_does_not_pass_for_it(language: str, body: str) -> None:
    assert observed_of_text(Text("", body), None)["language"] == language
