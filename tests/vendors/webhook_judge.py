"""The reference implementation of Standard Webhooks, and ElevenLabs' own verifier, over cases from a file.

python webhook_judge.py standard <cases.json>: [{secret, id, seconds, body, signature}] -> [{verified, signature}]
python webhook_judge.py elevenlabs <cases.json>: [{secret, body, signature}] -> [{verified}]
"""

import json
import sys
from datetime import datetime, timezone

from elevenlabs.client import ElevenLabs
from standardwebhooks.webhooks import Webhook


def standard(case: dict) -> dict:
    webhook = Webhook(case["secret"])
    headers = {"webhook-id": case["id"], "webhook-timestamp": str(case["seconds"]), "webhook-signature": case["signature"]}
    try:
        webhook.verify(case["body"], headers)
        verified = True
    except Exception:
        verified = False
    at = datetime.fromtimestamp(case["seconds"], tz=timezone.utc)
    return {"verified": verified, "signature": webhook.sign(case["id"], at, case["body"])}


def elevenlabs(case: dict) -> dict:
    client = ElevenLabs(api_key="none")
    try:
        client.webhooks.construct_event(case["body"], case["signature"], case["secret"])
        return {"verified": True}
    except Exception:
        return {"verified": False}


judge = {"standard": standard, "elevenlabs": elevenlabs}[sys.argv[1]]
with open(sys.argv[2], encoding="utf-8") as file:
    print(json.dumps([judge(case) for case in json.load(file)]))
