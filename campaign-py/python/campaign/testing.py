"""Conformance suites: proof for stores and dialers of your own.

The suites are those that the engine's own stores and dialers pass.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._loop import link, plain
from ._protocols import STORE_METHODS, ContactStore, Dialer, DialRequest, check
from ._providers import Answers

__all__ = ["Report", "run_dialer_suite", "run_store_suite"]


@dataclass(frozen=True)
class Report:
    """What a suite found: names of checks, with a sentence for those that failed or were skipped.

    >>> Report(["a"], [], [("b", "the sum is wrong")]).ok
    False
    """

    passed: list[str]
    skipped: list[tuple[str, str]]
    failed: list[tuple[str, str]]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failed

    def assert_passed(self) -> None:
        """Raises ``AssertionError`` with the whole report when something failed."""
        if self.failed:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [f"  ok      {name}" for name in self.passed]
        lines += [f"  skipped {name}: {why}" for name, why in self.skipped]
        lines += [f"  FAILED  {name}: {why}" for name, why in self.failed]
        return "\n".join(lines)


class _Maker:
    """Asked by the suite for one fresh object after the other."""

    def __init__(self, register: Callable[[Any], int], make: Callable[..., Any], wrap: Callable[[Any], Any]) -> None:
        self._register = register
        self._make = make
        self._wrap = wrap

    async def make(self) -> int:
        made = self._make()
        return self._register(self._wrap(await made if inspect.isawaitable(made) else made))

    async def provoke(self, situation: str, request: dict[str, Any]) -> int | None:
        made = self._make(situation, DialRequest._of(request))
        made = await made if inspect.isawaitable(made) else made
        return None if made is None else self._register(self._wrap(made))


def _store(made: Any) -> Any:
    check(made, "ContactStore", STORE_METHODS)
    return made


def _dialer(made: Any) -> Any:
    check(made, "Dialer", ["dial"])
    return Answers(made)


async def _suite(kind: str, make: Callable[..., Any], wrap: Callable[[Any], Any], arguments: dict[str, Any]) -> Report:
    bridge = await link()
    registered: list[int] = []

    def register(target: Any) -> int:
        registered.append(bridge.register(target))
        return registered[-1]

    number = register(_Maker(register, make, wrap))
    try:
        found = await bridge.wait(bridge.bridge.suite(kind, number, arguments))
    finally:
        for gone in registered:
            bridge.objects.pop(gone, None)
    pairs = [[(name, why) for name, why in found[which]] for which in ("skipped", "failed")]
    return Report(found["passed"], *pairs)


async def run_store_suite(make: Callable[[], ContactStore | Any], *, only: str | None = None) -> Report:
    """Runs every check against a fresh, empty store that ``make`` gives (or ``only`` the one of this name).

    >>> import asyncio
    >>> async def main():
    ...     report = await run_store_suite(lambda: object())
    >>> asyncio.run(main())  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    campaign._errors.InvalidError: object is no ContactStore: it has no method `create_campaign`, ...
    """
    return await _suite("store", make, _store, {} if only is None else {"only": only})


async def run_dialer_suite(provoke: Callable[[str, DialRequest], Dialer | Any | None]) -> Report:
    """Drives dialers through everything their contract promises, on the real clock.

    ``provoke(situation, request)`` gives a dialer whose provider is set up for the situation (``usual``, ``busy``, ``throttled``,
    ``transient``, ``permanent``, ``suppressed``, ``lost_answer``, ``long``), or ``None`` when it cannot be provoked; only ``usual`` must.
    Every dialer it gives must have the capabilities of the first.
    """
    sample = provoke("usual", _sample())
    if inspect.isawaitable(sample):
        sample = await sample
    check(sample, "Dialer", ["dial"])
    capabilities = getattr(sample, "capabilities", None)
    capabilities = capabilities() if callable(capabilities) else capabilities
    arguments = {
        "capabilities": {} if capabilities is None else plain(capabilities),
        "can_find": callable(getattr(sample, "find", None)),
    }
    return await _suite("dialer", provoke, _dialer, arguments)


def _sample() -> DialRequest:
    fields: dict[str, Any] = dict.fromkeys((one.name for one in dataclasses.fields(DialRequest)), None)
    fields.update(to="+15550100", key="sample", channel="call", attempt_id=0)
    return DialRequest(**fields)
