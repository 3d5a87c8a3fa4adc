"""What the tests are written with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import campaign
import pytest

PEOPLE = [{"phone_number": f"+1212555{number:04}", "name": f"Person {number}"} for number in range(100, 120)]
FAST: Any = {"concurrent_limit": 100, "rate_limit_per_minute": "unlimited", "max_attempts": 1}


class Steps:
    """Moments of a test, awaited by name: no test sleeps."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}

    def __getattr__(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
async def engine() -> AsyncIterator[campaign.Engine]:
    async with await campaign.Engine.open(dialer=campaign.SimulatedDialer(profile="instant")) as opened:
        yield opened


async def running(engine: campaign.Engine, people: int = 1, **fields: Any) -> campaign.CampaignRecord:
    """A started campaign with so many contacts."""
    made = await engine.create_campaign(**{"name": "Test", "campaign_type": "call", **FAST, **fields})
    await engine.import_contacts(made.id, PEOPLE[:people])
    return await engine.start(made.id)


def dialer(dial: Callable[..., Any], **more: Any) -> Any:
    """An object with this `dial`."""
    return type("OwnDialer", (), {"dial": staticmethod(dial), **more})()
