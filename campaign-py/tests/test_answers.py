"""People who answer back: real providers by configuration, callbacks, conversations, assistants, and the telephone's relay."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import campaign
import pytest
from conftest import FAST, PEOPLE, Steps, dialer, running
from vendors import OURS, Porch, Vendors, serving

SID = "AC" + 32 * "0"
CORE = Path(__file__).parents[2] / "campaign-core" / "src"
ANA, BEN, EVE = (f"+1202555014{number}" for number in range(3))


@pytest.fixture
def vendors() -> Iterator[Vendors]:
    made = Vendors()
    yield made
    made.close()


def webhook(**more: Any) -> campaign.WebhookDialer:
    return campaign.WebhookDialer(url="https://a.example", secret=16 * "cafe", **more)


TEXTS: Any = {"campaign_type": "sms", "sms_message_template": "Hi", "caller_ids": [{"number": OURS}], "replies": {"assistant": True}}


class Carrier:
    """A dialer of one's own that sends messages in conversations, too."""

    def __init__(self) -> None:
        self.sent: list[campaign.OutboundMessage] = []
        self.said = asyncio.Event()

    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        return campaign.Outcome("answered" if request.channel == "call" else "delivered", provider_ref=f"ref-{request.attempt_id}")

    async def send(self, message: campaign.OutboundMessage) -> str:
        self.sent.append(message)
        self.said.set()
        return f"out-{len(self.sent)}"


