"""The life of an engine among loops and threads: closed twice, given up, abandoned, used from elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import campaign
import pytest
from campaign import _loop
from conftest import FAST, PEOPLE, Steps, dialer, running
from memory_store import MemoryStore


async def test_closing_twice_and_at_once(tmp_path: Path) -> None:
    for store in ("memory://", f"sqlite://{tmp_path / 'c.db'}"):
        engine = await campaign.Engine.open(store, dialer=campaign.SimulatedDialer(profile="instant"))
        await running(engine, 20)
        await asyncio.gather(engine.close(), engine.close(), engine.stop(patience=0))
        await engine.close()
        engine.abort()
        with pytest.raises(campaign.ClosedError):
            await engine.create_campaign(name="n")


async def test_an_engine_that_nobody_holds_stops() -> None:
    begun = asyncio.Event()
    ended = asyncio.Event()

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "answered"

    engine = await campaign.Engine.open(dialer=dialer(dial))
    registered, objects = engine._registered, engine._link.objects
    await running(engine, 1)
    await begun.wait()
    holder = [engine]
    del engine
    with pytest.warns(ResourceWarning, match="was not closed"):
        # The last to hold it.
        holder.clear()
    # Its coroutine is cancelled, and what belonged to it is forgotten.
    await asyncio.wait_for(ended.wait(), 10)
    assert not set(registered) & set(objects)


async def test_two_engines_in_two_loops_at_once(engine: campaign.Engine) -> None:
    """User code runs on the loop in which its engine was opened, and nowhere else."""
    threads: set[int] = set()

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        threads.add(threading.get_ident())
        await context.placed("x")
        return "answered"

    async def whole() -> int:
        async with await campaign.Engine.open(dialer=dialer(dial)) as own:
            made = await running(own, 20)
            return (await own.wait(made.id)).completed_contacts

    here, there, elsewhere = await asyncio.gather(whole(), *(asyncio.to_thread(asyncio.run, whole()) for _ in range(2)))
    assert (here, there, elsewhere) == (20, 20, 20)
    assert len(threads) == 3


async def test_an_engine_is_used_from_another_loop() -> None:
    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        return "answered"

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:

        async def elsewhere() -> tuple[int, int]:
            made = await engine.create_campaign(name="n", **FAST)
            await engine.import_contacts(made.id, PEOPLE[:5])
            stream = await engine.events(made.id).open()
            await engine.start(made.id)
            seen = [event async for event in stream]
            return (await engine.wait(made.id)).completed_contacts, len([one for one in seen if one.type == "contact_completed"])

        assert await asyncio.to_thread(asyncio.run, elsewhere()) == (5, 5)


def test_an_engine_outlives_the_loop_it_was_opened_in() -> None:
    """One without user code goes on; one whose dialer lived on the loop has stopped, and says so."""

    async def opened(own: Any) -> tuple[campaign.Engine, int]:
        engine = await campaign.Engine.open(dialer=own)
        made = await engine.create_campaign(name="n", **FAST)
        await engine.import_contacts(made.id, PEOPLE)
        return engine, made.id

    async def through(engine: campaign.Engine, number: int) -> int:
        await engine.start(number)
        done = (await engine.wait(number)).completed_contacts
        await engine.close()
        return done

    assert asyncio.run(through(*asyncio.run(opened(campaign.SimulatedDialer(profile="instant"))))) == len(PEOPLE)

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        return "answered"

    engine, number = asyncio.run(opened(dialer(dial)))
    with pytest.raises(campaign.ClosedError):
        asyncio.run(through(engine, number))
    engine.abort()


def test_a_loop_that_was_closed_roughly_is_forgotten() -> None:
    async def opened() -> campaign.Engine:
        return await campaign.Engine.open(MemoryStore(), dialer=campaign.SimulatedDialer())

    loop = asyncio.new_event_loop()
    engine = loop.run_until_complete(opened())
    loop.close()
    assert loop in _loop._links

    async def nothing() -> None:
        await _loop.link()

    asyncio.run(nothing())
    assert loop not in _loop._links
    engine.abort()
    # No warning of a coroutine that was never awaited comes out of it.
    del engine, loop
    gc.collect()


async def test_threads_use_one_engine_at_once(engine: campaign.Engine) -> None:
    def work(number: int) -> int:
        made = engine.run_blocking.create_campaign(name=f"n{number}", **FAST)
        engine.run_blocking.add_contacts(made.id, PEOPLE)
        engine.run_blocking.start(made.id)
        return engine.run_blocking.wait(made.id).completed_contacts

    assert await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(8))) == [len(PEOPLE)] * 8


# --- events --------------------------------------------------------------------------------------------------------------


async def test_streams_that_are_abandoned(engine: campaign.Engine) -> None:
    made = await engine.create_campaign(name="n", **FAST)
    await engine.import_contacts(made.id, PEOPLE)
    loop = asyncio.get_running_loop()
    before = len(asyncio.all_tasks(loop))
    for _ in range(20):
        stream = engine.events(made.id)
        await stream.__anext__()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stream.__anext__(), 0.001)
        del stream
    gc.collect()

    async def quiet() -> None:
        while len(asyncio.all_tasks(loop)) > before + 1:
            await asyncio.sleep(0)

    await asyncio.wait_for(quiet(), 10)
    await engine.start(made.id)
    assert (await engine.wait(made.id)).completed_contacts == len(PEOPLE)


async def test_two_readers_of_one_stream_share_its_events(engine: campaign.Engine) -> None:
    made = await engine.create_campaign(name="n", **FAST)
    await engine.import_contacts(made.id, PEOPLE)
    stream = await engine.events(made.id).open()

    async def read() -> list[campaign.Event]:
        return [event async for event in stream]

    readers = [asyncio.create_task(read()) for _ in range(3)]
    await engine.start(made.id)
    seen = [event for each in await asyncio.gather(*readers) for event in each]
    completed = [event.contact_id for event in seen if event.type == "contact_completed"]
    assert len(completed) == len(set(completed)) == len(PEOPLE)


async def test_a_closed_stream_ends(engine: campaign.Engine) -> None:
    made = await engine.create_campaign(name="n", **FAST)
    stream = engine.events(made.id)
    await stream.__anext__()

    async def read() -> int:
        return len([event async for event in stream])

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    await stream.aclose()
    assert await asyncio.wait_for(reader, 10) == 0
    assert [event async for event in stream] == []
    with pytest.raises(campaign.NotFoundError):
        await engine.events(999).open()


async def test_events_of_all_campaigns(engine: campaign.Engine) -> None:
    stream = await engine.events().open()
    ended: set[int | None] = set()
    made = {(await running(engine, 1)).id for _ in range(3)}
    async for event in stream:
        if event.type == "contact_completed":
            ended.add(event.campaign_id)
        if ended == made:
            break
    await stream.aclose()


# --- user code that will not end, or ends in the wrong way ---------------------------------------------------------------


async def test_a_dialer_that_never_returns_does_not_hold_up_a_stop(steps: Steps) -> None:
    """It swallows its cancellation; after the engine's own grace it is left behind."""
    release = asyncio.Event()

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        steps.begun.set()
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return "answered"

    engine = await campaign.Engine.open(dialer=dialer(dial))
    await running(engine, 1)
    await steps.begun.wait()
    await asyncio.wait_for(engine.stop(patience=0), 30)
    release.set()
    await engine.close()


