"""Values at the border: what is no JSON, what is not finite, what is too large, and that every refusal is an error of the package."""

from __future__ import annotations

import enum
import itertools
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import campaign
import pytest
from conftest import FAST, running


class Colour(enum.Enum):
    RED = "red"


class Raises:
    @property
    def _json(self) -> Any:
        raise ZeroDivisionError


LOOP: list[Any] = []
LOOP.append(LOOP)


async def stored(engine: campaign.Engine, value: Any) -> Any:
    """What becomes of a value in a campaign's metadata."""
    return (await engine.create_campaign(name="n", metadata={"own": value})).metadata["own"]


async def test_values_that_mean_something(engine: campaign.Engine) -> None:
    import numpy
    import pandas
    import polars

    moment = datetime(2999, 1, 1, 12, tzinfo=timezone.utc)
    name = uuid.uuid4()
    for value, wanted in [
        (True, True),
        (2**63, 2**63),
        (-(2**63), -(2**63)),
        (Decimal("0.25"), 0.25),
        (Colour.RED, "red"),
        (moment, "2999-01-01T12:00:00+00:00"),
        (date(2999, 1, 1), "2999-01-01"),
        (timedelta(seconds=1.5), 1.5),
        (name, str(name)),
        (Path("a"), "a"),
        ((1, 2), [1, 2]),
        ((number for number in (1, 2)), [1, 2]),
        ({3: "x"}, {"3": "x"}),
        (numpy.int64(7), 7),
        (numpy.float32(0.5), 0.5),
        (numpy.bool_(True), True),
        (numpy.arange(3), [0, 1, 2]),
        (numpy.datetime64("2099-01-01T12:00", "ns"), "2099-01-01T12:00:00.000000000"),
        (numpy.datetime64("NaT"), None),
        (pandas.Timestamp(moment), "2999-01-01T12:00:00+00:00"),
        (pandas.NaT, None),
        (pandas.Series([1, 2]), [1, 2]),
        (polars.Series([1, 2]), [1, 2]),
        ("\N{GRINNING FACE}", "\N{GRINNING FACE}"),
    ]:
        assert await stored(engine, value) == wanted, value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (Decimal("NaN"), "finite"),
        (2**64, "64 bits"),
        (-(2**70), "64 bits"),
        (object(), "type object cannot be stored"),
        (b"bytes", "type bytes cannot be stored"),
        (datetime, "type type cannot be stored"),
        ("\ud800", "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        ({None: 1}, "keys"),
        ({(1, 2): 1}, "keys"),
        (LOOP, "nested too deeply"),
        (Raises(), "cannot be read"),
    ],
)
async def test_values_that_mean_nothing_are_refused(engine: campaign.Engine, value: Any, message: str) -> None:
    with pytest.raises(campaign.InvalidError, match=message):
        await stored(engine, value)
    assert (await engine.list_campaigns()).total == 0


async def test_a_refusal_names_the_place_and_not_the_value(engine: campaign.Engine) -> None:
    with pytest.raises(campaign.InvalidError) as caught:
        await engine.create_campaign(name="n", metadata={"plans": [{"price": float("nan")}]})
    assert caught.value.context["field"] == "metadata.plans.0.price"
    with pytest.raises(campaign.InvalidError) as caught:
        await engine.create_campaign(name="n", metadata={"+12125550123": object()})
    assert "2125550123" not in str(caught.value)


async def test_a_budget_that_is_no_number_is_no_budget_without_end(engine: campaign.Engine) -> None:
    for wrong in (float("nan"), float("inf"), -1):
        with pytest.raises(campaign.InvalidError, match="budget"):
            await engine.create_campaign(name="n", budget=wrong)


async def test_empty_cells_of_tables(engine: campaign.Engine) -> None:
    import numpy
    import pandas

    made = await engine.create_campaign(name="n")
    empty = [None, float("nan"), numpy.nan, numpy.float32("nan"), pandas.NA, pandas.NaT, Decimal("NaN")]
    rows = [{"phone": f"+12125550{100 + number}", "plan": value} for number, value in enumerate(empty)]
    report = await engine.import_contacts(made.id, rows)
    assert report.imported == len(rows)
    assert all(not one.variables.get("plan") for one in await engine.list_contacts(made.id))
    with pytest.raises(campaign.InvalidError, match="finite"):
        await engine.import_contacts(made.id, [{"phone": "+12125550123", "plan": float("inf")}])


async def test_numbers_that_a_frame_made_fractions_of(engine: campaign.Engine) -> None:
    """A column of whole numbers in which one is missing becomes one of fractions."""
    import pandas

    made = await engine.create_campaign(name="n")
    frame = pandas.DataFrame({"phone": [12125550123, None, 12125550124], "name": ["Ada", "Bob", "Cy"]})
    report = await engine.import_contacts(made.id, frame, default_region="US")
    assert (report.imported, report.invalid) == (2, 1), report.errors
    assert [one.phone_number for one in await engine.list_contacts(made.id)] == ["+12125550123", "+12125550124"]


