"""Those who are refused are told in their turns, whatever comes of telling one of them."""

from __future__ import annotations

import asyncio
from typing import Any

from inquiry_svc.admission import Admission
from inquiry_svc.catalogue import OWN_METRICS
from inquiry_svc.metrics import Metrics
from inquiry_svc.web.gate import Gate


def gone() -> None:
    raise ConnectionResetError


async def test_who_can_not_be_told_keeps_nobody_else_from_being_told() -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: raised.append(told))
    gate, told = Gate(Admission(1, Metrics(OWN_METRICS))), asyncio.Event()
    gate.have_told(lambda: None)  # at once; whoever comes now has to wait for the next turn
    gate.have_told(gone)
    gate.have_told(told.set)
    async with asyncio.timeout(30):
        await told.wait()
    assert [type(each["exception"]) for each in raised] == [ConnectionResetError]
