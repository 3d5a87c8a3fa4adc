"""The engine from Python: everything it offers, and that it says what the Rust engine says."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import pickle
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import campaign
import pytest
from campaign import _errors, _native
from conftest import FAST, PEOPLE, running


async def test_the_quickstart(tmp_path: Path) -> None:
    file = tmp_path / "contacts.csv"
    file.write_text("Phone Number,Name\n(212) 555-0123,ada lovelace\n2125550123,again\nnonsense,bob\n")
    store = f"sqlite://{tmp_path / 'campaigns.db'}"
    async with await campaign.Engine.open(store, dialer=campaign.SimulatedDialer(profile="instant", seed=7)) as engine:
        made = await engine.create_campaign(
            name="Reminders",
            campaign_type="call",
            welcome_message_template="Hi {{name|title_case}}, this is {{assistant_name}}.",
            fallback_values={"name": "there"},
            max_attempts=3,
            retry_delay_minutes=30,
            concurrent_limit=50,
            rate_limit_per_minute=600,
            time_zone="America/New_York",
            allowed_hours={"start": "00:00", "end": "24:00", "days": ["monday", "tuesday"]},
        )
        assert (made.status, made.concurrent_limit, len(made.allowed_hours)) == ("draft", 50, 1)
        report = await engine.import_contacts(made.id, file, default_region="US")
        assert (report.imported, report.duplicates, report.invalid, report.total) == (1, 1, 1, 3)
        assert (report.errors[0].line, report.errors[0].code) == (4, "not_a_number")
        assert (report.file_name, report.format) == ("contacts.csv", "csv")
        made = await engine.update_campaign(made.id, allowed_hours=[], max_attempts=None)
        assert (made.allowed_hours, made.max_attempts) == ([], 3)
        contact = (await engine.list_contacts(made.id))[0]
        texts = await engine.preview_contact(made.id, contact.id)
        assert texts["welcome_message"] == "Hi Ada Lovelace, this is your assistant."
        # A stream tells of what happens after it was opened, and one call is over at once.
        stream = await engine.events(made.id).open()
        await engine.start(made.id)
        seen = [event async for event in stream]
        assert seen[0].type == "progress"
        assert seen[-1].progress is not None
        assert seen[-1].progress.status == "completed"
        assert {event.contact_id for event in seen if event.type == "contact_completed"} == {contact.id}
        assert (await engine.progress(made.id)).success_rate == 100
        done = await engine.get_contact(contact.id)
        assert isinstance(done.completed_at, datetime)
        assert done.completed_at.tzinfo == timezone.utc
        executions = await engine.executions(made.id, status="completed")
        assert (executions.total, executions[0].disposition) == (1, "answered")
    # Another engine on the same file finds everything.
    async with await campaign.Engine.open(store, dialer=campaign.SimulatedDialer(profile="instant")) as engine:
        assert (await engine.list_campaigns(status="completed")).total == 1


async def test_every_source_of_contacts(engine: campaign.Engine, tmp_path: Path) -> None:
    import pandas
    import polars

    text = "phone,name\n+12125550100,Ada\n+12125550101,Bob\n"
    rows = [{"phone": "+12125550100", "name": "Ada"}, {"phone": "+12125550101", "name": "Bob"}]
    path = tmp_path / "people.csv"
    path.write_text(text)
    workbook = tmp_path / "people.json"
    workbook.write_text(json.dumps(rows))
    sources: list[Any] = [
        str(path),
        path,
        workbook,
        text.encode(),
        io.BytesIO(text.encode()),
        io.StringIO(text),
        rows,
        iter(rows),
        pandas.DataFrame(rows),
        polars.DataFrame(rows),
    ]
    for source in sources:
        made = await engine.create_campaign(name="n")
        report = await engine.import_contacts(made.id, source)
        assert report.imported == 2, (type(source), report.errors)
        assert [one.name for one in await engine.list_contacts(made.id)] == ["Ada", "Bob"]
    with path.open("rb") as file:
        report = await engine.import_contacts((await engine.create_campaign(name="n")).id, file)
    assert report.file_name == "people.csv"
    for wrong in (3, {"phone": "+1"}, [1, 2]):
        with pytest.raises(campaign.InvalidError):
            await engine.import_contacts(made.id, wrong)  # type: ignore[arg-type]


async def test_rejected_rows_and_progress(engine: campaign.Engine, tmp_path: Path) -> None:
    made = await engine.create_campaign(name="n")
    told: list[campaign.ImportProgress] = []
    source = "phone\n" + "\n".join(f"+1212555{number:04}" for number in range(100, 200)) + "\nnonsense\n"
    report = await engine.import_contacts(made.id, source.encode(), progress=told.append, rejects=tmp_path / "bad.csv")
    assert (report.imported, report.invalid) == (100, 1)
    assert told[-1].rows == 101
    assert "not_a_number" in (tmp_path / "bad.csv").read_text()


async def test_frames_come_out(engine: campaign.Engine) -> None:
    made = await running(engine, 5)
    await engine.wait(made.id)
    page = await engine.list_contacts(made.id)
    frame, other = page.to_pandas(), page.to_polars()
    assert list(frame["status"]) == list(other["status"]) == ["completed"] * 5
    executions = (await engine.executions(made.id)).to_pandas()
    assert set(executions["disposition"]) == {"answered"}
    assert [one.id async for one in engine.iter_contacts(made.id)] == [one.id for one in page]


async def test_lifecycle_lists_and_suppression(engine: campaign.Engine) -> None:
    made = await engine.create_campaign(name="n", **FAST)
    with pytest.raises(campaign.StateError, match="No contacts"):
        await engine.start(made.id)
    group = await engine.create_list("VIP", "dear ones")
    await engine.import_contacts(None, PEOPLE[:3], list_id=group.id)
    await engine.suppress(PEOPLE[0]["phone_number"], reason="asked")
    await engine.suppress([{"phone_number": "(212) 555-0101"}], default_region="US", campaign=made.id)
    report = await engine.attach_list(group.id, made.id)
    assert (report.imported, report.suppressed) == (1, 2)
    assert await engine.is_suppressed(PEOPLE[0]["phone_number"])
    entries = await engine.suppressions()
    assert [(one.reason, one.campaign_id) for one in entries] == [("asked", None), ("suppressed", made.id)]
    assert PEOPLE[0]["phone_number"] in await engine.export_suppressions()
    assert await engine.unsuppress([PEOPLE[0]["phone_number"]]) == 1
    renamed = await engine.update_list(group.id, name="Very important")
    assert (renamed.name, renamed.description) == ("Very important", "dear ones")
    assert (await engine.update_list(group.id, description="")).description == ""
    with pytest.raises(campaign.InvalidError, match="name"):
        await engine.update_list(group.id, name=" ")
    with pytest.raises(campaign.NotFoundError):
        await engine.update_list(group.id + 1, name="x")
    assert [one.name for one in await engine.lists()] == ["Very important"]
    explained = await engine.explain((await engine.list_contacts(made.id, status="pending"))[0].id)
    assert explained.blocked_by == "campaign_state"
    assert "has not been started" in explained.text
    assert (await engine.explain_campaign(made.id)).reasons
    scheduled = await engine.schedule(made.id, schedule_type="once", scheduled_at=datetime(2999, 1, 1, tzinfo=timezone.utc))
    assert (scheduled.status, scheduled.next_start) == ("scheduled", datetime(2999, 1, 1, tzinfo=timezone.utc))
    assert (await engine.unschedule(made.id)).status == "draft"
    assert (await engine.schedule(made.id, schedule_type="immediate")).schedule["schedule_type"] == "immediate"
    await engine.start(made.id)
    await engine.wait(made.id)
    assert await engine.re_execute(made.id, "all") == 3
    assert (await engine.cancel(made.id)).status == "cancelled"
    assert await engine.remove_contacts(made.id, [one.id for one in await engine.list_contacts(made.id)]) == 3
    await engine.delete_list(group.id)
    await engine.delete_campaign(made.id)
    with pytest.raises(campaign.NotFoundError):
        await engine.get_campaign(made.id)


async def test_simulate_lint_timeline_and_amend(engine: campaign.Engine) -> None:
    made = await engine.create_campaign(name="n", sms_message_template="Hi {{ nmae }}", campaign_type="sms", **FAST)
    await engine.import_contacts(made.id, PEOPLE)
    report = await engine.lint_template(made.id)
    assert "unknown_variable" in {one["code"] for one in report.findings}
    start = datetime(2999, 1, 1, tzinfo=timezone.utc)
    foreseen = await engine.simulate(made.id, seed=3, start=start)
    assert foreseen.progress.total_contacts == len(PEOPLE)
    assert foreseen.finished_at is not None
    assert (await engine.simulate(made.id, seed=3, start=start)) == foreseen
    await engine.start(made.id)
    await engine.wait(made.id)
    buckets = await engine.timeline(made.id, 3600)
    assert sum(sum(one.dispositions.values()) for one in buckets) == len(PEOPLE)
    last = (await engine.executions(made.id, limit=1))[0]
    amended = await engine.amend(last.id, campaign.Outcome("delivered", cost=0.5, data={"receipt": 1}))
    assert (amended.cost, amended.data) == (0.5, {"receipt": 1})
    assert (await engine.record_reply(last.contact_id)).replied_at is not None
    assert (await engine.nodes())[0].name == engine.node_name


async def test_events_are_not_lost_to_a_timeout(engine: campaign.Engine) -> None:
    made = await engine.create_campaign(name="n", **FAST)
    await engine.import_contacts(made.id, PEOPLE)
    stream = await engine.events(made.id).open()
    assert (await stream.__anext__()).type == "progress"
    for _ in range(3):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stream.__anext__(), 0.001)
    await engine.start(made.id)
    seen = [event async for event in stream]
    assert len([one for one in seen if one.type == "contact_completed"]) == len(PEOPLE)


async def test_waiting_tells_how_far_it_is(engine: campaign.Engine, capsys: pytest.CaptureFixture[str]) -> None:
    made = await running(engine, 5)
    told: list[campaign.Progress] = []
    await engine.wait(made.id, progress=told.append)
    assert told[-1].completion_percentage == 100
    await engine.wait((await running(engine, 5)).id, progress=True)
    assert "campaign" in capsys.readouterr().err


@pytest.mark.parametrize("library", [True, False])
async def test_bars(engine: campaign.Engine, library: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With `tqdm`, and without it."""
    if not library:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    made = await engine.create_campaign(name="n", **FAST)
    source = "phone\n" + "\n".join(f"+1212555{number:04}" for number in range(100, 200))
    await engine.import_contacts(made.id, source.encode(), progress=True)
    assert "import" in capsys.readouterr().err
    await engine.start(made.id)
    await engine.wait(made.id, progress=True)
    assert "100/100" in capsys.readouterr().err


