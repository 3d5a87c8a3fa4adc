"""Twilio's official client for Python as a judge. Nothing of it is in the product.

client URL SID TOKEN    drives the client against a simulator at URL, and fails when something is not as with Twilio
signatures FILE         prints, as JSON, what the official validator says about each case of FILE
sign FILE               prints, as JSON, the official signature of each case of FILE
"""

import json
import sys
import time

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator, get_signature_algorithm
from twilio.rest import Client


class Form(dict):
    """Fields that may come more than once, as web frameworks have them."""

    def getlist(self, name):
        return self[name]


def content(case):
    """What was posted, as the validator takes it."""
    if case["fields"] is None:
        return case["body"]
    form = Form()
    for name, value in case["fields"]:
        form.setdefault(name, []).append(value)
    return form


def verdict(case):
    algorithm = get_signature_algorithm(case["settings"])
    return RequestValidator(case["secret"]).validate(case["url"], content(case), case["signature"], algorithm)


def signature(case):
    fields = content(case) if case["fields"] is not None else {}
    return RequestValidator(case["secret"]).compute_signature(case["url"], fields, get_signature_algorithm(case["settings"]))


def refused(call):
    try:
        call()
    except TwilioRestException as error:
        return error.status, error.code
    raise AssertionError("it should have been refused")


def until(look, wanted):
    for _ in range(200):
        found = look()
        if found.status == wanted:
            return found
        time.sleep(0.05)
    raise AssertionError(f"it never became {wanted}, last {found.status}")


def client(url, sid, token):
    api = Client(sid, token)
    api.api.base_url = url
    ours, theirs = "+12025550100", "+12025550111"
    call = api.calls.create(
        to=theirs,
        from_=ours,
        twiml="<Response><Say>Hello</Say></Response>",
        status_callback="https://calls.example.org/twilio/status?attempt=1",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
        timeout=20,
    )
    assert call.sid.startswith("CA") and call.status == "queued" and call.direction == "outbound-api", vars(call)
    assert call.to == theirs and call._from == ours and call.date_created is not None
    ended = until(lambda: api.calls(call.sid).fetch(), "completed")
    assert int(ended.duration) > 0 and ended.price == "-0.01300" and ended.price_unit == "USD"
    assert ended.date_created.tzinfo is not None and ended.end_time >= ended.start_time

    long = api.calls.create(to="+12025550112", from_=ours, url="https://calls.example.org/twiml")
    assert api.calls(long.sid).update(status="canceled").sid == long.sid
    until(lambda: api.calls(long.sid).fetch(), "canceled")

    for _ in range(7):
        api.calls.create(to="+12025550113", from_=ours, url="https://calls.example.org/twiml")
    listed = api.calls.list(to="+12025550113", from_=ours, page_size=3)
    assert len(listed) == 7 and len({entry.sid for entry in listed}) == 7, len(listed)
    assert listed[0].date_created >= listed[-1].date_created
    assert api.calls.list(to="+12025550114") == []

    message = api.messages.create(to=theirs, from_=ours, body="Hello", validity_period=600, media_url=["https://m.example.org/1.png"])
    assert message.sid.startswith("SM") and message.status == "queued" and message.num_segments == "1" and message.price is None
    delivered = until(lambda: api.messages(message.sid).fetch(), "delivered")
    assert delivered.price == "-0.01300" and delivered.error_code is None
    service = api.messages.create(to=theirs, messaging_service_sid="MG" + "0" * 32, body="Hello")
    assert service.status == "accepted" and service.from_ is None
    whatsapp = api.messages.create(to=f"whatsapp:{theirs}", from_=f"whatsapp:{ours}", content_sid="HX" + "0" * 32, content_variables='{"1": "Ada"}')
    until(lambda: api.messages(whatsapp.sid).fetch(), "delivered")
    assert len(api.messages.list(to=theirs)) == 2

    assert refused(lambda: api.calls.create(to="12", from_=ours, url="https://a.example.org")) == (400, 21211)
    assert refused(lambda: api.messages.create(to=theirs, from_=ours)) == (400, 21619)
    assert refused(lambda: api.messages.create(to=theirs, from_=ours, body="x" * 1601)) == (400, 21617)
    assert refused(lambda: api.calls("CA" + "f" * 32).fetch()) == (404, 20404)
    assert refused(lambda: api.calls(call.sid).update(twiml="<Response/>")) == (400, 21220)
    stranger = Client(sid, "another token")
    stranger.api.base_url = url
    assert refused(lambda: stranger.calls(call.sid).fetch()) == (401, 20003)
    print(json.dumps({"client": "ok"}))


def main():
    verb, *arguments = sys.argv[1:]
    if verb == "client":
        client(*arguments)
        return
    with open(arguments[0], encoding="utf-8") as file:
        cases = json.load(file)
    judge = {"signatures": verdict, "sign": signature}[verb]
    print(json.dumps([judge(case) for case in cases]))


main()
