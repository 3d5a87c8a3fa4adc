"""A web application whose campaigns people answer: Twilio's callbacks, an assistant, and the assistant on the telephone.

Set ``TWILIO_ACCOUNT_SID``, ``TWILIO_AUTH_TOKEN``, ``TWILIO_NUMBER`` and ``PUBLIC_BASE_URL``, and ``OPENAI_API_KEY`` for a model that
answers; run it with ``uvicorn answers_app:app``, and let the number's messages come in at ``/twilio/sms`` and its calls at
``/twilio/incoming``.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import campaign
from fastapi import FastAPI, Request, Response, WebSocket


class Receptionist:
    """Answers where there is no model."""

    async def answer(self, dialogue: campaign.Dialogue) -> AsyncIterator[str]:
        yield "Thank you. "
        yield dialogue.agenda or "A colleague will get back to you."


def twilio() -> campaign.TwilioDialer:
    return campaign.TwilioDialer(
        account_sid=os.environ["TWILIO_ACCOUNT_SID"],
        auth_token=os.environ["TWILIO_AUTH_TOKEN"],
        from_number=os.environ["TWILIO_NUMBER"],
        public_base_url=os.environ["PUBLIC_BASE_URL"],
        api_base=os.environ.get("TWILIO_API_BASE"),
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    key = os.environ.get("OPENAI_API_KEY")
    assistant = campaign.OpenAiAssistant(model="gpt-4o-mini", api_key=key) if key else Receptionist()
    store = os.environ.get("CAMPAIGN_STORE", "memory://")
    app.state.engine = engine = await campaign.Engine.open(store, dialer=twilio(), assistant=assistant)
    yield
    await engine.stop(patience=10)


app = FastAPI(lifespan=lifespan)


@app.post("/campaigns")
async def start(people: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """Calls everybody, and writes to those who do not pick up."""
    engine: campaign.Engine = request.app.state.engine
    made = await engine.create_campaign(
        name="Reminders",
        campaign_type="mixed",
        steps=[{"channel": "call"}, {"channel": "sms", "when": {"previous": ["no_answer", "busy", "voicemail"]}}],
        welcome_message_template="Hi {{ name }}, we see you on Monday at nine.",
        sms_message_template="Hi {{ name }}, see you on Monday at nine. Reply STOP to opt out.",
        agenda_template="The appointment is on Monday at nine.",
        caller_ids=[{"number": os.environ["TWILIO_NUMBER"]}],
        replies={"assistant": True},
        max_attempts=1,
        ring_timeout_seconds=20,
    )
    await engine.add_contacts(made.id, people)
    return (await engine.start(made.id)).to_dict()


@app.get("/campaigns/{campaign_id}/result")
async def result(campaign_id: int, request: Request) -> dict[str, Any]:
    engine: campaign.Engine = request.app.state.engine
    return (await engine.wait(campaign_id)).to_dict()


@app.get("/conversations/{phone_number}")
async def conversations(phone_number: str, request: Request) -> list[dict[str, Any]]:
    engine: campaign.Engine = request.app.state.engine
    found = await engine.conversations(phone_number)
    return [{**one.to_dict(), "messages": (await engine.messages(one)).to_dicts()} for one in found]


@app.websocket("/twilio/relay")
async def relay(socket: WebSocket) -> None:
    engine: campaign.Engine = socket.app.state.engine
    if not await engine.is_signed("GET", socket.url, socket.headers):
        await socket.close()
        return
    await socket.accept()
    await engine.relay(socket.iter_text(), socket.send_text)


@app.api_route("/twilio/{path:path}", methods=["GET", "POST"])
async def callbacks(request: Request) -> Response:
    engine: campaign.Engine = request.app.state.engine
    answer = await engine.callback(request.method, request.url, request.headers, await request.body())
    return Response(answer.body, answer.status, answer.headers)