async def test_every_kind_has_a_class_with_a_builtin_base() -> None:
    for kind, name in _native.kinds().items():
        found = getattr(campaign, name)
        assert issubclass(found, campaign.CampaignError)
        assert found.kind == kind
        assert _errors._CLASSES[name] is found
        builtin = [base for base in found.__mro__ if base.__module__ == "builtins" and base not in (Exception, BaseException, object)]
        assert builtin, name
    error = campaign.StateError("no", context={"campaign": "7"}, retry_after=1)
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.retry_after) == ("no (campaign 7)", 1)


async def test_errors_name_the_field(engine: campaign.Engine) -> None:
    with pytest.raises(campaign.InvalidError) as caught:
        await engine.create_campaign(name="n", max_attempts=99)
    assert caught.value.context["field"] == "max_attempts"
    assert isinstance(caught.value, ValueError)
    with pytest.raises(campaign.InvalidError, match="nmae"):
        await engine.create_campaign(nmae="n")  # type: ignore[call-arg]
    with pytest.raises(campaign.TemplateError) as template:
        await engine.preview_template("{{ name")
    assert template.value.context["line"] == "1"
    with pytest.raises(campaign.InvalidError, match="one of"):
        await campaign.Engine.open("redis://user:secret@host", dialer=campaign.SimulatedDialer())
    with pytest.raises(campaign.InvalidError):
        campaign.SimulatedDialer(profile="nonsense")
    with pytest.raises(campaign.InvalidError, match="lease"):
        await campaign.Engine.open(dialer=campaign.SimulatedDialer(), lease=-1)


