"""The stand-ins for Twilio and ElevenLabs, which are programs of the workspace, and a web server that hands callbacks on."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import campaign
import uvicorn
from fastapi import FastAPI, Request, Response

OURS = "+12025550100"


class Vendors:
    """Both of them, on a clock ten times as fast as the wall's; `tests/src/bin/vendors.rs` lists what they can be told."""

    def __init__(self) -> None:
        program = os.environ.get("CAMPAIGN_VENDORS")
        assert program, "CAMPAIGN_VENDORS must name the program `vendors` of the workspace; scripts/python.sh builds it"
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        assert self._process.stdout is not None
        self.urls: dict[str, dict[str, str]] = json.loads(self._process.stdout.readline())

    def obey(self, what: str, arguments: dict[str, Any]) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    async def do(self, what: str, **arguments: Any) -> Any:
        # On a thread: the vendor may call us before it answers.
        return await asyncio.to_thread(self.obey, what, arguments)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=10) == 0
        self._process.stdout.close()

    def twilio(self, base: str | None = None, **more: Any) -> campaign.TwilioDialer:
        return campaign.TwilioDialer(**self.urls["twilio"], from_number=OURS, public_base_url=base, calls_per_second=50, **more)

    def elevenlabs(self, **more: Any) -> campaign.ElevenLabsDialer:
        urls = dict(self.urls["elevenlabs"])
        secret = urls.pop("webhook_secret")
        return campaign.ElevenLabsDialer(**urls, webhook_secrets=[secret], agent_id="agent_1", phone_numbers={OURS: "phnum_1"}, **more)


class Porch:
    """The address of a web server; first there is the address, then the engine that answers."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        # Who connects before it is served waits.
        self.socket.listen()
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"


@asynccontextmanager
async def serving(porch: Porch, engine: campaign.Engine) -> AsyncIterator[None]:
    """Serves the callbacks of an engine."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def callbacks(request: Request) -> Response:
        answer = await engine.callback(request.method, request.url, request.headers, await request.body())
        return Response(answer.body, answer.status, answer.headers)

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", lifespan="off"))
    served = asyncio.create_task(server.serve(sockets=[porch.socket]))
    try:
        yield
    finally:
        server.should_exit = True
        await served
