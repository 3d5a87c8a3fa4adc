"""Settled contacts per second from Python: every intent and every outcome on disk (SQLite, synchronous=FULL).

With the simulated dialer, which is Rust, beside the same work from Rust itself (the program `binding_floor`, whose path is in
BINDING_FLOOR); and with dialers written in Python. The rows of a round follow each other, so that shares are of the same moment.
`CONTACTS` and `ROUNDS` change the size.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import campaign

QUICK = os.environ.get("CAMPAIGN_BENCH_QUICK", "0") != "0"
ROUNDS = int(os.environ.get("ROUNDS", "1" if QUICK else "5"))
CONTACTS = int(os.environ.get("CONTACTS", "300" if QUICK else "20000"))
FLOOR = os.environ.get("BINDING_FLOOR")
ZONES = ["America/New_York", "America/Chicago", ""]


class Later:
    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        return campaign.Outcome("answered")


class AtOnce:
    def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> str:
        return "answered"


async def rate(folder: Path, dialer: Any, concurrency: int) -> float:
    """Settled contacts per second of one campaign, from its start to its end."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        people = Path(own) / "people.csv"
        with people.open("w") as file:
            file.write("phone,name,company,time_zone,appointment_date,customer_id,plan\n")
            for number in range(CONTACTS):
                file.write(f"+1212{2_000_000 + number},john smith {number},Acme,{ZONES[number % 3]},February 15th,{number},gold\n")
        async with await campaign.Engine.open(f"sqlite://{own}/bench.db", dialer=dialer) as engine:
            made = await engine.create_campaign(
                name="round",
                campaign_type="call",
                welcome_message_template="Hi {{name|title_case}}, this is {{assistant_name}} from {{company}}.",
                concurrent_limit=concurrency,
                rate_limit_per_minute="unlimited",
            )
            report = await engine.import_contacts(made.id, people)
            assert report.imported == CONTACTS, report
            begun = time.perf_counter()
            await engine.start(made.id)
            done = await engine.wait(made.id)
            took = time.perf_counter() - begun
            assert done.completed_contacts == CONTACTS, done
            return CONTACTS / took


def from_rust() -> float:
    """The same from Rust, concurrency 4,000."""
    assert FLOOR is not None
    said = subprocess.run([FLOOR, str(CONTACTS), "1"], capture_output=True, text=True, check=True, timeout=300)
    return float(said.stdout.split()[0])


async def main() -> None:
    instant = campaign.SimulatedDialer(profile="instant", forgetful=True)
    rows: list[tuple[str, Any, int]] = [
        ("Python, simulated dialer (Rust), concurrency 4,000", instant, 4_000),
        ("Python, `async def dial`, concurrency 4,000", Later(), 4_000),
        ("Python, `async def dial`, concurrency 500", Later(), 500),
        ("Python, `async def dial`, concurrency 50", Later(), 50),
        ("Python, `def dial` (a thread), concurrency 50", AtOnce(), 50),
    ]
    names = (["Rust, simulated dialer, concurrency 4,000"] if FLOOR else []) + [name for name, *_ in rows]
    rates: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            if FLOOR:
                rates[names[0]].append(from_rust())
            for name, dialer, concurrency in rows:
                rates[name].append(await rate(Path(folder), dialer, concurrency))
    print("| | settled contacts/s | of the first row, same round |\n|---|---|---|")
    first = rates[names[0]]
    for name, found in rates.items():
        shares = [one / other for one, other in zip(found, first, strict=True)]
        print(f"| {name} | {statistics.median(found):,.0f} | {statistics.median(shares):.0%} |")


if __name__ == "__main__":
    asyncio.run(main())
