"""Every example runs, and the web application streams events to a client over loopback."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from vendors import OURS, Vendors
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

EXAMPLES = Path(__file__).parents[2] / "examples" / "python"
ROOT = EXAMPLES.parents[1]
DOCUMENTS = [
    ROOT / "campaign-py" / "README.md",
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("python", "providers", "assistant")),
]


@pytest.mark.parametrize("example", sorted(path.stem for path in EXAMPLES.glob("*.py") if not path.stem.endswith("_app")))
def test_an_example_runs(example: str, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, str(EXAMPLES / f"{example}.py")], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()


def test_the_web_application_streams_events() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "info"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=EXAMPLES, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            assert any("Uvicorn running" in line for line in server.stderr)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                assert "EventSource" in client.get("/").text
                made = client.post("/campaigns").json()
                with client.stream("GET", f"/campaigns/{made['id']}/events") as stream:
                    seen = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
                assert seen[0]["type"] == "progress"
                assert seen[-1] == {}
                assert len([one for one in seen if one.get("disposition")]) == 10
                assert client.get(f"/campaigns/{made['id']}/progress").json()["completion_percentage"] == 100
                assert client.get("/campaigns/999/progress").status_code == 404
            server.terminate()
            # uvicorn raises the signal anew when it has ended in order.
            assert server.wait(timeout=30) in (0, -15)
        finally:
            server.kill()


async def test_the_application_that_people_answer() -> None:
    vendors = Vendors()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base, ana = f"http://127.0.0.1:{port}", "+12025550140"
    twilio = vendors.urls["twilio"]
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PUBLIC_BASE_URL": base,
        "TWILIO_NUMBER": OURS,
        "TWILIO_API_BASE": twilio["api_base"],
        "TWILIO_ACCOUNT_SID": twilio["account_sid"],
        "TWILIO_AUTH_TOKEN": twilio["auth_token"],
    }
    command = [sys.executable, "-m", "uvicorn", "answers_app:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "info"]
    with subprocess.Popen(command, cwd=EXAMPLES, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment) as server:
        try:
            assert server.stderr is not None
            assert any("Uvicorn running" in line for line in server.stderr)
            async with httpx.AsyncClient(base_url=base, timeout=30) as client:
                await vendors.do("misses", to=ana)
                made = (await client.post("/campaigns", json=[{"phone": ana, "name": "Ana"}])).json()
                assert (await client.get(f"/campaigns/{made['id']}/result")).json()["completed_contacts"] == 1
                (call,) = await vendors.do("calls")
                assert call["fields"]["To"] == ana

                # Twilio opens the assistant's socket; nobody else may.
                address = f"ws{base[4:]}/twilio/relay"
                with pytest.raises(InvalidStatus):
                    await connect(address)
                async with connect(address, additional_headers=await vendors.do("handshake", url=address)) as relay:
                    setup = {
                        "type": "setup",
                        "sessionId": "VX1",
                        "callSid": call["sid"],
                        "from": OURS,
                        "to": ana,
                        "direction": "outbound-api",
                    }
                    await relay.send(json.dumps(setup))
                    await relay.send(json.dumps({"type": "prompt", "voicePrompt": "When is it?", "last": True}))
                    said = ""
                    while not said.endswith("at nine."):
                        said += json.loads(await relay.recv()).get("token", "")
                assert said == "Thank you. The appointment is on Monday at nine."

                stop = {"MessageSid": "SM1", "From": ana, "To": OURS, "Body": "STOP"}
                assert (await vendors.do("webhook", url=f"{base}/twilio/sms", fields=stop))["status"] == 200
                kept = {one["channel"]: one for one in (await client.get(f"/conversations/{ana}")).json()}
                assert [one["author"] for one in kept["sms"]["messages"]] == ["campaign", "person", "engine"]
                assert kept["sms"]["opted_out_at"]
            assert await vendors.do("complaints") == []
            server.terminate()
            assert server.wait(timeout=30) in (0, -15)
        finally:
            server.kill()
            vendors.close()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: "/".join(path.parts[-2:]))
def test_python_blocks_in_documents_run(document: Path, tmp_path: Path) -> None:
    (tmp_path / "contacts.csv").write_text("Phone Number,Name\n(212) 555-0123,ada\n")
    blocks = re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
    assert blocks, f"{document} has no Python block"
    for block in blocks:
        ended = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=50)
        assert ended.returncode == 0, f"{block}\n{ended.stderr}"
