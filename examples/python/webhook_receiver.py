"""A service that carries out attempts for the engine's webhook dialer, with nothing but the standard library.

It takes signed requests, pretends to call, and reports the end by a signed callback. `docs/webhook-dialer.md` describes the protocol.

    python webhook_receiver.py whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw 8080

serves until its input ends; without arguments it hands one attempt to itself and shows what is said.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE = 300


class Signer:
    """Standard Webhooks: base64 of HMAC-SHA256 over id, seconds and body, joined by dots."""

    def __init__(self, secret: str) -> None:
        self.key = base64.b64decode(secret.removeprefix("whsec_"))

    def sign(self, message_id: str, seconds: str, body: bytes) -> str:
        text = f"{message_id}.{seconds}.".encode() + body
        return "v1," + base64.b64encode(hmac.new(self.key, text, hashlib.sha256).digest()).decode()

    def is_signed(self, message_id: str, seconds: str, signatures: str, body: bytes) -> bool:
        if not seconds.isdigit() or abs(time.time() - int(seconds)) > TOLERANCE:
            return False
        expected = self.sign(message_id, seconds, body)
        return any(hmac.compare_digest(expected, given) for given in signatures.split(" "))


class Service:
    """What became of each attempt, by its key. A real service keeps this in a database."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.lock = threading.Lock()
        self.attempts: dict[str, dict[str, Any]] = {}

    def dial(self, data: dict[str, Any]) -> dict[str, Any]:
        key = data["key"]
        with self.lock:
            # The same key again is the same attempt: nothing is carried out twice.
            known = self.attempts.get(key)
            if known is None:
                known = {"provider_ref": f"py-{len(self.attempts) + 1}", "outcome": None}
                self.attempts[key] = known
                threading.Thread(target=self.carry_out, args=(data, known), daemon=True).start()
        return {"state": "accepted", "provider_ref": known["provider_ref"]}

    def carry_out(self, data: dict[str, Any], attempt: dict[str, Any]) -> None:
        """Here you would call. This one pretends: numbers that end with 9 are busy."""
        if data["to"].endswith("9"):
            outcome: dict[str, Any] = {"disposition": "busy"}
        else:
            outcome = {"disposition": "answered", "duration_seconds": 12, "data": {"answers": {"satisfied": True}}}
        with self.lock:
            attempt["outcome"] = {**outcome, "provider_ref": attempt["provider_ref"]}
        self.report(data, attempt)

    def report(self, data: dict[str, Any], attempt: dict[str, Any]) -> None:
        """Reports the end. When nobody takes it after a few tries, the engine asks by itself."""
        if not data["callback_url"]:
            return
        event = {
            "type": "attempt.ended",
            "data": {"key": data["key"], "provider_ref": attempt["provider_ref"], "outcome": attempt["outcome"]},
        }
        body = json.dumps(event).encode()
        message_id = f"msg_{uuid.uuid4().hex}"
        for pause in (0, 1, 5):
            time.sleep(pause)
            seconds = str(int(time.time()))
            headers = {
                "content-type": "application/json",
                "webhook-id": message_id,
                "webhook-timestamp": seconds,
                "webhook-signature": self.signer.sign(message_id, seconds, body),
            }
            try:
                with urllib.request.urlopen(urllib.request.Request(data["callback_url"], body, headers), timeout=15):
                    return
            except OSError:
                continue

    def find(self, data: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            attempt = self.attempts.get(data["key"])
            if attempt is None:
                return {"state": "never_happened"}
            if attempt["outcome"] is None:
                return {"state": "running", "provider_ref": attempt["provider_ref"]}
            return {"state": "ended", "outcome": attempt["outcome"]}


class Handler(BaseHTTPRequestHandler):
    service: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        message_id, seconds, signatures = (self.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not self.service.signer.is_signed(message_id, seconds, signatures, body):
            return self.answer(401, {})
        message = json.loads(body)
        match message["type"]:
            case "attempt.dial":
                self.answer(200, self.service.dial(message["data"]))
            case "attempt.find":
                self.answer(200, self.service.find(message["data"]))
            case _:
                self.answer(200, {"state": "refused", "kind": "permanent", "message": "this service only carries out attempts"})

    def answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: a request line may hold what does not belong into a log."""


def serve(secret: str, port: int) -> ThreadingHTTPServer:
    handler = type("Handler", (Handler,), {"service": Service(Signer(secret))})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def demonstrate() -> None:
    """Plays the engine: hands over an attempt, and waits for the callback."""
    secret = "whsec_" + base64.b64encode(uuid.uuid4().bytes + uuid.uuid4().bytes).decode()
    signer = Signer(secret)
    reported = threading.Event()
    events: list[dict[str, Any]] = []

    class Engine(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            signed = signer.is_signed(
                self.headers["webhook-id"], self.headers["webhook-timestamp"], self.headers["webhook-signature"], body
            )
            self.send_response(200 if signed else 403)
            self.send_header("content-length", "0")
            self.end_headers()
            events.append(json.loads(body))
            reported.set()

        def log_message(self, format: str, *args: Any) -> None:
            """As above."""

    service, engine = serve(secret, 0), ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    for server in (service, engine):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    attempt = {
        "key": "demo-1",
        "channel": "call",
        "to": "+12025550142",
        "callback_url": f"http://127.0.0.1:{engine.server_port}/webhook-dialer",
    }
    body = json.dumps({"type": "attempt.dial", "data": attempt}).encode()
    seconds = str(int(time.time()))
    headers = {"webhook-id": "demo-1", "webhook-timestamp": seconds, "webhook-signature": signer.sign("demo-1", seconds, body)}
    request = urllib.request.Request(f"http://127.0.0.1:{service.server_port}/attempts", body, headers)
    with urllib.request.urlopen(request, timeout=15) as answer:
        print("answered:", answer.read().decode())
    if not reported.wait(15):
        sys.exit("no callback came")
    print("reported:", json.dumps(events[0]["data"]["outcome"]))
    for server in (service, engine):
        server.shutdown()


def main() -> None:
    if len(sys.argv) < 2:
        return demonstrate()
    server = serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    # Ends with the program that started it.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
