"""Settled contacts per second from Python: every intent and every outcome on disk (SQLite, synchronous=FULL).

With the simulated dialer, which is Rust, as `benches/src/bin/engine.rs` does it from Rust; and with dialers written in Python.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import campaign

QUICK = os.environ.get("CAMPAIGN_BENCH_QUICK", "0") != "0"
ROUNDS = 1 if QUICK else 3


class Later:
    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        return campaign.Outcome("answered")


class AtOnce:
    def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> str:
        return "answered"


async def rate(folder: Path, dialer: Any, contacts: int, concurrency: int) -> float:
    """Settled contacts per second of one campaign, from its start to its end."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        people = Path(own) / "people.csv"
        with people.open("w") as file:
            file.write("phone,name,company,appointment_date,customer_id,plan\n")
            for number in range(contacts):
                file.write(f"+1212{2_000_000 + number},john smith {number},Acme,February 15th,{number},gold\n")
        async with await campaign.Engine.open(f"sqlite://{own}/bench.db", dialer=dialer) as engine:
            made = await engine.create_campaign(
                name="round",
                campaign_type="call",
                welcome_message_template="Hi {{name|title_case}}, this is {{assistant_name}} from {{company}}.",
                concurrent_limit=concurrency,
                rate_limit_per_minute="unlimited",
            )
            report = await engine.import_contacts(made.id, people)
            assert report.imported == contacts, report
            begun = time.perf_counter()
            await engine.start(made.id)
            done = await engine.wait(made.id)
            took = time.perf_counter() - begun
            assert done.completed_contacts == contacts, done
            return contacts / took


async def main() -> None:
    instant = campaign.SimulatedDialer(profile="instant", forgetful=True)
    rows: list[tuple[str, Any, int, int]] = [
        ("simulated dialer (Rust), concurrency 4,000", instant, 300 if QUICK else 100_000, 4_000),
        ("`async def dial`, concurrency 4,000", Later(), 300 if QUICK else 40_000, 4_000),
        ("`async def dial`, concurrency 50", Later(), 300 if QUICK else 20_000, 50),
        ("`def dial`, concurrency 50", AtOnce(), 300 if QUICK else 20_000, 50),
    ]
    rates: dict[str, list[float]] = {name: [] for name, *_ in rows}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for name, dialer, contacts, concurrency in rows:
                rates[name].append(await rate(Path(folder), dialer, contacts, concurrency))
    print("| from Python | settled contacts/s |\n|---|---|")
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):,.0f} |")


if __name__ == "__main__":
    asyncio.run(main())