async def test_a_function_that_never_returns_does_not_hold_up_a_stop() -> None:
    begun, release = threading.Event(), threading.Event()

    def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        begun.set()
        release.wait(60)
        return "answered"

    engine = await campaign.Engine.open(dialer=dialer(dial))
    await running(engine, 1)
    await asyncio.to_thread(begun.wait)
    await asyncio.wait_for(engine.stop(patience=0), 30)
    release.set()
    await engine.close()


class Outside(BaseException):
    """As test runners raise them: no `Exception`."""


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_what_is_no_exception_ends_the_attempt_too(asynchronous: bool) -> None:
    def at_once(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        raise Outside

    async def later(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        raise Outside

    async with await campaign.Engine.open(dialer=dialer(later if asynchronous else at_once)) as engine:
        made = await running(engine, 2)
        await asyncio.wait_for(engine.wait(made.id), 20)
        assert {one.reason for one in await engine.list_contacts(made.id)} == {"in_doubt"}


class Careless(campaign.Transient):
    """A subclass that leaves out our constructor."""

    def __init__(self, code: int) -> None:
        self.code = code


class Odd(campaign.Throttled):
    def __init__(self) -> None:
        super().__init__("odd", retry_after=0)
        self.retry_after = float("nan")
        self.message = object()  # type: ignore[assignment]


@pytest.mark.parametrize(("error", "reason"), [(Careless(7), "failed"), (Odd(), None)])
async def test_errors_of_the_users_own(error: Exception, reason: str | None) -> None:
    tries = 0

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise error
        return "answered"

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 1)
        await asyncio.wait_for(engine.wait(made.id), 20)
        (contact,) = await engine.list_contacts(made.id)
        # The first is certainly not placed and has used up its one attempt; the second is throttled, and goes through later.
        assert contact.status == ("completed" if reason is None else "failed")


async def test_what_the_engine_raises_into_a_dialer_says_nothing_about_the_call() -> None:
    """An engine that is too busy for a query is no provider that refused a call: nobody dials again."""
    tries = 0

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        nonlocal tries
        tries += 1
        raise campaign.ThrottledError("a query came too fast", retry_after=0)

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 1)
        await engine.wait(made.id)
        assert (await engine.list_contacts(made.id))[0].reason == "in_doubt"
    assert tries == 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        b"answered",
        object(),
        {"disposition": "answered", "duration_seconds": float("nan")},
        {"disposition": "answered", "cost": "x"},
        campaign.Outcome("answered", data={"x": object()}),
        campaign.Outcome("answered", duration_seconds=-1),
        [],
        campaign.Outcome,
    ],
)
async def test_answers_that_mean_nothing_are_in_doubt(answer: Any) -> None:
    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> Any:
        return answer

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 1)
        await asyncio.wait_for(engine.wait(made.id), 20)
        assert (await engine.list_contacts(made.id))[0].reason == "in_doubt"