async def test_a_closed_engine_says_so() -> None:
    engine = await campaign.Engine.open(dialer=campaign.SimulatedDialer())
    await engine.close()
    with pytest.raises(campaign.ClosedError):
        await engine.create_campaign(name="n")


async def test_no_repr_shows_a_number(engine: campaign.Engine) -> None:
    made = await running(engine, 2)
    await engine.wait(made.id)
    await engine.suppress("+12125550100", reason="asked")
    everything: list[Any] = [
        made,
        await engine.list_contacts(made.id),
        (await engine.list_contacts(made.id))[0],
        await engine.executions(made.id),
        await engine.suppressions(),
        await engine.progress(made.id),
        [event async for event in engine.events(made.id)],
        campaign.Outcome("busy", provider_ref="+12125550100", detail="+12125550100", data={"to": "+12125550100"}),
        campaign.Found.running("+12125550100"),
        engine,
    ]
    for one in everything:
        assert "2125550100" not in repr(one), type(one)
        if hasattr(one, "_repr_html_"):
            assert "2125550100" not in one._repr_html_()
    assert "<table>" in (await engine.progress(made.id))._repr_html_()
    assert (
        "<script>"
        not in campaign.ImportReport._of(
            {
                **vars(await engine.import_contacts((await engine.create_campaign(name="n")).id, PEOPLE)),
                "file_name": "<script>",
                "errors": [],
            }
        )._repr_html_()
    )