# --- providers by configuration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: campaign.TwilioDialer(account_sid="AC-hush", auth_token="t"), "account_sid"),
        (lambda: campaign.TwilioDialer(account_sid=SID), "auth_token"),
        (lambda: campaign.TwilioDialer(account_sid=SID, auth_token="t", calls_per_second="hush"), "calls_per_second"),  # type: ignore[arg-type]
        (lambda: campaign.TwilioDialer(account_sid=SID, auth_tokn="hush"), "auth_tokn"),  # type: ignore[call-arg]
        (lambda: campaign.ElevenLabsDialer(api_key="a hush"), "api_key"),
        (lambda: campaign.ElevenLabsDialer(api_key="hush", region="mars"), "region"),  # type: ignore[arg-type]
        (lambda: campaign.WebhookDialer(url="https://a.example", secret="hush"), "secret"),
        (lambda: campaign.OpenAiAssistant(model=""), "model"),
        (lambda: campaign.OpenAiAssistant(model="m", api_key="hush", timeout=-1), "timeout"),
        (lambda: campaign.ScriptedAssistant(answer="hush"), "assistant"),  # type: ignore[call-arg]
        (lambda: campaign.RoutedDialer({}), "routes"),
        (lambda: campaign.RoutedDialer({"a": ("call", Carrier()), "b": ("call", Carrier())}), "channels"),
        (lambda: campaign.RoutedDialer({"a": ("call", webhook(channels=["sms"]))}), "channels"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_when_it_is_made(make: Any, field: str) -> None:
    with pytest.raises(campaign.InvalidError) as failed:
        make()
    assert failed.value.context["field"] == field
    assert "hush" not in failed.value.message


def test_what_is_no_dialer_is_named_when_a_route_is_made() -> None:
    with pytest.raises(campaign.InvalidError, match="object is no Dialer"):
        campaign.RoutedDialer({"a": ("call", object())})  # type: ignore[dict-item]


def test_secrets_are_nowhere_to_be_seen() -> None:
    made: list[Any] = [
        campaign.TwilioDialer(account_sid=SID, auth_token="hush", webhook_keys={"k": "hush"}),
        campaign.ElevenLabsDialer(api_key="hush", webhook_secrets=["hush"]),
        webhook(headers={"authorization": "hush"}),
        campaign.OpenAiAssistant(model="m", api_key="hush"),
        campaign.ScriptedAssistant(otherwise="hush"),
    ]
    made.append(campaign.RoutedDialer({"a": ("call", made[0]), "b": ("sms", made[2])}))
    for one in made:
        assert not re.search("hush|cafe", f"{one!r} {one} {getattr(one, '__dict__', {})}")


@pytest.mark.parametrize(
    ("file", "struct", "here"),
    [
        ("dialer/twilio/config.rs", "TwilioConfig", campaign.TwilioSettings),
        ("dialer/elevenlabs/config.rs", "ElevenLabsConfig", campaign.ElevenLabsSettings),
        ("dialer/webhook/config.rs", "WebhookConfig", campaign.WebhookSettings),
        ("assistant/openai.rs", "OpenAiOptions", campaign.OpenAiSettings),
    ],
)
def test_every_setting_of_the_engine_is_here(file: str, struct: str, here: Any) -> None:
    body = (CORE / file).read_text().split(f"pub struct {struct} {{\n")[1].split("\n}")[0]
    assert set(re.findall(r"^    pub (\w+):", body, re.MULTILINE)) == set(here.__annotations__)


def test_every_event_of_the_engine_is_here() -> None:
    source = (CORE / "event.rs").read_text()
    body = source.split("pub enum EventKind {\n")[1].split("\n}")[0] + source.split("pub struct ContactEnded {\n")[1].split("\n}")[0]
    renamed = {"from": "from_status", "to": "to_status"}
    fields = {renamed.get(name, name) for name in re.findall(r"^ +(?:pub )?(\w+): \w", body, re.MULTILINE)}
    assert fields - set(get_type_hints(campaign.Event, vars(campaign._records))) == set()


async def test_routes_lead_to_their_dialers() -> None:
    own = Carrier()
    routed = campaign.RoutedDialer(
        {"voice": ("call", campaign.SimulatedDialer(profile="instant")), "text": ("sms", campaign.RoutedDialer({"own": ("sms", own)}))}
    )
    async with await campaign.Engine.open(dialer=routed) as engine:
        calls = await running(engine, 2)
        texts = await running(engine, 2, campaign_type="sms", sms_message_template="Hi")
        for made in (calls, texts):
            assert (await engine.wait(made.id)).completed_contacts == 2
        assert {one.data["dialer"] for one in await engine.executions(texts.id)} == {"text"}
        assert await engine.send_message({"channel": "sms", "our_number": OURS, "phone_number": ANA}, "Hello") is not None
        assert [message.message for message in own.sent] == ["Hello"]


# --- conversations -----------------------------------------------------------------------------------------------------------


def wrote(id: str, text: str, person: str = PEOPLE[0]["phone_number"]) -> dict[str, Any]:
    return {"id": id, "channel": "sms", "phone_number": person, "our_number": OURS, "text": text}


async def test_people_write_and_are_answered() -> None:
    own = Carrier()
    script = campaign.ScriptedAssistant(
        rules=[{"contains": "WHEN", "says": ["At nine. ", campaign.ToolCall("book", {"what": "a table"})]}], otherwise="Hello!"
    )
    async with await campaign.Engine.open(dialer=own, assistant=script) as engine:
        events = await engine.events().open()
        text = {"sms_message_template": "Hi {{ name }}", "caller_ids": [{"number": OURS}], "replies": {"assistant": True}}
        made = await running(engine, 2, campaign_type="sms", **text)
        await engine.wait(made.id)
        told = await engine.receive_message(**wrote("in-1", "When do you open?"))
        assert (told.author, told.keyword, told.campaign_id) == ("person", None, made.id)
        await own.said.wait()
        assert [message.message for message in own.sent] == ["At nine."]
        assert (own.sent[0].from_number, own.sent[0].to) == (OURS, PEOPLE[0]["phone_number"])
        assert own.sent[0].valid_until is not None
        assert own.sent[0].valid_until > own.sent[0].now
        assert "+1212555" not in repr(own.sent[0]).replace("…", "")
        assert "nine" not in repr(own.sent[0])

        seen: dict[str, campaign.Event] = {}
        async for event in events:
            seen[event.type] = event
            if event.type == "message_sent":
                break
        assert (seen["message_received"].message_id, seen["message_sent"].message_id) == ("in-1", "out-1")
        assert (seen["tool_used"].tool, seen["tool_used"].channel) == ("book", "sms")

        # The same message again is the same; a word that asks to be left alone is obeyed, and confirmed once.
        for _ in range(2):
            await engine.receive_message(**wrote("in-2", "STOP"))
        assert await engine.is_suppressed(PEOPLE[0]["phone_number"])
        with pytest.raises(campaign.StateError):
            await engine.send_message((await engine.conversations())[0], "Wait!")
        sent = await engine.send_message({"channel": "sms", "our_number": OURS, "phone_number": PEOPLE[1]["phone_number"]}, "Hi", key="k")
        assert (sent.author, sent.state, sent.campaign_id) == ("program", "done", made.id)
        with pytest.raises(campaign.ConflictError):
            await engine.send_message({"channel": "sms", "our_number": OURS, "phone_number": PEOPLE[1]["phone_number"]}, "Hi", key="k")

        both = await engine.conversations(channel="sms", campaign=made.id)
        assert [one.phone_number for one in both] == [person["phone_number"] for person in PEOPLE[:2]]
        assert await engine.conversations(after=both[0], limit=5) == both[1:]
        assert both[0].opted_out_at is not None
        assert both[1].opted_out_at is None
        messages = await engine.messages(both[0])
        assert [one.author for one in messages] == ["campaign", "person", "assistant", "assistant", "person", "engine"]
        assert [one.tool for one in messages if one.tool] == [{"name": "book", "arguments": {"what": "a table"}}]
        assert len(await engine.messages(both[0], limit=2)) == 2
        assert "STOP" not in repr(messages)
        assert PEOPLE[0]["phone_number"] not in repr(both)


async def test_a_dialer_without_send_cannot_answer() -> None:
    async with await campaign.Engine.open(dialer=dialer(lambda request, context: "answered")) as engine:
        with pytest.raises(campaign.StateError):
            await engine.send_message({"channel": "sms", "our_number": OURS, "phone_number": ANA}, "Hi")
        with pytest.raises(campaign.InvalidError, match="conversation"):
            await engine.send_message(7, "Hi")  # type: ignore[arg-type]


async def test_what_send_raises_says_what_became_of_the_message() -> None:
    problems: list[BaseException] = [campaign.Permanent("no such number"), RuntimeError("who knows")]

    class Failing(Carrier):
        async def send(self, message: campaign.OutboundMessage) -> str:
            raise problems.pop(0)

    where: campaign.ConversationKey = {"channel": "sms", "our_number": OURS, "phone_number": ANA}
    async with await campaign.Engine.open(dialer=Failing()) as engine:
        for state in ("failed", "in_doubt"):
            with pytest.raises(campaign.ProviderError):
                await engine.send_message(where, "Hi")
            assert (await engine.messages(where))[-1].state == state


# --- assistants of one's own -------------------------------------------------------------------------------------------------


class Streams:
    async def answer(self, dialogue: campaign.Dialogue) -> AsyncIterator[str | campaign.ToolCall]:
        for word in ("You ", "said: "):
            yield word
        yield dialogue.turns[-1]["text"]


class Returns:
    async def answer(self, dialogue: campaign.Dialogue) -> str:
        return f"You said: {dialogue.turns[-1]['text']}"


class Yields:
    """On a thread of its own."""

    def answer(self, dialogue: campaign.Dialogue) -> Iterator[str]:
        assert threading.current_thread() is not threading.main_thread()
        yield from ("You said: ", dialogue.turns[-1]["text"])


class Lists:
    def answer(self, dialogue: campaign.Dialogue) -> list[str]:
        return ["You said: ", dialogue.turns[-1]["text"]]


class Later:
    """Not marked as asynchronous, and so all the same."""

    def answer(self, dialogue: campaign.Dialogue) -> Any:
        return Streams().answer(dialogue)


@pytest.mark.parametrize("kind", [Streams, Returns, Yields, Lists, Later])
async def test_assistants_come_in_many_shapes(kind: type[Any]) -> None:
    own = Carrier()
    async with await campaign.Engine.open(dialer=own, assistant=kind()) as engine:
        made = await running(engine, **TEXTS)
        await engine.wait(made.id)
        await engine.receive_message(**wrote("in-1", "Hello"))
        await own.said.wait()
        assert [message.message for message in own.sent] == ["You said: Hello"]


def test_an_assistant_without_its_method_is_named() -> None:
    with pytest.raises(campaign.InvalidError, match="object is no Assistant: it has no method `answer`"):
        campaign.BlockingEngine.open(dialer=campaign.SimulatedDialer(), assistant=object())  # type: ignore[arg-type]


async def test_a_failing_assistant_is_told_to_watchers() -> None:
    class Failing:
        async def answer(self, dialogue: campaign.Dialogue) -> AsyncIterator[str]:
            yield "Half an ans"
            raise ValueError("my number is +12125550123")

    carrier = Carrier()
    async with await campaign.Engine.open(dialer=carrier, assistant=Failing()) as engine:
        made = await running(engine, **TEXTS)
        await engine.wait(made.id)
        events = await engine.events().open()
        await engine.receive_message(**wrote("in-1", "Hello"))
        async for event in events:
            if event.type == "error":
                assert event.code == "assistant"
                assert "2125550123" not in str(event.message)
                break
        assert carrier.sent == [], "nothing of half an answer is sent"


async def test_a_model_behind_chat_completions_answers() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        asked.append((head, json.loads(await reader.readexactly(length))))
        chunks = [json.dumps({"choices": [{"delta": {"content": word}}]}) for word in ("At ", "nine.")]
        body = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"])
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    own = Carrier()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        model = campaign.OpenAiAssistant(model="small", api_key="the-key", base_url=base, extra={"temperature": 0.2}, timeout=10)
        async with await campaign.Engine.open(dialer=own, assistant=model) as engine:
            await engine.wait((await running(engine, **TEXTS)).id)
            await engine.receive_message(**wrote("in-1", "When do you open?"))
            await own.said.wait()
    assert [message.message for message in own.sent] == ["At nine."]
    ((head, request),) = asked
    assert "authorization: bearer the-key" in head
    assert (request["model"], request["temperature"], request["stream"]) == ("small", 0.2, True)
    assert request["messages"][-1] == {"role": "user", "content": "When do you open?"}


# --- the telephone -----------------------------------------------------------------------------------------------------------


class Socket:
    """A WebSocket as a web framework gives it, with somebody at the other end."""

    def __init__(self) -> None:
        self._incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def tell(self, **frame: Any) -> None:
        self._incoming.put_nowait(json.dumps(frame))

    def prompt(self, text: str) -> None:
        self.tell(type="prompt", voicePrompt=text, lang="en-US", last=True)

    def hang_up(self) -> None:
        self._incoming.put_nowait(None)

    async def frames(self) -> AsyncIterator[str]:
        while (frame := await self._incoming.get()) is not None:
            yield frame

    async def send(self, frame: str) -> None:
        self.sent.append(json.loads(frame))
        self._news.set()

    async def hears(self, text: str) -> None:
        """Waits until this was said."""
        while text not in "".join(one.get("token", "") for one in self.sent):
            self._news.clear()
            await self._news.wait()


class Call:
    """A call that goes on until its test has ended."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.begun = asyncio.Event()

    async def dial(self, request: campaign.DialRequest, context: campaign.DialContext) -> campaign.Outcome:
        await context.placed("CA1")
        self.begun.set()
        await self.over.wait()
        return campaign.Outcome.answered(7)


async def calling(engine: campaign.Engine, call: Call) -> tuple[campaign.CampaignRecord, dict[str, Any]]:
    made = await running(engine, welcome_message_template="Hi {{ name }}", replies={"assistant": True})
    await call.begun.wait()
    setup = {"type": "setup", "sessionId": "VX1", "callSid": "CA1", "from": OURS, "to": PEOPLE[0]["phone_number"]}
    return made, {**setup, "direction": "outbound-api"}


async def test_a_call_is_a_conversation_and_who_interrupts_is_listened_to(steps: Steps) -> None:
    class Talks:
        async def answer(self, dialogue: campaign.Dialogue) -> AsyncIterator[str | campaign.ToolCall]:
            said = dialogue.turns[-1]["text"]
            if said == "Tell me everything":
                try:
                    yield "Well, "
                    await asyncio.Event().wait()
                finally:
                    steps.given_up.set()
            elif said == "Bye":
                yield "Goodbye!"
                yield campaign.ToolCall("end_call", {"reason": "goodbye"})
            else:
                yield f"You said {said}."

    call, socket = Call(), Socket()
    async with await campaign.Engine.open(dialer=call, assistant=Talks()) as engine:
        made, setup = await calling(engine, call)
        sessions: list[campaign.RelaySession] = []
        socket.tell(**setup)
        carried = asyncio.create_task(engine.relay(socket.frames(), socket.send, begun=sessions.append))
        socket.prompt("Tell me everything")
        await socket.hears("Well, ")
        socket.tell(type="interrupt", utteranceUntilInterrupt="Well,", durationUntilInterruptMs="460")
        socket.prompt("Stop it")
        await socket.hears("You said Stop it.")
        await steps.given_up.wait()
        sessions[0].say("By the way, ")
        sessions[0].play("https://a.example/x.mp3")
        sessions[0].send_digits("1w2")
        sessions[0].language(spoken="es-ES")
        await socket.hears("By the way, ")
        socket.prompt("Bye")
        spoken = await carried
        kinds = [one["type"] for one in socket.sent]
        assert {"text", "play", "sendDigits", "language"} < set(kinds)
        assert kinds[-1] == "end"
        assert json.loads(socket.sent[-1]["handoffData"])["reason"] == "end_call"
        texts = [(one.author, one.text) for one in spoken if one.text]
        assert texts[0] == ("assistant", "Hi Person 100")
        assert texts[1:4] == [("person", "Tell me everything"), ("assistant", "Well,"), ("person", "Stop it")]
        assert spoken[-1].tool == {"name": "end_call", "arguments": {"reason": "goodbye"}}
        assert "Goodbye" not in repr(spoken)
        sessions[0].say("Nobody hears this")
        call.over.set()
        await engine.wait(made.id)
        kept = await engine.messages({"channel": "call", "our_number": OURS, "phone_number": PEOPLE[0]["phone_number"]})
        assert len(kept) == len(spoken)


async def test_a_socket_that_closes_loses_nothing() -> None:
    call, socket = Call(), Socket()
    async with await campaign.Engine.open(dialer=call, assistant=campaign.ScriptedAssistant(otherwise="Yes.")) as engine:
        _, setup = await calling(engine, call)
        socket.tell(**setup)
        carried = asyncio.create_task(engine.relay(socket.frames(), socket.send))
        socket.prompt("Hello?")
        await socket.hears("Yes.")
        socket.hang_up()
        assert [one.author for one in await carried] == ["assistant", "person", "assistant"]
        # Plain iterators and functions, as frameworks without an event loop have them.
        sent: list[str] = []
        plain = await engine.relay([json.dumps({**setup, "sessionId": "VX2"})], sent.append)
        assert [one.author for one in plain] == ["assistant"]
        assert await engine.relay([], sent.append) == []
        call.over.set()


async def test_what_is_wrong_with_a_relay_is_said() -> None:
    call = Call()
    async with await campaign.Engine.open(dialer=call, assistant=campaign.ScriptedAssistant()) as engine:
        _, setup = await calling(engine, call)
        with pytest.raises(campaign.InvalidError, match="setup"):
            await engine.relay(['{"type": "prompt"}'], lambda frame: None)
        with pytest.raises(campaign.NotFoundError):
            await engine.relay([json.dumps({**setup, "callSid": "CA9"})], lambda frame: None)
        with pytest.raises(campaign.InvalidError, match="frame"):
            await engine.relay([7], lambda frame: None)  # type: ignore[list-item]

        def broken(frame: str) -> None:
            raise OSError("the line is dead")

        socket = Socket()
        socket.tell(**setup)
        socket.prompt("Hello?")
        with pytest.raises(OSError, match="dead"):
            await engine.relay(socket.frames(), broken, begun=lambda session: session.say("Hi"))
        call.over.set()


# --- callbacks, and everything together --------------------------------------------------------------------------------------


async def test_requests_are_taken_as_frameworks_have_them() -> None:
    async with await campaign.Engine.open(
        dialer=campaign.TwilioDialer(account_sid=SID, auth_token="t", public_base_url="https://a.example")
    ) as engine:
        for headers in ({"Host": "a"}, [("Host", "a")], [(b"host", b"a")]):
            answer = await engine.callback("POST", "https://a.example/twilio/sms", headers, b"Body=x")  # type: ignore[arg-type]
            assert answer.status == 403
            assert not await engine.is_signed("GET", "/twilio/relay", headers)  # type: ignore[arg-type]
        assert (await engine.callback("POST", "/elsewhere", {}, b"")).status == 404
        with pytest.raises(campaign.InvalidError, match="bytes"):
            await engine.callback("POST", "/twilio/sms", {}, "Body=x")  # type: ignore[arg-type]


async def test_a_mixed_campaign_whose_people_answer(vendors: Vendors) -> None:
    asked: list[campaign.Dialogue] = []

    class Receptionist:
        async def answer(self, dialogue: campaign.Dialogue) -> AsyncIterator[str]:
            asked.append(dialogue)
            for word in ("On Monday ", "at nine."):
                yield word

    porch = Porch()
    routed = campaign.RoutedDialer({"voice": ("call", vendors.elevenlabs()), "text": ("sms", vendors.twilio(porch.url))})
    async with await campaign.Engine.open(dialer=routed, assistant=Receptionist()) as engine, serving(porch, engine):
        await vendors.do("tell", url=f"{porch.url}/elevenlabs")
        for missed in (ANA, BEN):
            await vendors.do("misses", to=missed)
        made = await engine.create_campaign(
            name="Reminders",
            campaign_type="mixed",
            steps=[{"channel": "call"}, {"channel": "sms", "when": {"previous": ["no_answer"]}}],
            welcome_message_template="Hi {{ name }}",
            sms_message_template="Hi {{ name }}, see you on Monday.",
            agenda_template="The appointment is on Monday at nine.",
            caller_ids=[{"number": OURS}],
            replies={"assistant": True},
            ring_timeout_seconds=5,
            **FAST,
        )
        people = [{"phone": phone, "name": name} for phone, name in ((ANA, "Ana"), (BEN, "Ben"), (EVE, "Eve"))]
        assert (await engine.add_contacts(made.id, people)).imported == 3
        later = await engine.create_campaign(name="Later", campaign_type="call", **FAST)
        await engine.add_contacts(later.id, people[:2])
        await engine.start(made.id)
        assert (await engine.wait(made.id)).completed_contacts == 3
        ended = {(one.channel, one.disposition) for one in await engine.executions(made.id)}
        assert ended == {("call", "no_answer"), ("call", "answered"), ("sms", "delivered")}
        texts = [one["fields"] for one in await vendors.do("messages")]
        assert sorted(one["Body"] for one in texts) == [f"Hi {name}, see you on Monday." for name in ("Ana", "Ben")]

        events = await engine.events().open()
        inbound = f"{porch.url}/twilio/sms"
        stop = {"MessageSid": "SM1", "From": ANA, "To": OURS, "Body": "STOP"}
        assert (await vendors.do("webhook", url=inbound, fields=stop, forged=True))["status"] == 403
        assert not await engine.is_suppressed(ANA)
        for _ in range(2):
            answer = await vendors.do("webhook", url=inbound, fields=stop)
            assert (answer["status"], "<Response" in answer["body"]) == (200, True)
        question = {"MessageSid": "SM2", "From": BEN, "To": OURS, "Body": "When is it?"}
        assert (await vendors.do("webhook", url=inbound, fields=question))["status"] == 200
        sent = 0
        async for event in events:
            sent += event.type == "message_sent"
            if sent == 2:
                break
        assert await engine.is_suppressed(ANA)
        assert not await engine.is_suppressed(BEN)
        waiting = await engine.list_contacts(later.id)
        assert [(one.status, one.reason) for one in waiting] == [("skipped", "opted_out"), ("pending", None)]
        texts = [one["fields"] for one in await vendors.do("messages")][2:]
        assert sorted((one["To"], one["From"]) for one in texts) == [(ANA, OURS), (BEN, OURS)]
        confirmation, answer = (next(one for one in texts if one["To"] == person) for person in (ANA, BEN))
        assert "START" in confirmation["Body"]
        assert answer["Body"] == "On Monday at nine."
        assert 0 < int(answer["ValidityPeriod"]) <= 600
        assert [dialogue.contact_name for dialogue in asked] == ["Ben"]
        assert asked[0].agenda == "The appointment is on Monday at nine."
        assert "Monday" in asked[0].instructions
        talked = await engine.messages({"channel": "sms", "our_number": OURS, "phone_number": BEN})
        assert [one.author for one in talked] == ["campaign", "person", "assistant"]
        assert await vendors.do("complaints") == []


async def test_a_call_through_twilio_and_the_handshake_of_its_assistant(vendors: Vendors) -> None:
    porch = Porch()
    async with await campaign.Engine.open(dialer=vendors.twilio(porch.url)) as engine, serving(porch, engine):
        made = await running(engine, 2, welcome_message_template="Hi {{ name }}")
        assert (await engine.wait(made.id)).completed_contacts == 2
        assert {one.cost for one in await engine.executions(made.id)} == {0.013}
        url = f"ws{porch.url[4:]}/twilio/relay"
        headers = await vendors.do("handshake", url=url)
        assert await engine.is_signed("GET", url, {**headers, "upgrade": "websocket"})
        assert not await engine.is_signed("GET", f"{url}?more", {**headers, "upgrade": "websocket"})
        assert await vendors.do("complaints") == []
