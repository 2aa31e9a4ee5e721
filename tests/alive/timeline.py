"""When each thing happened, as a table to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.alive.episodes import Episode

_HEAD: Final = (
    "| fault | alert | condition true | fired | of which `for` | told by | message | over, after the cure | all-clear |"
)


def timeline(episodes: Sequence[Episode]) -> str:
    """Seconds after the fault, and after the cure. A verdict bears the time at which it was due."""
    return "\n".join([_HEAD, "|---" * _HEAD.count(" |") + "|", *map(_row, episodes)])


def _row(episode: Episode) -> str:
    alert = episode.fault.alert
    told, cleared = episode.told("FIRING", alert)[0], episode.told("RESOLVED", alert)[0]
    pending, fired, told_at = (at - episode.began_at for at in (episode.pending_at, episode.fired_at, told.at))
    over, cleared_at = (at - episode.cured_at for at in (episode.over_at, cleared.at))
    times = [f"{pending:.1f}", f"{fired:.1f}", f"{episode.for_s:g}", told.channel]
    return " | ".join(
        ["| " + episode.fault.name, alert, *times, f"{told_at:.1f}", f"{over:.1f}", f"{cleared_at:.1f} |"]
    )
