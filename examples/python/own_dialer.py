"""A dialer of your own: a provider that is asked over the wire, with a reference, errors that say what happened, and `find`."""

import asyncio

import campaign


class Carrier:
    """Stands for a provider's client library."""

    def __init__(self) -> None:
        self.calls: dict[str, str] = {}

    async def create_call(self, key: str, to: str) -> str:
        if len(self.calls) == 2:
            raise ConnectionRefusedError
        return self.calls.setdefault(key, f"CA{len(self.calls):04}")

    async def wait_until_it_ends(self, reference: str) -> tuple[str, int]:
        await asyncio.sleep(0.01)
        return ("busy", 0) if reference.endswith("1") else ("completed", 42)


class MyDialer:
    """What the engine asks: `dial` carries an attempt out to its end, `find` says what became of one in doubt."""

    capabilities = campaign.Capabilities(channels=["call"], idempotency="callback_ref", lookup_lag=2)

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier

    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        try:
            reference = await self.carrier.create_call(request.key, request.to)
        except ConnectionRefusedError as error:
            # Certainly not placed. A time-out would not be certain: then raise campaign.InDoubt.
            raise campaign.Transient("the carrier refuses connections") from error
        await context.placed(reference)
        status, seconds = await self.carrier.wait_until_it_ends(reference)
        if status == "completed":
            return campaign.Outcome.answered(seconds, cost=0.014, provider_ref=reference)
        return campaign.Outcome("busy", provider_ref=reference)

    async def find(self, request: campaign.FindRequest) -> campaign.Found:
        reference = self.carrier.calls.get(request.key)
        return campaign.Found.never_happened() if reference is None else campaign.Found.running(reference)


async def main() -> None:
    async with await campaign.Engine.open("memory://", dialer=MyDialer(Carrier())) as engine:
        calls = await engine.create_campaign(name="Own dialer", campaign_type="call", max_attempts=1, concurrent_limit=1)
        await engine.add_contacts(calls.id, [{"phone": f"+1212555{number:04}"} for number in range(123, 126)])
        await engine.start(calls.id)
        print(await engine.wait(calls.id))
        for execution in await engine.executions(calls.id):
            print(execution.contact_id, execution.disposition, execution.provider_ref, execution.error_details or "")


if __name__ == "__main__":
    asyncio.run(main())
