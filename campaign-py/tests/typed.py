"""What type checkers must accept, and what they must refuse: read by them, never run. An ignored error that is none is an error."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

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


class Streams:
    async def answer(self, dialogue: campaign.Dialogue) -> AsyncIterator[str | campaign.ToolCall]:
        yield dialogue.instructions
        yield campaign.ToolCall("end_call")


class Returns:
    async def answer(self, dialogue: campaign.Dialogue) -> str:
        return "Hi"


class Yields:
    def answer(self, dialogue: campaign.Dialogue) -> Iterator[str]:
        yield "Hi"


async def answer_back(engine: campaign.Engine) -> None:
    twilio = campaign.TwilioDialer(account_sid="AC", auth_token="t", calls_per_second=5, poll_interval=timedelta(seconds=5))
    campaign.TwilioDialer(auth_token="t")  # type: ignore[call-arg]
    campaign.TwilioDialer(account_sid="AC", calls_per_second="many")  # type: ignore[arg-type]
    routed = campaign.RoutedDialer({"voice": ("call", Later()), "text": (["sms", "whatsapp"], twilio)})
    campaign.RoutedDialer({"voice": ("fax", twilio)})  # type: ignore[dict-item]
    await campaign.Engine.open(dialer=routed, assistant=Streams())
    await campaign.Engine.open(dialer=twilio, assistant=Returns())
    await campaign.Engine.open(dialer=twilio, assistant=Yields())
    await campaign.Engine.open(dialer=twilio, assistant=campaign.OpenAiAssistant(model="m"))
    await campaign.Engine.open(dialer=twilio, assistant=Later())  # type: ignore[arg-type]
    assert_type(await engine.callback("POST", "/twilio/sms", {"host": "a"}, b""), campaign.CallbackResponse)
    found = await engine.conversations(channel="sms")
    assert_type(found, list[campaign.Conversation])
    assert_type(await engine.messages(found[0]), campaign.Page[campaign.Message])
    assert_type(await engine.send_message(found[0], "Hi", valid_for=timedelta(minutes=5)), campaign.Message)
    await engine.send_message({"channel": "fax", "our_number": "x", "phone_number": "y"}, "Hi")  # type: ignore[arg-type]


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
