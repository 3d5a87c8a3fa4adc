"""The interpreter ends with status 0, whatever the engine is doing; and what happens after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from pathlib import Path

import pytest

RUNS = int(os.environ.get("CAMPAIGN_EXIT_RUNS", "200"))

PRELUDE = """
import asyncio, os, sys, threading, time
import campaign
FAST = dict(campaign_type="call", concurrent_limit=50, rate_limit_per_minute="unlimited", max_attempts=1)
PEOPLE = [{"phone": f"+1212555{n:04}"} for n in range(100, 160)]
class Later:
    async def dial(self, request, context):
        begun.set()
        await asyncio.sleep(30)
        return "answered"
class AtOnce:
    def dial(self, request, context):
        begun.set()
        time.sleep(30)
        return "answered"
class Quick:
    async def dial(self, request, context):
        begun.set()
        await context.placed("x")
        await asyncio.sleep(0)
        return "answered"
class QuickSync:
    def dial(self, request, context):
        begun.set()
        return "answered"
class Hanging:
    variables = ["name"]
    async def render(self, values):
        begun.set()
        await asyncio.sleep(30)
class HangingAtOnce(Hanging):
    def render(self, values):
        begun.set()
        time.sleep(30)
class Own:
    def __init__(self, template):
        self.templates = {"sms_message": template}
    def next(self, view):
        return campaign.Reach(channel="sms")
begun = threading.Event()
async def started(dialer, store="memory://"):
    engine = await campaign.Engine.open(store, dialer=dialer)
    made = await engine.create_campaign(name="n", **FAST)
    await engine.import_contacts(made.id, PEOPLE)
    await engine.start(made.id)
    return engine, made
def blocking(dialer, template=None):
    engine = campaign.BlockingEngine.open(dialer=dialer, kinds={"own": lambda spec: Own(template)})
    made = engine.create_campaign(name="n", **FAST | ({"campaign_type": "own"} if template else {}))
    engine.import_contacts(made.id, PEOPLE)
    engine.start(made.id)
    return engine, made
SIMULATED = campaign.SimulatedDialer(profile={"ring_millis": {"min": 1, "max": 5}})
"""

# The last moments of programs. None closes its engine in order.
ENDINGS = [
    "pass",
    "campaign.BlockingEngine.open(dialer=SIMULATED)",
    "asyncio.run(started(SIMULATED))",
    "asyncio.run(started(Quick()))",
    "asyncio.run(started(QuickSync()))",
    "asyncio.run(started(AtOnce())); begun.wait(0.2)",
    "blocking(SIMULATED)",
    "blocking(Quick())",
    "kept = blocking(Quick()); begun.wait()",
    "kept = blocking(QuickSync()); begun.wait()",
    "kept = blocking(Later()); begun.wait()",
    "kept = blocking(AtOnce()); begun.wait()",
    "kept = blocking(SIMULATED, Hanging()); begun.wait()",
    "kept = blocking(SIMULATED, HangingAtOnce()); begun.wait()",
    "engine, made = blocking(Quick()); engine.wait(made.id)",
    "engine, made = blocking(QuickSync()); engine.wait(made.id)",
    "engine, made = blocking(Later()); begun.wait(); engine.abort()",
    "engine, made = blocking(Later()); begun.wait(); del engine",
    "engine, made = blocking(AtOnce()); begun.wait(); sys.exit(0)",
    "engine, made = blocking(QuickSync()); next(engine.events(made.id))",
    "engine, made = blocking(Quick()); threading.Thread(target=lambda: engine.wait(made.id)).start()",
    "engine, made = blocking(Later()); threading.Thread(target=lambda: engine.wait(made.id), daemon=True).start(); begun.wait()",
    """
async def main():
    engine, made = await started(Later())
    asyncio.create_task(engine.wait(made.id))
    await asyncio.to_thread(begun.wait)
asyncio.run(main())""",
    """
async def main():
    engine, made = await started(Quick())
    async for event in engine.events(made.id):
        if event.type == "contact_completed":
            break
asyncio.run(main())""",
    """
async def main():
    engine, made = await started(Later())
    await asyncio.to_thread(begun.wait)
    async with engine:
        raise KeyboardInterrupt
try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass""",
    """
