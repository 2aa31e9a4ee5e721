"""Words whose mere number says something of a text's mood or haste, whatever it is about.

Short lists written by hand for this project, lower case, one plain word each; how many of each list a text holds are
surface features. They are not a sentiment analysis: the linear layer learns far more words from the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _words(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


LEXICON: Final[Mapping[str, tuple[str, ...]]] = {
    "positive_words": _words(
        """
        amazing appreciate appreciated awesome beautiful best better brilliant charming cheerful clear comfortable
        congratulations cool delight delighted delightful easier easy effortless elegant enjoy enjoyed enjoying
        excellent excited fabulous fantastic fast favourite favorite flawless friendly fun genius gem glad good
        gorgeous grateful great happier happy helped helpful impressed impressive incredible kind kindly kindness
        kudos like liked lifesaver love loved lovely loving magic marvellous neat nice outstanding patient perfect
        perfectly pleasant pleased pleasure polite praise professional prompt promptly proud quick quickly recommend
        recommended relieved reliable rocks satisfied saved sleek smart smooth smoothly solid spotless stunning
        super superb terrific thank thankful thanks thoughtful thrilled treat treasure useful welcome well
        wonderful wonderfully works worth wow yay
        """
    ),
    "negative_words": _words(
        """
        absurd abysmal alarming angry annoyed annoying appalled appalling ashamed awful awkward bad badly bogus bother
        broke broken buggy clumsy clunky complain complaint confused confusing crap crash crashed crashes crashing
        cheated damage damaged dead deceived defect defective disappointed disappointing disappointment disaster
        disgrace disgraceful disgusted disgusting dismal dreadful dropped embarrassed embarrassing error errors fail
        failed failing fails failure false fault faulty fed frustrated frustrating frustration furious garbage gave
        hate hated horrible ignored impossible inadequate incompetent incorrect inexcusable insane insult insulting
        joke lame late lost lousy mess messed mistake misleading miserable missing nightmare nonsense outrage
        outraged outrageous overcharged pathetic poor poorly problem problems ridiculous rip robbed rubbish rude
        ruined sad scam shambles shame shameful shocked shocking sick slow sloppy sorry stolen stuck stupid suffer
        terrible threatened threatening tired trash trouble ugly unacceptable unbelievable unfair unhappy unhelpful
        unprofessional unreliable unusable upset useless waste wasted weak weird worried worries worse worst worthless
        wrong
        """
    ),
    "negations": _words(
        """
        no not never nobody nothing none neither nor nowhere without cannot cant can't dont don't doesnt doesn't didnt
        didn't isnt isn't wasnt wasn't arent aren't werent weren't wont won't wouldnt wouldn't couldnt couldn't hasnt
        hasn't havent haven't hadnt hadn't shouldnt shouldn't
        """
    ),
    "pressing_words": _words(
        """
        asap urgent urgently immediately immediate emergency critical now today tonight hour hours minute minutes
        deadline halted halt standstill down outage blocked breach stopped stranded danger dangerous unsafe fire leak
        injured injury police court hearing evacuated escalate escalating everyone everybody entire whole
        waiting tomorrow morning noon midnight expires expired locked lockout overnight safety attack fraud
        """
    ),
    "unhurried_words": _words(
        """
        whenever eventually someday sometime hurry rush convenience convenient curious wondering wonder idea ideas
        suggestion suggest suggestions maybe perhaps future roadmap next spring summer autumn winter leisure
        thought just compliment fyi browsing thinking considering wish
        """
    ),
}
