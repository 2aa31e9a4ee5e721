"""Mail like that of the training is near the packaged model's profile and near itself; mail of another kind is not."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from inquiry_svc.errors import ConfigurationError
from inquiry_svc.inquiries import Text
from inquiry_svc.labelled import LabelledText, read_labelled
from inquiry_svc.measures import MEASURES, observed
from inquiry_svc.profiles import CHANGED, Profile, Shares, Tally, stability_index
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.xgboost import training
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel, load_model
from inquiry_svc_plugins.classifiers.xgboost.profiling import profile_of

JUDGING: Final = sorted((plugin.PACKAGED_MODEL.with_name("corpus") / "judging").glob("judging-*.jsonl"))
STEADY: Final = 0.1
GERMAN: Final = (
    ("Guten Tag,", "Hallo,", "Sehr geehrte Damen und Herren,"),
    ("meine Rechnung vom M\u00e4rz ist falsch", "die Anwendung st\u00fcrzt seit gestern ab", "ich warte noch immer"),
    ("und niemand antwortet mir.", "obwohl ich zweimal angerufen habe.", "das kann so nicht bleiben."),
    ("Bitte pr\u00fcfen Sie das bis Freitag.", "Wann bekomme ich mein Geld zur\u00fcck?", "Vielen Dank im Voraus."),
)


@pytest.fixture(scope="module")
def model() -> TriageModel:
    return load_model(plugin.PACKAGED_MODEL)


@pytest.fixture(scope="module")
def mail() -> Sequence[Text]:
    """Of the hands that the model has never seen, in an order of chance."""
    texts = [row.text for row in read_labelled(JUDGING)]
    assert len(texts) > 1000
    random.Random(1).shuffle(texts)
    return texts


@pytest.fixture
def chance() -> random.Random:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return random.Random(seed)


def profile_of_training(model: TriageModel) -> Profile:
    assert model.profile is not None
    return model.profile


def spread(model: TriageModel, texts: Sequence[Text]) -> Shares:
    tally, known = Tally(), profile_of_training(model).known_words
    for text, verdict in zip(texts, model.verdicts(texts), strict=True):
        tally.add(observed(text, verdict, known))
    return tally.shares()


def distances(now: Shares, before: Shares) -> dict[str, float]:
    return {measure: stability_index(now[measure], before[measure]) for measure in MEASURES}


def test_what_the_model_says_of_mail_by_hands_it_has_not_seen_is_spread_as_its_profile_says(
    model: TriageModel, mail: Sequence[Text]
) -> None:
    found = distances(spread(model, mail), profile_of_training(model).shares)
    del found["length"]  # these hands write mails, half of the corpus is chat and remarks
    assert found.pop("unknown_words") < CHANGED
    assert max(found.values()) < STEADY, found


def test_one_half_of_the_mail_is_no_change_against_the_other(model: TriageModel, mail: Sequence[Text]) -> None:
    half = len(mail) // 2
    found = distances(spread(model, mail[:half]), spread(model, mail[half:]))
    assert max(found.values()) < CHANGED / 2, found


def test_mail_in_another_language_is_a_change(model: TriageModel, mail: Sequence[Text], chance: random.Random) -> None:
    german = [Text("", " ".join(chance.choice(part) for part in GERMAN)) for _ in range(200)]
    for before in (spread(model, mail), profile_of_training(model).shares):
        found = distances(spread(model, german), before)
        assert min(found["language"], found["unknown_words"]) > 4 * CHANGED, found


def test_a_twentieth_of_it_in_another_language_is_not_yet_one(
    model: TriageModel, mail: Sequence[Text], chance: random.Random
) -> None:
    half = len(mail) // 2
    german = [Text("", " ".join(chance.choice(part) for part in GERMAN)) for _ in range(half // 20)]
    found = distances(spread(model, [*mail[len(german) : half], *german]), spread(model, mail[half:]))
    assert STEADY < found["language"] < CHANGED, found


def test_chance_letters_are_a_change(model: TriageModel, mail: Sequence[Text], chance: random.Random) -> None:
    def gibberish() -> str:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return " ".join("".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(chance.randint(8, 40)))

    found = distances(spread(model, [Text("", gibberish()) for _ in range(200)]), spread(model, mail))
    assert min(found[measure] for measure in ("language", "unknown_words", "confidence", "category")) > CHANGED, found


def test_a_profile_is_of_rows_held_out(model: TriageModel) -> None:
    """Each hand has words of its own, which the others do not write: to a newcomer all of these are unknown."""
    rows = [
        replace(row, text=Text("", " ".join(f"{stem}{ending}" for ending in ("um", "or", "ix", "ant") for _ in "12")))
        for stem, path in (("zorb", 1), ("quux", 2), ("flim", 3))
        for row in read_labelled([plugin.PACKAGED_MODEL.with_name("corpus") / f"authored-{path}.jsonl"])[:60]
    ]
    made = profile_of(training.train(rows), rows)
    assert made.known_words == {f"{stem}{e}" for stem in ("zorb", "quux", "flim") for e in ("um", "or", "ix", "ant")}
    assert made.shares["unknown_words"][">0.4"] > 0.9


def test_rows_of_one_group_weigh_as_much_as_one(model: TriageModel) -> None:
    rows = few_rows()
    again = [replace(rows[0], group="one", text=Text("", "x" * 3_000)) for _ in range(100)]
    made = profile_of(training.train([*rows, *again]), [*rows, *again])
    assert made.shares["length"][">1600"] < 3 / len(rows)


def few_rows() -> list[LabelledText]:
    corpus = plugin.PACKAGED_MODEL.with_name("corpus")
    return [row for number in (1, 2, 3) for row in read_labelled([corpus / f"authored-{number}.jsonl"])[:60]]


def test_a_model_of_before_there_were_profiles_has_none(tmp_path: Path) -> None:
    folder: Path = shutil.copytree(plugin.PACKAGED_MODEL, tmp_path / "model")
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["profile"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "profile.json").unlink()
    assert load_model(folder).profile is None


def test_a_profile_that_is_not_the_one_of_the_manifest_is_refused(tmp_path: Path) -> None:
    folder: Path = shutil.copytree(plugin.PACKAGED_MODEL, tmp_path / "model")
    (folder / "profile.json").write_text((folder / "profile.json").read_text().replace("0.9", "0.8"))
    with pytest.raises(ConfigurationError, match=r"profile\.json is not the file"):
        load_model(folder)