async def test_moments_without_a_zone_are_refused(engine: campaign.Engine) -> None:
    """Nobody can know which zone was meant, so nobody guesses."""
    made = await running(engine, 1)
    naive = datetime(2999, 1, 1, 9)
    for call in (
        lambda: engine.create_campaign(name="n", deadline=naive),
        lambda: engine.suppress("+12125550100", expires_at=naive),
        lambda: engine.timeline(made.id, 3600, start=naive),
        lambda: engine.simulate(made.id, start=naive),
    ):
        with pytest.raises(campaign.InvalidError) as caught:
            await call()
        assert caught.value.context["field"]
    aware = datetime(2999, 1, 1, 9, tzinfo=timezone(timedelta(hours=-5)))
    kept = (await engine.create_campaign(name="n", deadline=aware)).deadline
    assert kept == aware


async def test_wrong_types_are_errors_of_the_package(engine: campaign.Engine) -> None:
    own: Any = engine
    made = await running(engine, 1)
    for call in (
        lambda: own.get_campaign("7"),
        lambda: own.get_campaign(None),
        lambda: own.get_campaign(2**70),
        lambda: own.get_campaign(-1),
        lambda: own.get_campaign(1.5),
        lambda: own.list_contacts(),
        lambda: own.list_contacts(made.id, list_id=1),
        lambda: own.list_contacts(made.id, limit=-1),
        lambda: own.list_contacts(made.id, limit="many"),
        lambda: own.list_contacts(made.id, status=7),
        lambda: own.executions(made.id, disposition="asnwered"),
        lambda: own.suppress(7),
        lambda: own.suppress([7]),
        lambda: own.suppress("nonsense"),
        lambda: own.remove_contacts(made.id, ["x"]),
        lambda: own.update_campaign(made.id, max_attempts="three"),
        lambda: own.create_campaign(name=7),
        lambda: own.create_campaign(name="n", allowed_hours="always"),
        lambda: own.stop(patience=-1),
        lambda: own.stop(patience="soon"),
        lambda: own.preview_template(7),
        lambda: own.create_list(7),
        lambda: own.simulate(made.id, profile=7),
        lambda: own.re_execute(made.id, "some"),
        lambda: own.import_contacts(made.id, "/no/such/file.csv"),
        lambda: own.import_contacts(made.id, b"phone\n1", delimiter="too long"),
        lambda: campaign.Engine.open("sqlite:///no/such/folder/x.db", dialer=campaign.SimulatedDialer()),
        lambda: campaign.Engine.open("nonsense", dialer=campaign.SimulatedDialer()),
        lambda: campaign.Engine.open(dialer=campaign.SimulatedDialer(), lease="long"),
    ):
        with pytest.raises(campaign.CampaignError):
            await call()
    for arguments in ({"seed": -1}, {"seed": "x"}, {"speed": 0.5}, {"profile": 7}, {"nonsense": 1}):
        with pytest.raises(campaign.CampaignError):
            campaign.SimulatedDialer(**arguments)  # type: ignore[arg-type]
    # The engine is as it was.
    assert (await engine.wait(made.id)).completed_contacts == 1


async def test_ids_of_frames_and_records_are_ids(engine: campaign.Engine) -> None:
    import numpy

    made = await running(engine, 2)
    await engine.wait(made.id)
    assert (await engine.get_campaign(numpy.int64(made.id))).id == made.id  # type: ignore[arg-type]
    frame = (await engine.list_contacts(made.id)).to_pandas()
    assert (await engine.get_contact(frame["id"].iloc[0])).id == frame["id"].iloc[0]
    assert await engine.remove_contacts(made.id, frame["id"]) == 2  # type: ignore[arg-type]


async def test_contacts_from_generators_and_uploads(engine: campaign.Engine) -> None:
    """An upload of a web framework is read by awaiting."""
    made = await engine.create_campaign(name="n", **FAST)
    report = await engine.add_contacts(made.id, ({"phone": f"+12125550{number}"} for number in itertools.islice(itertools.count(100), 3)))
    assert report.imported == 3

    class Upload:
        filename = "people.csv"

        def __init__(self) -> None:
            self.pieces = [b"phone,name\n", b"+12125550190,Ada\n", b""]

        async def read(self, size: int = -1) -> bytes:
            return self.pieces.pop(0)

    report = await engine.import_contacts(made.id, Upload())  # type: ignore[arg-type]
    assert (report.imported, report.file_name) == (1, "people.csv")

    class Broken(Upload):
        async def read(self, size: int = -1) -> bytes:
            raise OSError("the client is gone")

    with pytest.raises(OSError, match="the client is gone"):
        await engine.import_contacts(made.id, Broken())  # type: ignore[arg-type]

    def rows() -> Any:
        yield {"phone": "+12125550191"}
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await engine.import_contacts(made.id, rows())
    assert (await engine.list_contacts(made.id)).total == 4
