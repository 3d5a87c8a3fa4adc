"""ElevenLabs' own client against the simulator: every request that our dialer makes, made by theirs, and every answer read by theirs.

python elevenlabs_judge.py <base url> <key>
"""

import json
import sys

from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.errors import UnprocessableEntityError
from elevenlabs.types import ConversationInitiationClientDataRequestInput, OutboundCallRecipient

base_url, key = sys.argv[1:3]
client = ElevenLabs(base_url=base_url, api_key=key)
agents = client.conversational_ai
data = ConversationInitiationClientDataRequestInput(user_id="judge-1", dynamic_variables={"plan": "gold"})

call = agents.twilio.outbound_call(
    agent_id="agent_1", agent_phone_number_id="phnum_1", to_number="+12025550142", conversation_initiation_client_data=data
)
assert call.success is True and call.conversation_id and call.call_sid, call
trunk = agents.sip_trunk.outbound_call(agent_id="agent_1", agent_phone_number_id="phnum_1", to_number="+12025550143")
assert trunk.success is True and trunk.sip_call_id, trunk
whatsapp = agents.whatsapp.outbound_call(
    whatsapp_phone_number_id="wa_1",
    whatsapp_user_id="12025550144",
    whatsapp_call_permission_request_template_name="may_we",
    whatsapp_call_permission_request_template_language_code="en_US",
    agent_id="agent_1",
)
assert whatsapp.success is True, whatsapp
message = agents.whatsapp.outbound_message(
    whatsapp_phone_number_id="wa_1",
    whatsapp_user_id="12025550145",
    template_name="hello",
    template_language_code="en_US",
    template_params=[{"type": "body", "parameters": [{"type": "text", "text": "Hello"}]}],
    agent_id="agent_1",
)
assert message.conversation_id, message

details = agents.conversations.get(call.conversation_id)
assert details.user_id == "judge-1" and details.status == "initiated", details
assert details.metadata.phone_call.type == "twilio" and details.metadata.call_duration_secs == 0, details.metadata
assert details.conversation_initiation_client_data.dynamic_variables["plan"] == "gold", details

found = agents.conversations.list(user_id="judge-1", page_size=10)
assert found.has_more is False, found
listed = [one.conversation_id for one in found.conversations]

recipients = [OutboundCallRecipient(phone_number="+12025550146"), OutboundCallRecipient(id="own", phone_number="+12025550147")]
batch = agents.batch_calls.create(
    call_name="judged", agent_id="agent_1", agent_phone_number_id="phnum_1", recipients=recipients, scheduled_time_unix=4102444800
)
assert batch.status == "pending" and batch.total_calls_scheduled == 2, batch
detailed = agents.batch_calls.get(batch.id)
assert [one.status for one in detailed.recipients] == ["pending", "pending"] and detailed.recipients[1].id == "own", detailed
assert [one.id for one in agents.batch_calls.list(limit=5).batch_calls] == [batch.id]
cancelled = agents.batch_calls.cancel(batch.id)
assert cancelled.status == "cancelled", cancelled
retried = agents.batch_calls.retry(batch.id)
assert retried.retry_count == 1, retried


def refused(status: int, ask) -> None:
    try:
        ask()
    except ApiError as error:
        assert error.status_code == status, error
        return
    raise AssertionError(f"not refused with {status}")


refused(404, lambda: agents.conversations.get("conv_none"))
refused(404, lambda: agents.batch_calls.get("btcal_none"))
refused(401, lambda: ElevenLabs(base_url=base_url, api_key="wrong").conversational_ai.conversations.list())
try:
    bad = ConversationInitiationClientDataRequestInput(dynamic_variables={"system__time": "x"})
    agents.twilio.outbound_call(agent_id="a", agent_phone_number_id="p", to_number="+12025550142", conversation_initiation_client_data=bad)
    raise AssertionError("a reserved name was taken")
except UnprocessableEntityError:
    pass

print(json.dumps({"conversation_id": call.conversation_id, "listed": listed}))
