"""A list of people, a plan, and a simulated carrier: run it with `python quickstart.py`."""

import asyncio

import campaign

PEOPLE = """Phone Number,Name,Appointment Date
(212) 555-0123,ada lovelace,February 15th
+1 213 555 0144,grace hopper,February 16th
2125550123,ada again,February 17th
3.46E+10,lost digits,February 18th
"""


async def main() -> None:
    # The carrier's clock goes 600 times as fast as ours; take one of your own class for real calls.
    dialer = campaign.SimulatedDialer(seed=7, speed=600)
    async with await campaign.Engine.open("sqlite://campaigns.db", dialer=dialer) as engine:
        reminders = await engine.create_campaign(
            name="Reminders",
            campaign_type="call",
            welcome_message_template="Hi {{ name|title_case }}, see you on {{ appointment_date }}.",
            fallback_values={"name": "there"},
            max_attempts=1,
            concurrent_limit=50,
            rate_limit_per_minute=600,
            time_zone="America/New_York",
        )
        report = await engine.import_contacts(reminders.id, PEOPLE.encode(), default_region="US")
        print(report.imported, "imported,", report.duplicates, "duplicate,", report.invalid, "refused:", report.errors[0].reason)

        await engine.start(reminders.id)
        async for event in engine.events(reminders.id):
            if event.disposition:
                print(f"contact {event.contact_id}: {event.disposition} after {event.duration_seconds} s")
        progress = await engine.progress(reminders.id)
        print(f"{progress.success_rate:.0f} % reached, cost {progress.total_cost:.3f}")


if __name__ == "__main__":
    asyncio.run(main())
