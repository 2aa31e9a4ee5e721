"""What the packaged model says of text that is no mail, or is made to mislead it: never a sure answer without a ground.

Three lists say what is promised. A disguise gets the answer of the plain text. What holds nothing to go by asks for
review and is sure of nothing. Mail, however short or clumsy, is not taken for either.
"""

# ruff: noqa: RUF001 - letters that look like others are the point
from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inquiry_svc.contracts import Cautious, Host
from inquiry_svc.evaluation import evaluate
from inquiry_svc.inquiries import AXES, Text, Verdict
from inquiry_svc.labelled import read_labelled
from inquiry_svc.metrics import Metrics
from inquiry_svc.reviewing import ReviewPolicy
from inquiry_svc.settings import ReviewSettings
from inquiry_svc_plugins.classifiers import xgboost as plugin
from inquiry_svc_plugins.classifiers.xgboost.fast import quickened
from inquiry_svc_plugins.classifiers.xgboost.lookalikes import plain_letters
from inquiry_svc_plugins.classifiers.xgboost.model import TriageModel, load_model
from inquiry_svc_plugins.classifiers.xgboost.own_words import has_own_words

CORPUS: Final = plugin.PACKAGED_MODEL.with_name("corpus")
PLAIN: Final = Text(
    "Charged twice", "My card was charged twice for March. Please refund one of the payments, urgently!"
)

CHANCE: Final = random.Random(4)


def shifted(text: str, capital: int, small: int) -> str:
    """Each letter as far after these code points as it is after A and a."""
    plain = string.ascii_uppercase + string.ascii_lowercase
    return swapped(text, plain, "".join(chr(first + place) for first in (capital, small) for place in range(26)))


def full_width(text: str) -> str:
    return "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text)


def swapped(text: str, plain: str, strange: str) -> str:
    return text.translate(str.maketrans(plain, strange))


CYRILLIC: Final = ("aceopxyijsACEOPTHMBKX", "асеорхуіјѕАСЕОРТНМВКХ")
GREEK: Final = ("oaivpuntkAOEPTMHNBKXYZI", "οαινρυητκΑΟΕΡΤΜΗΝΒΚΧΥΖΙ")
SMALL_CAPITALS: Final = ("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")

WAYS: Final[Mapping[str, Callable[[str], str]]] = {
    "Cyrillic look-alikes": lambda text: swapped(text, *CYRILLIC),
    "Greek look-alikes": lambda text: swapped(text, *GREEK),
    "one Cyrillic letter": lambda text: swapped(text, "e", "\u0435"),
    "small capitals": lambda text: swapped(text, *SMALL_CAPITALS),
    "full width": full_width,
    "mathematical bold": lambda text: shifted(text, 0x1D400, 0x1D41A),
    "mathematical monospace": lambda text: shifted(text, 0x1D670, 0x1D68A),
    "circled": lambda text: shifted(text, 0x24B6, 0x24D0),
    "zero-width spaces": lambda text: "\u200b".join(text),
    "zero-width joiners": lambda text: "\u200d".join(text),
    "soft hyphens": lambda text: "\u00ad".join(text),
    "byte order marks": lambda text: "\ufeff".join(text),
    "fillers and tags": lambda text: "\u3164".join(text) + "\U000e0041\U000e007f",
    "marks of direction": lambda text: "\u202e" + "\u2066".join(text) + "\u202c",
    "stacked accents": lambda text: "\u0336\u0315".join(text),
    "both at once": lambda text: "\u200b".join(swapped(text, *CYRILLIC)),
}
DISGUISES: Final = {name: Text(way(PLAIN.subject), way(PLAIN.body)) for name, way in WAYS.items()}