async def test_an_exception_of_a_dialer_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Once per place as an error, which says where and never what; each with its traceback for debugging."""

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        raise ValueError(f"cannot call {request.to}")

    with caplog.at_level(logging.DEBUG, logger="campaign"):
        async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
            made = await running(engine, 3)
            await engine.wait(made.id)
            executions = await engine.executions(made.id)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "ValueError" in errors[0].getMessage()
    assert "test_life.py" in errors[0].getMessage()
    assert "cannot call" not in errors[0].getMessage()
    causes = [record.exc_info[1] for record in caplog.records if record.levelno == logging.DEBUG and record.exc_info]
    assert [type(one) for one in causes] == [ValueError] * 3
    assert "ValueError" in str(executions[0].error_details)
    assert "cannot call" not in str(executions[0].error_details)


async def test_a_function_with_a_loop_of_its_own_uses_the_context() -> None:
    def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        async def inner() -> str:
            await context.placed("own-loop")
            await context.sleep(0)
            return "answered"

        return asyncio.run(inner())

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 3)
        assert (await engine.wait(made.id)).completed_contacts == 3
        assert {one.provider_ref for one in await engine.executions(made.id)} == {"own-loop"}


async def test_a_context_that_is_over() -> None:
    kept: list[campaign.DialContext] = []

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        kept.append(context)
        return "answered"

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 1)
        await engine.wait(made.id)
        with pytest.raises(campaign.StateError, match="ended"):
            await kept[0].placed("too late")
        assert kept[0].is_cancelled
        kept[0].progress("ringing")


async def test_no_thread_for_user_code_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = 0
    submit = _loop.Workers.submit

    def sometimes(self: _loop.Workers, job: Any) -> None:
        nonlocal refused
        if refused < 2:
            refused += 1
            raise RuntimeError("can't start new thread")
        submit(self, job)

    monkeypatch.setattr(_loop.Workers, "submit", sometimes)

    def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        return "answered"

    async with await campaign.Engine.open(dialer=dialer(dial)) as engine:
        made = await running(engine, 5)
        assert (await engine.wait(made.id)).completed_contacts == 5
    assert refused == 2


async def test_a_hand_off_for_which_the_loop_came_too_late_does_not_happen() -> None:
    """A loop that was held up dials nobody after the moment until which the gates were looked at."""
    late: list[float] = []
    held = False

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        nonlocal held
        late.append((context.now - request.not_after).total_seconds())
        if not held:
            held = True
            # Whatever blocks a loop does it like this, here until all that were to follow have become too late.
            while context.now <= request.not_after + timedelta(seconds=1):
                pass
        return "answered"

    async with await campaign.Engine.open(dialer=dialer(dial), longest_pause=0.5) as engine:
        made = await running(engine, 20, concurrent_limit=20)
        assert (await engine.wait(made.id)).completed_contacts == 20
    assert max(late) <= 0


# --- stores --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["claim", "settle", "renew_node", "changes", "placed", "counts", "take_over"])
async def test_a_store_that_fails_now_and_then_loses_nobody(method: str) -> None:
    calls = 0

    class Own(MemoryStore):
        pass

    whole = getattr(MemoryStore, method)

    async def sometimes(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= 3:
            raise campaign.UnavailableError("busy", retry_after=0.01)
        found = whole(self, *arguments)
        return await found if asyncio.iscoroutine(found) else found

    dialled: list[int] = []

    async def dial(request: campaign.DialRequest, context: campaign.DialContext) -> str:
        dialled.append(request.contact_id)
        with contextlib.suppress(campaign.UnavailableError):
            await context.placed("x")
        return "answered"

    async with await campaign.Engine.open(Own(), dialer=dialer(dial)) as engine:
        made = await engine.create_campaign(name="n", **FAST)
        await engine.import_contacts(made.id, PEOPLE)
        setattr(Own, method, sometimes)

        async def through(call: Any) -> Any:
            while True:
                with contextlib.suppress(campaign.UnavailableError):
                    return await asyncio.wait_for(call(made.id), 60)

        await through(engine.start)
        assert (await through(engine.wait)).completed_contacts == len(PEOPLE)
    assert sorted(dialled) == sorted(set(dialled))


async def test_a_store_is_copied(tmp_path: Path) -> None:
    first, second = MemoryStore(), f"sqlite://{tmp_path / 'copy.db'}"
    instant = campaign.SimulatedDialer(profile="instant")
    async with await campaign.Engine.open(first, dialer=instant) as engine:
        made = await running(engine, 20)
        await engine.wait(made.id)
        await engine.suppress("+12125550100", reason="asked")
        await engine.create_list("VIP")
        copied = await campaign.copy_store(first, second)
    assert (copied.campaigns, copied.contacts, copied.attempts, copied.suppressions) == (1, 20, 20, 1)
    async with await campaign.Engine.open(second, dialer=instant) as engine:
        assert (await engine.progress(made.id)).completed_contacts == 20
        assert (await engine.lists())[0].name == "VIP"
    with pytest.raises(campaign.InvalidError, match="no ContactStore"):
        await campaign.copy_store(object(), second)  # type: ignore[arg-type]