def test_the_blocking_engine_has_everything() -> None:
    own = {name for name, _ in inspect.getmembers(campaign.Engine) if not name.startswith("_")} - {"run_blocking"}
    blocking = {name for name, _ in inspect.getmembers(campaign.BlockingEngine) if not name.startswith("_")}
    assert own <= blocking, own - blocking


def test_a_plain_script() -> None:
    with campaign.BlockingEngine.open(dialer=campaign.SimulatedDialer(profile="instant")) as engine:
        made = engine.create_campaign(name="n", **FAST)
        engine.add_contacts(made.id, PEOPLE)
        engine.start(made.id)
        assert list(engine.events(made.id))[-1].type == "progress"
        assert engine.wait(made.id).completed_contacts == len(PEOPLE)
        assert len(list(engine.iter_contacts(made.id))) == len(PEOPLE)
        assert engine.engine.run_blocking.progress(made.id).total_contacts == len(PEOPLE)


async def test_waiting_on_an_event_loop_is_refused(engine: campaign.Engine) -> None:
    with pytest.raises(campaign.StateError, match="await"):
        engine.run_blocking.now()
    # On a thread of its own it is fine.
    assert isinstance(await asyncio.to_thread(engine.run_blocking.now), datetime)


def test_the_engine_is_the_same_in_every_language() -> None:
    """`docs/surface.txt` names every method in each language; its columns of Rust and Python are what is really there."""
    root = Path(__file__).parents[2]
    table = [line.split("#")[0].split() for line in (root / "docs" / "surface.txt").read_text().splitlines()]
    rows = [row for row in table if row]
    rust, python = ({row[column] for row in rows} - {"-"} for column in (0, 1))
    methods: set[str] = set()
    source = root / "campaign-core" / "src"
    for file in [*(source / "engine").rglob("*.rs"), *(source / "simulate").glob("*.rs")]:
        inside = False
        for line in file.read_text().splitlines():
            inside = line == "impl Engine {" or (inside and line != "}")
            words = line.split()
            if (inside and words[:2] == ["pub", "fn"]) or (inside and words[:3] == ["pub", "async", "fn"]):
                methods.add(words[words.index("fn") + 1].split("(")[0].split("<")[0])
    assert methods == rust
    assert {name for name, _ in inspect.getmembers(campaign.Engine) if not name.startswith("_")} == python
