//! What the service says of a body that is not acceptable: every field that is to blame, in its own language.

use campaign_core::wire::Object;
use serde_json::{Value, json};

/// Looks at the body of a submission; empty when it is acceptable.
pub(super) fn submission(body: &Object) -> Vec<Value> {
    let mut faults = Vec::new();
    for name in ["call_name", "agent_id", "agent_phone_number_id"] {
        let value = body.get(name);
        if value.and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
            faults.push(fault(name, &format!("{name} es requerido"), value));
        }
    }
    match body.get("recipients") {
        Some(Value::Array(recipients)) if !recipients.is_empty() => {
            for (index, recipient) in recipients.iter().enumerate() {
                check_recipient(index, recipient, &mut faults);
            }
        }
        value => faults.push(fault("recipients", "recipients debe ser un array con al menos un elemento", value)),
    }
    if let Some(value) = given(body, "scheduled_time_unix").filter(|value| unix(value).is_none()) {
        faults.push(fault("scheduled_time_unix", "scheduled_time_unix debe ser un número entero", Some(value)));
    }
    if let Some(value) = given(body, "phone_provider").filter(|value| !matches!(value.as_str(), Some("twilio" | "sip_trunk"))) {
        faults.push(fault("phone_provider", "phone_provider debe ser \"twilio\" o \"sip_trunk\"", Some(value)));
    }
    faults
}

/// What an agent platform takes for a single recipient beside variables, and this server does not: it would be dropped in silence.
const NOT_CARRIED: &[&str] =
    &["conversation_config_override", "custom_llm_extra_body", "user_id", "branch_id", "environment", "starting_workflow_node_id"];

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

fn check_recipient(index: usize, recipient: &Value, faults: &mut Vec<Value>) {
    let number = recipient.get("phone_number");
    if number.and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
        faults.push(fault(&format!("recipients[{index}].phone_number"), "Cada recipient debe tener un phone_number", number));
    }
    if let Some(id) = recipient.get("id").filter(|id| !id.is_null() && !id.is_string() && !id.is_number()) {
        faults.push(fault(&format!("recipients[{index}].id"), "id debe ser un texto o un número", Some(id)));
    }
    let path = format!("recipients[{index}].conversation_initiation_client_data");
    let Some(data) = recipient.get("conversation_initiation_client_data").filter(|data| !data.is_null()) else { return };
    if !data.is_object() {
        faults.push(fault(&path, "conversation_initiation_client_data debe ser un objeto", Some(data)));
        return;
    }
    if let Some(variables) = data.get("dynamic_variables").filter(|variables| !variables.is_null() && !variables.is_object()) {
        faults.push(fault(&format!("{path}.dynamic_variables"), "dynamic_variables debe ser un objeto", Some(variables)));
    }
    for name in NOT_CARRIED {
        if let Some(value) = data.get(*name).filter(|value| !is_empty(value)) {
            let message = format!("{name} no se admite por recipient; configúralo en el agente");
            faults.push(fault(&format!("{path}.{name}"), &message, Some(value)));
        }
    }
}

/// What is there; null is as good as nothing.
pub(super) fn given<'a>(body: &'a Object, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

/// Seconds since the epoch, as a number or as digits.
pub(super) fn unix(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn fault(path: &str, message: &str, value: Option<&Value>) -> Value {
    let mut fault = json!({ "type": "field", "msg": message, "path": path, "location": "body" });
    if let (Some(value), Some(fault)) = (value, fault.as_object_mut()) {
        fault.insert("value".to_owned(), value.clone());
    }
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_said() {
        let body = json!({"call_name": "", "agent_id": "a", "recipients": [{"phone_number": "+34631021622"}, {"id": "x"},
            {"phone_number": "+34631021623", "conversation_initiation_client_data": 1},
            {"phone_number": "+34631021623", "conversation_initiation_client_data": {"dynamic_variables": []}},
            {"id": true, "phone_number": "+34631021624", "conversation_initiation_client_data": {"user_id": "u", "branch_id": null,
             "conversation_config_override": {}}}],
            "scheduled_time_unix": 1.5, "phone_provider": "fax"});
        let found: Vec<(String, String)> = submission(body.as_object().unwrap())
            .iter()
            .map(|fault| (fault["path"].as_str().unwrap().to_owned(), fault["msg"].as_str().unwrap().to_owned()))
            .collect();
        let expected = [
            ("call_name", "call_name es requerido"),
            ("agent_phone_number_id", "agent_phone_number_id es requerido"),
            ("recipients[1].phone_number", "Cada recipient debe tener un phone_number"),
            ("recipients[2].conversation_initiation_client_data", "conversation_initiation_client_data debe ser un objeto"),
            ("recipients[3].conversation_initiation_client_data.dynamic_variables", "dynamic_variables debe ser un objeto"),
            ("recipients[4].id", "id debe ser un texto o un número"),
            ("recipients[4].conversation_initiation_client_data.user_id", "user_id no se admite por recipient; configúralo en el agente"),
            ("scheduled_time_unix", "scheduled_time_unix debe ser un número entero"),
            ("phone_provider", "phone_provider debe ser \"twilio\" o \"sip_trunk\""),
        ];
        assert_eq!(found.iter().map(|(path, message)| (path.as_str(), message.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(submission(&Object::new()).len(), 4);
    }
}
