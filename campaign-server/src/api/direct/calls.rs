//! A call that is placed at once.

use super::schema::{CallInitiated, CallInput};
use super::{KEY, Reply};
use crate::api::request::{Body, Caller, given, wrong};
use crate::api::v1::check::Check;
use crate::api::v1::error::FastApi;
use crate::api::{owned, single};
use crate::error::Fault;
use crate::state::AppState;
use axum::extract::State;
use axum::http::StatusCode;
use campaign_core::campaign::{CallerId, CampaignSpec, CampaignType};
use campaign_core::wire::Object;
use serde_json::{Value, json};

/// Calls one number. `variables` fill the templates; a call without a `welcome_message` is the assistant's.
#[utoipa::path(post, path = "/calls/initiate", operation_id = "initiate_call", tag = "single calls and messages", request_body = CallInput,
    responses((status = 200, description = "The provider has it", body = CallInitiated)))]
pub(crate) async fn initiate(State(state): State<AppState>, Caller(principal, _): Caller<FastApi>, Body(body, _): Body<FastApi>) -> Reply {
    let mut check = Check::new(&body);
    check.integer("assistant_id", 1, i64::MAX, true).text("welcome_message", 0, 10_000, true).text("agenda", 0, 10_000, true);
    check.object("variables").text("from_phone_number", 0, 64, true).text("to_phone_number", 0, 64, true);
    check.finish()?;
    // The documents answer these with 400 and a sentence.
    let needed = |name: &str| given(&body, name).ok_or_else(|| Fault::refused(format!("{name} is required")));
    let (from, to) = (needed("from_phone_number")?, needed("to_phone_number")?);
    let from = single::sender(from, "voice", state.options().default_region.as_deref());
    let from = from.map_err(|message| wrong("body", "from_phone_number", message))?;
    let assistant = body.get("assistant_id").and_then(Value::as_i64);
    if assistant.is_none() && given(&body, "welcome_message").is_none() && given(&body, "agenda").is_none() {
        // Numbers have no assistants of their own here, so somebody has to say what the call is about.
        let message =
            "No assistant found for this phone number; give assistant_id, or say in welcome_message or agenda what the call is about";
        return Err(Fault::new(StatusCode::NOT_FOUND, message).into());
    }
    let mut spec = CampaignSpec {
        name: "Call by API".to_owned(),
        campaign_type: CampaignType::Call,
        organization: principal.organization,
        assistant_id: assistant,
        max_attempts: 1,
        caller_ids: vec![CallerId { number: from, concurrent_limit: None, rate_limit_per_minute: None, calls_per_day: None }],
        ..CampaignSpec::default()
    };
    for (field, template) in [("welcome_message", "welcome_message"), ("agenda", "agenda")] {
        if let Some(text) = given(&body, field) {
            spec.templates.insert(template.to_owned(), text.to_owned());
        }
    }
    if given(&body, "welcome_message").is_none() {
        spec.dialer_options.insert("relay".to_owned(), json!(true));
    }
    owned::remember(&mut spec, KEY, Object::from_iter([("purpose".to_owned(), "call".into())]));
    let mut row = body.get("variables").and_then(Value::as_object).cloned().unwrap_or_default();
    row.insert("phone_number".to_owned(), to.into());
    let record = single::begin(&state, spec, row, "to_phone_number").await?;
    let sent = single::handed_over(&state, record).await?;
    Ok(axum::Json(json!({
        "success": true,
        "message": "Call initiated successfully",
        "call_sid": sent.reference(),
        "status": sent.status(),
        "campaign_id": sent.record.id,
    })))
}
