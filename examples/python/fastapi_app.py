"""A web application with the engine inside: it starts a campaign and streams its events to a page.

Run it with `uvicorn fastapi_app:app`, and open http://127.0.0.1:8000.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import campaign
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

PAGE = """<!doctype html><meta charset="utf-8"><title>Campaign</title>
<h1>Campaign</h1><button>Start</button> <progress max="100" value="0"></progress> <span></span><ul></ul>
<script>
document.querySelector("button").onclick = async () => {
  const made = await (await fetch("/campaigns", {method: "POST"})).json();
  const events = new EventSource(`/campaigns/${made.id}/events`);
  events.onmessage = ({data}) => {
    const event = JSON.parse(data);
    if (event.type === "progress") {
      document.querySelector("progress").value = event.progress.completion_percentage;
      document.querySelector("span").textContent = event.status;
    } else if (event.disposition) {
      const line = document.createElement("li");
      line.textContent = `contact ${event.contact_id}: ${event.disposition}`;
      document.querySelector("ul").prepend(line);
    }
  };
  events.addEventListener("end", () => events.close());
};
</script>"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    store = os.environ.get("CAMPAIGN_STORE", "memory://")
    engine = await campaign.Engine.open(store, dialer=campaign.SimulatedDialer(seed=7, speed=600))
    app.state.engine = engine
    yield
    # Calls that go on are hung up after ten seconds, and asked for at the next start.
    await engine.stop(patience=10)


app = FastAPI(lifespan=lifespan)


@app.exception_handler(campaign.CampaignError)
async def failed(request: Request, error: campaign.CampaignError) -> JSONResponse:
    status = {"not_found": 404, "invalid": 422, "template": 422, "state": 400, "conflict": 409}.get(error.kind, 500)
    return JSONResponse({"detail": str(error)}, status_code=status)


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


@app.post("/campaigns")
async def start(request: Request) -> dict[str, Any]:
    engine: campaign.Engine = request.app.state.engine
    made = await engine.create_campaign(name="Web", campaign_type="call", max_attempts=1, rate_limit_per_minute="unlimited")
    await engine.add_contacts(made.id, [{"phone": f"+1212555{number:04}"} for number in range(100, 110)])
    return (await engine.start(made.id)).to_dict()


@app.get("/campaigns/{campaign_id}/progress")
async def progress(campaign_id: int, request: Request) -> dict[str, Any]:
    engine: campaign.Engine = request.app.state.engine
    return (await engine.progress(campaign_id)).to_dict()


@app.get("/campaigns/{campaign_id}/events")
async def events(campaign_id: int, request: Request) -> StreamingResponse:
    engine: campaign.Engine = request.app.state.engine
    try:
        stream = await engine.events(campaign_id).open()
    except campaign.NotFoundError as error:
        raise HTTPException(404, str(error)) from error

    async def lines() -> AsyncIterator[str]:
        try:
            async for event in stream:
                yield f"data: {json.dumps(event.to_dict())}\n\n"
            yield "event: end\ndata: {}\n\n"
        except asyncio.CancelledError:
            # The page was closed.
            await stream.aclose()
            raise

    return StreamingResponse(lines(), media_type="text/event-stream")
