"""The engine's own conformance suites, on a store and a dialer written in Python."""

from __future__ import annotations

import asyncio
from typing import Any

import campaign
import pytest
from campaign import testing
from memory_store import MemoryStore


async def test_a_store_in_python_passes_the_suite() -> None:
    report = await testing.run_store_suite(MemoryStore)
    report.assert_passed()
    assert len(report.passed) > 40


async def test_the_suite_finds_what_is_broken() -> None:
    class Forgets(MemoryStore):
        async def put_document(self, put: dict[str, Any]) -> int:
            return 1

    report = await testing.run_store_suite(Forgets, only="documents_compare_revisions")
    assert not report.ok
    with pytest.raises(AssertionError, match="documents_compare_revisions"):
        report.assert_passed()


class Provider:
    """The other side of the wire: what it was handed, and how each call stands."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}


class MyDialer:
    """A dialer over a provider that does what the situation says."""

    capabilities = campaign.Capabilities(idempotency="callback_ref", max_request_time=1)

    def __init__(self, provider: Provider, situation: str) -> None:
        self.provider = provider
        self.situation = situation

    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        match self.situation:
            case "throttled":
                raise campaign.Throttled("too fast", retry_after=1)
            case "transient":
                raise campaign.Transient("no line is free")
            case "permanent":
                raise campaign.Permanent("the number does not exist")
            case "suppressed":
                raise campaign.Suppressed
            case _:
                pass
        if context.now > request.not_after or context.is_cancelled:
            raise campaign.Throttled("too late", retry_after=0)
        call = self.provider.calls.setdefault(request.key, {"ref": f"ref-{request.key}", "outcome": None})
        await context.placed(call["ref"])
        context.progress("ringing")
        if self.situation == "lost_answer":
            call["outcome"] = campaign.Outcome("busy", provider_ref=call["ref"])
            raise ConnectionResetError
        try:
            await context.sleep(10 if self.situation == "long" else 0.01)
        except asyncio.CancelledError:
            # Hung up: the call is over, and it is known how.
            call["outcome"] = campaign.Outcome("cancelled", provider_ref=call["ref"])
            return call["outcome"]
        reached = "answered" if request.channel == "call" else "delivered"
        ending: Any = "busy" if self.situation == "busy" else reached
        call["outcome"] = campaign.Outcome(ending, provider_ref=call["ref"])
        return call["outcome"]

    async def find(self, request: campaign.FindRequest) -> campaign.Found:
        call = self.provider.calls.get(request.key)
        if call is None:
            return campaign.Found.never_happened()
        if call["outcome"] is None:
            return campaign.Found.running(call["ref"])
        return campaign.Found.ended(call["outcome"])


async def test_a_dialer_in_python_passes_the_suite() -> None:
    provider = Provider()
    report = await testing.run_dialer_suite(lambda situation, request: MyDialer(provider, situation))
    report.assert_passed()
    assert len(report.passed) >= 12, str(report)


async def test_the_suite_finds_a_broken_dialer() -> None:
    class Wrong(MyDialer):
        async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
            return campaign.Outcome("delivered" if request.channel == "call" else "answered")

    provider = Provider()
    report = await testing.run_dialer_suite(lambda situation, request: Wrong(provider, situation) if situation == "usual" else None)
    assert not report.ok