loop = asyncio.new_event_loop()
engine, made = loop.run_until_complete(started(Later()))
loop.run_until_complete(asyncio.sleep(0.01))""",
    """
loop = asyncio.new_event_loop()
engine, made = loop.run_until_complete(started(Quick()))
loop.close()""",
]


def run(ending: str) -> tuple[int, str]:
    ended = subprocess.run([sys.executable, "-X", "faulthandler", "-c", PRELUDE + ending], capture_output=True, text=True, timeout=50)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("turn", range(ceil(RUNS / len(ENDINGS))))
def test_the_exit_status_is_always_0(turn: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        for ending, (status, stderr) in zip(ENDINGS, pool.map(run, ENDINGS), strict=True):
            assert status == 0, f"turn {turn}: {ending}\n{status}\n{stderr}"
            for word in ("Fatal", "panicked", "never retrieved", "was destroyed"):
                assert word not in stderr, f"turn {turn}: {ending}\n{stderr}"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("first", ["blocking(SIMULATED)", "asyncio.run(started(SIMULATED)), None", "None, None"])
def test_after_a_fork(first: str) -> None:
    """The engine of the parent says clearly that it cannot be used in the child; a new one works; the parent goes on."""
    program = f"""
engine, made = {first}
child = os.fork()
if child == 0:
    status = 1
    try:
        if isinstance(engine, campaign.BlockingEngine):
            try:
                engine.progress(made.id)
            except campaign.StateError as error:
                assert "forked" in str(error), error
            else:
                raise AssertionError("the engine of the parent was used")
        own, mine = blocking(Quick())
        assert own.wait(mine.id).completed_contacts == 60
        own.close()
        status = 0
    finally:
        sys.exit(status)
_, status = os.waitpid(child, 0)
assert status == 0, status
if isinstance(engine, campaign.BlockingEngine):
    assert engine.progress(made.id).total_contacts == 60
    engine.abort()
"""
    status, stderr = run(program)
    assert status == 0, stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_looks_up_zones_although_the_parent_did_so_when_it_forked() -> None:
    """The tz database has one lock for the process, which a thread of the parent must not hold at that moment."""
    program = """
import signal, zoneinfo
zones = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
people = [{"phone": f"+1212555{n:04}", "time_zone": zone} for n, zone in enumerate(zones, 1000)]
engine = campaign.BlockingEngine.open(dialer=SIMULATED)
made = engine.create_campaign(name="n", **FAST)
looking = threading.Thread(target=engine.import_contacts, args=(made.id, people))
looking.start()
forks = 0
while looking.is_alive() and forks < 60:
    forks += 1
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        campaign.BlockingEngine.open(dialer=SIMULATED).create_campaign(name="n", time_zone="Pacific/Chatham", **FAST)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, f"the child of fork {forks}"
looking.join()
assert forks > 1, forks
assert engine.progress(made.id).total_contacts > 500
engine.close()
"""
    status, stderr = run(program)
    assert status == 0, stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_leaves_the_files_of_the_parent_alone(tmp_path: Path) -> None:
    """The child lets go of everything and ends; the parent's store is whole, and its campaign goes through."""
    program = f"""
import gc, sqlite3
engine = campaign.BlockingEngine.open("sqlite://{tmp_path}/c.db", dialer=Quick())
made = engine.create_campaign(name="n", **FAST)
engine.import_contacts(made.id, PEOPLE)
stream = engine.events(made.id)
next(stream)
child = os.fork()
if child == 0:
    del engine, made, stream
    gc.collect()
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
engine.start(made.id)
assert engine.wait(made.id).completed_contacts == 60
assert engine.executions(made.id).total == 60
engine.close()
assert sqlite3.connect("{tmp_path}/c.db").execute("pragma integrity_check").fetchone() == ("ok",)
"""
    status, stderr = run(program)
    assert status == 0, stderr


def test_under_multiprocessing() -> None:
    program = """
import multiprocessing
def work(number):
    engine, made = blocking(Quick())
    done = engine.wait(made.id).completed_contacts
    engine.close()
    return done
engine, made = blocking(Quick())
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(work, range(4)) == [60] * 4
"""
    status, stderr = run(program)
    assert status == 0, stderr
