"""A user's own classes: what may go wrong in them, and that it stays there."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from datetime import timedelta
from typing import Any

import campaign
import pytest
from conftest import Steps, dialer, running
from memory_store import MemoryStore


async def test_coroutines_and_functions_are_dialers() -> None:
    async def later(request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        await context.placed(f"ref-{request.attempt_number}")
        return campaign.Outcome.answered(5, cost=0.25)

    def at_once(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        context.placed("ref-1")
        assert threading.current_thread() is not threading.main_thread()
        return "busy"

    for own, status, reference in (
        (later, "completed", "ref-1"),
        (at_once, "busy", "ref-1"),
        (functools.partial(later), "completed", "ref-1"),
    ):
        async with await campaign.Engine.open(dialer=dialer(own)) as engine:
            made = await running(engine, 3)
            await engine.wait(made.id)
            assert {one.status for one in await engine.list_contacts(made.id)} == {status}
            assert {one.provider_ref for one in await engine.executions(made.id)} == {reference}


async def test_the_request_has_everything() -> None:
    seen: list[campaign.DialRequest] = []

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        seen.append(request)
        assert context.now <= request.not_after
        assert not context.is_cancelled
        return "delivered"

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 1, campaign_type="sms", sms_message_template="Hi {{ name }}", dialer_options={"voice": "x"})
        await engine.wait(made.id)
    assert (seen[0].to, seen[0].message, seen[0].options) == ("+12125550100", "Hi Person 100", {"voice": "x"})
    assert "2125550100" not in repr(seen[0])


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (campaign.Transient("no line"), "failed", "failed"),
        (campaign.Permanent("no such number"), "failed", "undeliverable"),
        (campaign.Suppressed(), "skipped", "opted_out"),
        (campaign.InDoubt("the answer was lost"), "failed", "in_doubt"),
        (ValueError("a defect"), "failed", "in_doubt"),
    ],
)
async def test_what_a_dialer_raises_ends_the_attempt(error: Exception, status: str, reason: str) -> None:
    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        raise error

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 2)
        await engine.wait(made.id)
        assert {(one.status, one.reason) for one in await engine.list_contacts(made.id)} == {(status, reason)}


async def test_throttled_is_not_failed() -> None:
    tries: list[int] = []

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        tries.append(request.attempt_number)
        if len(tries) == 1:
            raise campaign.Throttled("slow down", retry_after=0.01)
        return "answered"

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 1)
        assert (await engine.wait(made.id)).completed_contacts == 1
    assert tries == [1, 1]


async def test_an_answer_that_is_none_is_in_doubt() -> None:
    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> Any:
        return {"disposition": "asnwered"}

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 1)
        await engine.wait(made.id)
        assert (await engine.list_contacts(made.id))[0].reason == "in_doubt"


async def test_an_exception_of_a_store_is_the_cause() -> None:
    class Own(MemoryStore):
        async def create_campaign(self, new: dict[str, Any]) -> dict[str, Any]:
            raise KeyError("the row")

        async def counts(self, campaign: int) -> dict[str, Any]:
            raise campaign_error

        def campaigns(self, query: dict[str, Any]) -> Any:
            return {"items": "nonsense"}

    campaign_error = campaign.UnavailableError("the disk is gone", retry_after=2)
    async with await campaign.Engine.open(Own(), dialer=campaign.SimulatedDialer()) as engine:
        with pytest.raises(campaign.UserCodeError) as caught:
            await engine.create_campaign(name="n")
        assert isinstance(caught.value.__cause__, KeyError)
        assert "the row" not in str(caught.value)
        with pytest.raises(campaign.UserCodeError, match="campaigns"):
            await engine.list_campaigns()


async def test_an_error_raised_on_purpose_keeps_its_kind() -> None:
    ours = campaign.ConflictError("changed in between")

    class Own(MemoryStore):
        async def next_number(self, sequence: str) -> int:
            raise ours

    async with await campaign.Engine.open(Own(), dialer=campaign.SimulatedDialer()) as engine:
        with pytest.raises(campaign.ConflictError, match="changed in between") as caught:
            await engine.create_list("x")
        assert caught.value.__cause__ is ours


async def test_a_store_in_python_carries_a_campaign() -> None:
    async with await campaign.Engine.open(MemoryStore(), dialer=campaign.SimulatedDialer(profile="instant")) as engine:
        made = await running(engine, 20)
        assert (await engine.wait(made.id)).completed_contacts == 20


@pytest.mark.parametrize("wrong", [object(), type("Half", (), {"find": lambda self: None})()])
async def test_what_is_missing_is_named(wrong: Any) -> None:
    with pytest.raises(campaign.InvalidError, match="`dial`"):
        await campaign.Engine.open(dialer=wrong)
    with pytest.raises(campaign.InvalidError, match=r"no ContactStore: it has no method `create_campaign`, `campaign`"):
        await campaign.Engine.open(wrong, dialer=campaign.SimulatedDialer())


async def test_stopping_the_engine_cancels_the_coroutine(steps: Steps) -> None:
    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        steps.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert context.is_cancelled
            steps.cancelled.set()
            return campaign.Outcome("cancelled")
        raise AssertionError

    engine = await campaign.Engine.open(dialer=dialer(dial))
    made = await running(engine, 1)
    await steps.begun.wait()
    await engine.stop(patience=0)
    assert steps.cancelled.is_set()
    assert made.status == "running"


async def test_an_abort_cancels_the_coroutine(steps: Steps) -> None:
    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        steps.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            steps.ended.set()
        raise AssertionError

    engine = await campaign.Engine.open(dialer=dialer(dial))
    await running(engine, 1)
    await steps.begun.wait()
    engine.abort()
    await asyncio.wait_for(steps.ended.wait(), 5)


async def test_giving_up_waiting_gives_up_the_call(engine: campaign.Engine) -> None:
    made = await engine.create_campaign(name="n")
    waiting = asyncio.create_task(engine.wait(made.id))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await engine.get_campaign(made.id)).status == "draft"


async def test_a_slow_function_stalls_nobody() -> None:
    """Ten calls that block a thread each go on side by side, and the loop stays free."""
    together = threading.Barrier(10, timeout=20)

    def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        # Passes only when ten wait here at once.
        together.wait()
        return "answered"

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 10)
        assert (await engine.wait(made.id)).completed_contacts == 10


async def test_python_runs_while_rust_works(engine: campaign.Engine) -> None:
    """The interpreter is free while a file is read: a thread counts on."""
    made = await engine.create_campaign(name="n")
    source = ("phone\n" + "\n".join(f"+1{area}555{number:04}" for area in range(212, 222) for number in range(5_000))).encode()
    counted = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    begun = time.perf_counter()
    await engine.import_contacts(made.id, source)
    took = time.perf_counter() - begun
    before = counted
    stop.set()
    thread.join()
    # A thread that is kept from the interpreter counts nothing; alone it counts millions in a second.
    assert before > took * 200_000


async def test_a_kind_of_campaign_in_python() -> None:
    class TwiceThenSms:
        """Calls twice, a minute apart, then ends."""

        def next(self, view: campaign.CampaignView) -> Any:
            if not view.history:
                return campaign.Reach()
            if len(view.history) == 1:
                return campaign.Wait(view.now + timedelta(milliseconds=20), "pause", "A short pause.", step=0)
            if view.history[-1]["disposition"] == "busy":
                return campaign.Finish("busy", "twice_busy", "Busy twice.")
            return campaign.Finish("completed", "done", "Done.")

    asked: list[str] = []

    def make(spec: dict[str, Any]) -> TwiceThenSms:
        asked.append(spec["name"])
        return TwiceThenSms()

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        return "busy"

    for kind in (make, TwiceThenSms()):
        async with await campaign.Engine.open(dialer=dialer(dial), kinds={"twice": kind}) as engine:
            made = await running(engine, 1, campaign_type="twice", max_attempts=10, retry_delay_minutes=1)
            contact = None
            while contact is None or contact.status in ("pending", "in_progress"):
                contact = (await engine.list_contacts(made.id))[0]
                if contact.status == "pending" and contact.reason == "pause":
                    break
            assert contact.attempts >= 1
            assert contact.last_disposition == "busy"
    assert "Test" in asked


class Greeting:
    """A template. Whether it is a coroutine function makes no difference."""

    variables = ("name", "town")

    def render(self, values: dict[str, str]) -> str:
        if values["name"] == "Person 101":
            raise ZeroDivisionError("about +12125550101")
        return f"Hi {values['name']} of {values['town']}"


class LaterGreeting(Greeting):
    async def render(self, values: dict[str, str]) -> str:
        await asyncio.sleep(0)
        return super().render(values)


def once(template: Any) -> Any:
    """A kind of campaign that sends one message, made by this template."""

    class Once:
        def __init__(self) -> None:
            self.templates = {"short": template}

        def message_template(self, step: int, channel: str) -> str:
            return "short"

        def next(self, view: campaign.CampaignView) -> Any:
            if view.history:
                return campaign.Finish("completed", "told", "Told once.")
            return campaign.Reach(channel="sms")

    return Once


@pytest.mark.parametrize("template", [Greeting(), LaterGreeting()])
async def test_templates_in_python(template: Any) -> None:
    """They render; an exception in one ends that contact, which is never dialled, and nothing else."""
    said: list[str | None] = []

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        said.append(request.message)
        return "sent"

    assert isinstance(template, campaign.Template)
    async with await campaign.Engine.open(dialer=dialer(dial), kinds={"once": lambda spec: once(template)()}) as engine:
        made = await running(engine, 3, campaign_type="once", fallback_values={"town": "nowhere"})
        assert (await engine.wait(made.id)).completed_contacts == 2
        assert sorted(said, key=str) == ["Hi Person 100 of nowhere", "Hi Person 102 of nowhere"]
        (broken,) = [one for one in await engine.list_contacts(made.id) if one.status != "completed"]
        assert (broken.name, broken.status, broken.reason) == ("Person 101", "failed", "template_error")
        assert "ZeroDivisionError" in str(broken.reason_text)
        assert "2125550101" not in str(broken.reason_text)
        with pytest.raises(campaign.UserCodeError) as caught:
            await engine.preview_contact(made.id, broken.id)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        # The engine goes on.
        again = await running(engine, 1, campaign_type="once", name="Again")
        assert (await engine.wait(again.id)).completed_contacts == 1


async def test_an_answer_of_a_template_that_is_no_text() -> None:
    class Number(Greeting):
        def render(self, values: dict[str, str]) -> Any:
            return 7

    async with await campaign.Engine.open(dialer=campaign.SimulatedDialer(profile="instant"), kinds={"once": once(Number())()}) as engine:
        made = await running(engine, 1, campaign_type="once")
        assert (await engine.wait(made.id)).failed_contacts == 1
        assert "must return a text" in str((await engine.list_contacts(made.id))[0].reason_text)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (object(), "object is no Template: it has no method `render`"),
        (type("Half", (), {"render": lambda self, values: ""})(), "Half is no Template: its `variables` must be a list of names"),
        (type("One", (), {"render": lambda self, values: "", "variables": "name"})(), "One is no Template: its `variables`"),
    ],
)
async def test_what_a_template_lacks_is_named(wrong: Any, message: str) -> None:
    with pytest.raises(campaign.InvalidError, match=message) as caught:
        await campaign.Engine.open(dialer=campaign.SimulatedDialer(), kinds={"once": once(wrong)()})
    assert caught.value.context["field"] == "templates.short"
    wrong_kind: Any = object()
    with pytest.raises(campaign.InvalidError, match="object is no Campaign: it has no method `next`"):
        await campaign.Engine.open(dialer=campaign.SimulatedDialer(), kinds={"once": wrong_kind})
    # One that is made from a spec is looked at when it is made.
    async with await campaign.Engine.open(dialer=campaign.SimulatedDialer(), kinds={"once": lambda spec: once(wrong)()}) as engine:
        with pytest.raises(campaign.InvalidError, match=message):
            await engine.create_campaign(name="n", campaign_type="once")


async def test_campaigns_and_templates_that_are_done_with_are_forgotten() -> None:
    engine = await campaign.Engine.open(dialer=campaign.SimulatedDialer(profile="instant"), kinds={"once": once(LaterGreeting())()})
    known = engine._link.objects
    before = len(known)
    for _ in range(3):
        made = await running(engine, 1, campaign_type="once")
        await engine.wait(made.id)
    await engine.close()
    assert before == 1

    # The engine's threads let go of them when they are done, and the loop hears of it.
    async def forgotten() -> None:
        while known:
            await asyncio.sleep(0)

    await asyncio.wait_for(forgotten(), 10)


async def test_engines_that_open_side_by_side_close_one_by_one() -> None:
    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        return "answered"

    one, other = await asyncio.gather(*(campaign.Engine.open(dialer=dialer(dial)) for _ in range(2)))
    await one.close()
    made = await running(other, 2)
    assert (await other.wait(made.id)).completed_contacts == 2
    await other.close()