NOTHING_TO_GO_BY: Final[Mapping[str, Text]] = {
    # Other languages
    "German": Text("Falsche Rechnung", "Meine Karte wurde im März zweimal belastet. Bitte erstatten Sie eine Zahlung."),
    "Spanish": Text("Cobro doble", "Me han cobrado dos veces en marzo. Por favor, devuélvanme uno de los pagos."),
    "French": Text("Facture", "Ma carte a été débitée deux fois en mars. Merci de me rembourser un des paiements."),
    "long French": Text(
        "",
        "Bonjour, je vous contacte au sujet de ma facture du mois dernier. Le montant de la transaction est incorrect, "
        "je souhaite obtenir un remboursement. Le service client par téléphone est impossible à joindre. Merci de "
        "votre attention, cordialement, Jean",
    ),
    "Italian": Text("", "La mia carta è stata addebitata due volte a marzo. Vi prego di rimborsarmi un pagamento."),
    "Portuguese": Text("", "Meu cartão foi cobrado duas vezes em março. Por favor, devolvam um dos pagamentos."),
    "Dutch": Text("", "Mijn kaart is in maart twee keer belast. Kunt u een van de betalingen terugstorten?"),
    "Polish": Text("", "Moja karta została obciążona dwa razy za marzec. Proszę o zwrot jednej z płatności."),
    "Swedish": Text("", "Mitt kort har debiterats två gånger i mars. Var vänlig och återbetala en av dem."),
    "Turkish": Text("", "Kartımdan Mart ayı için iki kez ödeme alındı. Lütfen ödemelerden birini iade edin."),
    "Indonesian": Text("", "Kartu saya ditagih dua kali untuk bulan Maret. Tolong kembalikan salah satunya."),
    "Hindi in Latin letters": Text("", "Bhai mera refund abhi tak nahi aaya, order cancel kiye das din ho gaye."),
    "Russian": Text("", "С моей карты дважды списали деньги за март. Пожалуйста, верните один из платежей."),
    "Greek": Text("", "Η κάρτα μου χρεώθηκε δύο φορές για τον Μάρτιο. Παρακαλώ επιστρέψτε μία."),
    "Arabic": Text("", "تم خصم المبلغ من بطاقتي مرتين لشهر مارس. يرجى إعادة إحدى الدفعتين."),
    "Hindi": Text("", "मेरे कार्ड से मार्च के लिए दो बार पैसे काटे गए। कृपया एक भुगतान वापस करें।"),
    "Chinese": Text("", "我的卡三月份被扣了两次款，请退还其中一笔。我已经等了两个星期了。"),
    "Japanese": Text("", "3月分のカード請求が二重になっています。片方を返金してください。"),
    # No language
    "leetspeak": Text("", "my c4rd w45 ch4rg3d tw1c3 f0r m4rch. pl3453 r3fund 0n3 0f th3 p4ym3n75"),
    "letters apart": Text("", " ".join("My card was charged twice for March")),
    "rolled over the keys": Text("", "asdf jkl qwerty zxcv lkjhg poiu mnbv asdfgh qwer uiop"),
    "chance letters": Text("", " ".join("".join(CHANCE.choices(string.ascii_lowercase, k=7)) for _ in range(30))),
    "one letter": Text("", "x" * 10_000),
    "base64": Text("", base64.b64encode(CHANCE.randbytes(300)).decode()),
    "hexadecimal": Text("", CHANCE.randbytes(200).hex()),
    "numbers": Text("", "123 456 789 000 12-34-56 3.14159 2718281828"),
    "emoji": Text("", "\U0001f600\U0001f600\U0001f525\U0001f525\u2764\ufe0f\U0001f44d\U0001f64f"),
    "marks": Text("", "!!!??? ... --- ###"),
    "code": Text(
        "", "def main():\n    for i in range(10):\n        print(i ** 2)\n\nif __name__ == '__main__':\n    main()"
    ),
    "JSON": Text("", '{"id": 17, "items": [{"sku": "A-1", "qty": 2}], "ok": true, "ts": "2025-01-01T00:00:00Z"}'),
    "a trace": Text(
        "", 'Traceback (most recent call last):\n  File "app.py", line 3, in <module>\n    foo()\nKeyError: 1'
    ),
    "placeholder text": Text("", "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor."),
    # Nothing of the writer's own
    "a greeting": Text("", "Hello"),
    "thanks": Text("", "Thanks!"),
    "a letter": Text("", "k"),
    "a signature": Text("", "--\nJohn Smith\nSenior Manager\nAcme Ltd, 12 High Street, London\nwww.acme.example"),
    "a greeting and a farewell": Text("", "Dear Sir or Madam,\n\nBest regards,\nMaria Lopez\nAcme Ltd"),
    "sent from": Text("", "Sent from my phone"),
    "a legal notice": Text(
        "",
        "This email and any attachments are confidential and intended solely for the addressee. If you have received "
        "it in error please notify the sender and delete it. The company accepts no liability for damage by any virus.",
    ),
    "a quotation": Text(
        "Re: your request",
        "On Mon, 3 Nov 2025, Support wrote:\n> Thank you for contacting us. We have received your request for\n"
        "> a refund and will get back to you within two working days.\n",
    ),
    "an address": Text("", "https://example.org/a/b?c=d"),
    "a mail address": Text("", "ana@example.org"),
    # Words without a sentence
    "10,000 times URGENT": Text("", "URGENT " * 10_000),
    "10,000 times URGENT!": Text("URGENT", "URGENT!" * 10_000),
    "2,000 times URGENT refund": Text("", "URGENT refund " * 2_000),
    "a list of key words": Text("", "invoice refund payment bug crash price quote salary payroll gdpr lawyer feature"),
    "a list of one category": Text("", "invoice, refund, payment, charge, card, billing, receipt, bank, amount, fee"),
    "a list of emergencies": Text("", "urgent emergency asap outage critical fire police breach court danger now"),
    "a list of faults": Text("", "server down outage error crash login password vpn wifi network printer"),
}

