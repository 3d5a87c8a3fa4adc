"""The engine's own decisions, for stores written in Python. A store keeps records; these functions decide.

>>> transition("pending", "claim")
'in_progress'
>>> call_counts("call", "answered")
(1, 1)
>>> micros("2026-03-02T15:00:00.5Z") - micros("2026-03-02T15:00:00Z")
500000
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from . import _native
from ._records import moment

__all__ = [
    "Pacer",
    "announce",
    "call_counts",
    "decide",
    "is_success",
    "look_back",
    "micros",
    "settle_ledger",
    "suppression",
    "text",
    "transition",
]

Pacer = _native.Pacer
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment_text: str) -> int:
    """A moment as the engine writes it, in microseconds since 1970: texts do not sort."""
    return (moment(moment_text) - _EPOCH) // _MICROSECOND


def text(microseconds: int) -> str:
    """The opposite of :func:`micros`.

    >>> text(micros("2026-03-02T15:00:00.5Z"))
    '2026-03-02T15:00:00.500000Z'
    """
    return (_EPOCH + microseconds * _MICROSECOND).isoformat().replace("+00:00", "Z")


def decide(gates: dict[str, Any], contact: dict[str, Any], facts: dict[str, Any], now: str) -> dict[str, Any]:
    """Whether a contact may be claimed: ``verdict`` is ``allow``, ``not_before`` or ``never``."""
    return _native.decide("decide", {"gates": gates, "contact": contact, "facts": facts, "now": now})


def suppression(facts: dict[str, Any]) -> dict[str, Any]:
    """What a suppression means for a new contact: a verdict."""
    return _native.decide("suppression", facts)


def look_back(gates: dict[str, Any]) -> int | None:
    """How many seconds back the facts for a claim must reach; ``None``: not at all."""
    return _native.decide("look_back", gates)


def transition(status: str, event: str | dict[str, str]) -> str:
    """What a contact becomes by an event (``claim``, ``requeue``, ``cancel``, ``reset``, ``{"finish": status}``)."""
    return _native.decide("transition", {"from": status, "event": event})


def settle_ledger(ledger: dict[str, Any], reserved: float, claimed_day: str | None, release: str | dict[str, float]) -> dict[str, Any]:
    """Gives back what one attempt had reserved: ``release`` is ``unused`` or ``{"used": cost}``."""
    form = {"ledger": ledger, "reserved": reserved, "claimed_day": claimed_day, "release": release}
    return _native.decide("settle_ledger", form)


def announce(before: dict[str, Any], after: dict[str, Any], spent: float) -> list[dict[str, Any]]:
    """The events of replacing one campaign record by another, without campaign and moment."""
    return _native.decide("announce", {"before": before, "after": after, "spent": spent})


def call_counts(channel: str, disposition: str) -> tuple[int, int]:
    """What a settled attempt adds to the counters: call attempts, answered calls."""
    calls, answered = _native.decide("call_counts", {"channel": channel, "disposition": disposition})
    return calls, answered


def is_success(disposition: str) -> bool:
    """Whether the person was reached."""
    return _native.decide("is_success", {"channel": "call", "disposition": disposition})
