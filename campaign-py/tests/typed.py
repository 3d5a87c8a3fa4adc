"""What type checkers must accept, and what they must refuse: read by them, never run. An ignored error that is none is an error."""

import campaign
from typing_extensions import assert_type


class Later:
    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        await context.placed("CA1")
        return campaign.Outcome.answered(request.attempt_number)


class AtOnce:
    def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        return campaign.Outcome("busy")


class Wrong:
    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> int:
        return 7


class Policy:
    def next(self, view: campaign.CampaignView) -> campaign.Reach | campaign.Finish:
        return campaign.Reach() if not view.history else campaign.Finish("completed", "done", "Done.")


class LaterPolicy:
    async def next(self, view: campaign.CampaignView) -> campaign.Reach:
        return campaign.Reach()


async def use() -> None:
    engine = await campaign.Engine.open("memory://", dialer=Later(), kinds={"own": Policy(), "later": LaterPolicy()}, lease=15)
    await campaign.Engine.open(dialer=AtOnce())
    await campaign.Engine.open(dialer=Wrong())  # type: ignore[arg-type]
    await campaign.Engine.open(dialer=object())  # type: ignore[arg-type]
    await campaign.Engine.open(dialer=Later(), kinds={"own": Later()})  # type: ignore[dict-item]
    await campaign.Engine.open(dialer=Later(), leese=15)  # type: ignore[call-arg]
    made = await engine.create_campaign(name="n", max_attempts=3, concurrent_limit="unlimited")
    assert_type(made, campaign.CampaignRecord)
    await engine.create_campaign(name="n", max_attempts="three")  # type: ignore[arg-type]
    campaign.Outcome("asnwered")  # type: ignore[arg-type]
    assert_type(await engine.list_contacts(made.id), campaign.Page[campaign.Contact])
    assert_type((await engine.list_contacts(made.id))[0].phone_number, str)
    assert_type(await engine.import_contacts(made.id, [{"phone": "+12125550123"}]), campaign.ImportReport)
    async for event in engine.events(made.id):
        assert_type(event, campaign.Event)
    assert_type(engine.run_blocking.progress(made.id), campaign.Progress)
