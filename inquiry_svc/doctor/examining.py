"""Runs all checks at once, each with a time limit, and puts what they say in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from inquiry_svc.doctor.checks import ALWAYS
from inquiry_svc.doctor.findings import Check, Finding, NotThere, left_out, wrong
from inquiry_svc.doctor.routines import ROUTINES
from inquiry_svc.doctor.surroundings import Surroundings, Wanted, looked_around
from inquiry_svc.errors import InquiryServiceError


@dataclass(frozen=True, slots=True)
class Report:
    findings: Sequence[tuple[str, Finding]]
    """Each with the name of its check, or of what is not there."""
    by_hand: Sequence[str]
    """What is left to a person."""

    def count(self, state: str) -> int:
        return sum(finding.state == state for _, finding in self.findings)


async def examine(wanted: Wanted, routines: Sequence[str] = ()) -> Report:
    """Everything that is always looked at, and what these of `ROUTINES` add."""
    plan = [*ALWAYS, *(check for name in routines for check in ROUTINES[name].checks)]
    async with looked_around(wanted) as around:
        said = await asyncio.gather(*(_looked(check, around) for check in plan))
    found = [(check.name, each) for check, each in zip(plan, said, strict=True)]
    lines = [*_not_there(found, around), *_there(found)]
    return Report(lines, [step for name in routines for step in ROUTINES[name].by_hand])


async def _looked(check: Check, around: Surroundings) -> Iterable[Finding] | NotThere:
    limit_s = check.timeout_s or around.settings.doctor.timeout_s
    try:
        async with asyncio.timeout(limit_s):
            return list(await check.look(around))
    except NotThere as missing:
        return missing
    except TimeoutError:
        return [wrong(f"no answer within {limit_s:g} s", "ask again, or raise [doctor] timeout_s")]
    except ImportError as error:
        return [left_out(f"it needs {error.name}", "pip install 'inquiry-svc[alerts]'")]
    except (InquiryServiceError, OSError) as error:
        return [wrong(str(error), "")]
    except Exception as error:
        shown = f"{type(error).__name__}: {error}"
        return [
            wrong(f"it failed over what it found ({shown})", "mend the plugin or the file, or compare the versions")
        ]


def _not_there(
    found: Sequence[tuple[str, Iterable[Finding] | NotThere]], around: Surroundings
) -> Iterator[tuple[str, Finding]]:
    """One line for each thing that is missing."""
    for what, finding in around.missing.items():
        without = sum(isinstance(each, NotThere) and each.what == what for _, each in found)
        if without:
            yield what, replace(finding, says=f"{finding.says}, so that {without} checks are left out")


def _there(found: Sequence[tuple[str, Iterable[Finding] | NotThere]]) -> Iterator[tuple[str, Finding]]:
    """What several checks say in the same words is told once."""
    told = set()
    for name, each in found:
        for finding in () if isinstance(each, NotThere) else each:
            if finding not in told or finding.state == "left out":
                told.add(finding)
                yield name, finding