MAIL: Final = (
    "Where is my invoice?",
    "I was charged twice",
    "cant log in, 6 people waiting at the counter",
    "login broken error 500 urgent",
    "Need quote for 50 laptops",
    "WHERE IS MY ORDER I PAID THREE WEEKS AGO AND NOBODY ANSWERS",
    "helo i ned help wit my acount its not wrking and i cant log in plz fix asap thx",
    "Ah'm no happy wi the bill ye sent me, it's far ower much an naebody answers the phone.",
    "Thanks,\nbut the refund has still not arrived.\n\nBest regards,\nMaria Lopez",
    "> We will recover the overpayment in full.\n\nPlease do not, I never agreed to that.",
    "I received this email in error. It holds confidential attachments of another customer. Please delete my address.",
    "Your café refused my card — it said “declined” — but I was charged £7…",
)


@pytest.fixture(scope="module", params=["by numpy", "by the kernel"])
def model(request: pytest.FixtureRequest) -> TriageModel:
    model = load_model(plugin.PACKAGED_MODEL)
    return model if request.param == "by numpy" else quickened(model)


POLICY: Final = ReviewPolicy(ReviewSettings())


def answers(verdict: Verdict) -> list[str]:
    return [getattr(verdict, axis).label for axis in AXES]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_gets_the_answer_of_the_plain_text(model: TriageModel, disguise: str) -> None:
    plain, disguised = model.verdicts([PLAIN, DISGUISES[disguise]])
    assert plain.category.confidence > 0.9
    assert disguised == plain


@pytest.mark.parametrize("what", NOTHING_TO_GO_BY)
def test_without_anything_to_go_by_no_answer_is_sure_and_a_person_is_asked(model: TriageModel, what: str) -> None:
    (verdict,) = model.verdicts([NOTHING_TO_GO_BY[what]])
    reasons = POLICY.reasons(verdict, model.review_below)
    said = "  ".join(f"{getattr(verdict, axis).label} {getattr(verdict, axis).confidence:.2f}" for axis in AXES)
    print(f"{what:28} {said}  evidence {verdict.evidence:.2f}  {', '.join(reasons)}")
    assert reasons == ("low_confidence", "no_evidence")
    assert verdict.category.confidence < 0.6
    assert verdict.sentiment.confidence < 0.75, "nothing shows no feeling, and that is an answer"
    assert verdict.urgency.confidence < 0.45


@pytest.mark.parametrize("body", MAIL)
def test_mail_is_something_to_go_by_however_short_or_clumsy(model: TriageModel, body: str) -> None:
    (verdict,) = model.verdicts([Text("", body)])
    assert verdict.evidence >= 0.5
    assert "no_evidence" not in POLICY.reasons(verdict, model.review_below)


@pytest.mark.parametrize("times", [1, 10, 1000, 10_000])
def test_shouting_urgent_makes_a_calm_mail_no_emergency(model: TriageModel, times: int) -> None:
    calm = Text("Feature idea", "It would be nice to have a dark theme some day. No hurry at all, I just like the app.")
    before, after = model.verdicts([calm, Text(calm.subject, calm.body + " URGENT" * times)])
    unsure = times > 1000 and POLICY.reasons(after, model.review_below)
    assert after.category.label == before.category.label or unsure
    assert after.urgency.label == before.urgency.label == "low"


def test_saying_a_mail_a_hundred_times_makes_it_no_surer(model: TriageModel) -> None:
    once, often = model.verdicts([PLAIN, Text(PLAIN.subject, (PLAIN.body + " ") * 100)])
    assert answers(often)[0] == answers(once)[0]
    assert often.category.confidence <= once.category.confidence + 0.01


async def test_on_mail_by_hands_not_seen_what_is_not_reviewed_is_right_and_little_is_reviewed(tmp_path: Path) -> None:
    rows = read_labelled(sorted((CORPUS / "judging").glob("judging-*.jsonl")))
    async with plugin.open_xgboost(plugin.XgboostSettings(), Host(tmp_path, Metrics())) as classifier:
        assert isinstance(classifier, Cautious)
        found = await evaluate(classifier, rows, policy=POLICY)
    figures = found.axes["category"]
    assert (figures.accuracy_without_review or 0) >= 0.95
    assert (figures.needs_review_share or 1) <= 0.27
    assert sum(verdict.evidence < 0.5 for verdict in found.verdicts) <= 0.01 * len(rows)
    assert sum(verdict.evidence == 1 for verdict in found.verdicts) >= 0.95 * len(rows), "most are answered as ever"


# Letters


@given(st.text(st.characters(exclude_categories=[])))
def test_every_character_stays_one_character_at_its_place(text: str) -> None:
    plain = plain_letters(text)
    assert len(plain) == len(text)
    assert all(one == other for one, other in zip(text, plain, strict=True) if one.isascii())


@pytest.mark.parametrize(
    "text",
    [
        "Пожалуйста, верните деньги",
        "Παρακαλώ επιστρέψτε",
        "naïve café, Łódź, Dağ, ½ “quoted” — 5 €",
        "請求書が二重です",
        "\ud83d half of an emoji \udd25",
    ],
)
def test_what_is_no_disguise_is_left_alone(text: str) -> None:
    assert plain_letters(text) == text


def test_the_corpus_holds_no_disguise() -> None:
    """So that the features that the model was trained on are those of the plain text."""
    for row in read_labelled(sorted(CORPUS.rglob("*.jsonl"))):
        assert plain_letters(row.text.subject) == row.text.subject
        assert plain_letters(row.text.body) == row.text.body


# The writer's own


@pytest.mark.parametrize(
    ("subject", "body", "own"),
    [
        ("", "", False),
        ("Please cancel my subscription", "--\nJohn", True),
        ("Re: Please cancel my subscription", "> Dear John,\n> it is done.", False),
        ("Re: Please", "> Dear John,\n> it is done.\n\nIt is not.", True),
        ("", "Thank you!\nWorks again now.", True),
        ("", "Thank you!", False),
        ("", "Hi team,\n\nKind regards,\nAna", False),
        ("", "Hi team, the printer is broken", True),
        ("", "--force fails", True),
        ("Fwd: Invoice", "---------- Forwarded message ---------\nFrom: Bo\n" + "The invoice is overdue. " * 20, False),
        ("", "See below.\n-----Original Message-----\nFrom: Bo\n" + "The invoice is overdue. " * 20, True),
    ],
)
def test_what_others_or_machines_wrote_is_not_the_writers_own(subject: str, body: str, own: bool) -> None:
    assert has_own_words(Text(subject, body)) is own


def test_all_mail_of_the_corpus_is_its_writers_own() -> None:
    """But for cries of a few words, all of which may be such as only say a mood."""
    texts = [row.text for row in read_labelled(sorted(CORPUS.rglob("*.jsonl")))]
    assert [text for text in texts if len(text.body.split()) > 4 and not has_own_words(text)] == []
