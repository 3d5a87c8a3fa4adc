//! Template previews.

use super::campaigns::Reply;
use super::check::Check;
use super::extract::{Json, Own};
use super::schema::{NamedPreviewInput, Preview, PreviewInput};
use crate::error::{Fault, FieldFault};
use campaign_core::Kind;
use campaign_core::wire::{self, Object};
use serde_json::{Value, json};

/// Renders; a template that does not is an answer too, as the documents have it.
fn rendered(arguments: Object, source: &str) -> std::result::Result<Value, Fault> {
    match wire::preview(arguments) {
        Ok(text) => Ok(json!({ "success": true, "rendered_template": text })),
        Err(error) if error.kind() == Kind::Template => {
            let text = format!("[Template Error: {error}] {source}");
            Ok(json!({ "success": false, "rendered_template": text, "error": error.to_string() }))
        }
        Err(error) => Err(error.into()),
    }
}

fn arguments(source: &str, variables: Option<Value>, more: &[(&str, Value)]) -> Object {
    let mut arguments = Object::new();
    arguments.insert("template".to_owned(), source.into());
    arguments.insert("variables".to_owned(), variables.unwrap_or_default());
    arguments.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    arguments
}

/// Renders a template with the given values.
#[utoipa::path(post, path = "/api/v1/campaigns/template-preview", operation_id = "preview_template", tag = "templates", request_body = PreviewInput,
    responses((status = 200, description = "The text, or what is wrong with the template", body = Preview)))]
pub(crate) async fn preview(Json(mut body): Json) -> Reply {
    let mut check = Check::new(&body);
    check.required("template").text("template", 0, usize::MAX, false).object("variables").texts("fallback_values");
    check.finish()?;
    let source = body.get("template").and_then(Value::as_str).unwrap_or_default().to_owned();
    let fallbacks = body.remove("fallback_values").unwrap_or_default();
    let arguments = arguments(&source, body.remove("variables"), &[("fallback_values", fallbacks)]);
    Ok(axum::Json(rendered(arguments, &source)?))
}

/// Renders one of a campaign's templates (`welcome_message`, `agenda`, `end_call_message`, `sms_message`, or any other it has), or
/// the text in `template`, with the given values and the campaign's fallbacks.
#[utoipa::path(post, path = "/api/v1/campaigns/{campaign_id}/preview-template", operation_id = "preview_campaign_template", tag = "templates",
    params(("campaign_id" = i64, Path, description = "The campaign")), request_body = NamedPreviewInput,
    responses((status = 200, description = "The text, or what is wrong with the template", body = Preview)))]
pub(crate) async fn preview_of(own: Own, Json(mut body): Json) -> Reply {
    let mut check = Check::new(&body);
    check.text("template", 0, usize::MAX, true).text("template_type", 1, 200, true).object("variables");
    check.finish()?;
    let spec = &own.record.spec;
    let named = body.get("template_type").and_then(Value::as_str).map(|name| name.strip_suffix("_template").unwrap_or(name).to_owned());
    let source = match (body.get("template").and_then(Value::as_str), &named) {
        (Some(source), _) => source.to_owned(),
        (None, Some(name)) => match spec.templates.get(name) {
            Some(source) => source.clone(),
            None => return Err(Fault::refused("The campaign has no template of this type").into()),
        },
        (None, None) => {
            let loc = vec!["body".into(), "template_type".into()];
            return Err(Fault::fields(vec![FieldFault { loc, message: "Field required".to_owned(), code: "missing" }]).into());
        }
    };
    let mut variables = body.remove("variables").and_then(|value| value.as_object().cloned()).unwrap_or_default();
    if let Some(assistant) = &spec.assistant_name {
        variables.entry("assistant_name").or_insert_with(|| assistant.as_str().into());
    }
    let more = [("fallback_values", json!(spec.fallback_values)), ("template_syntax", json!(spec.template_syntax))];
    let mut reply = rendered(arguments(&source, Some(variables.into()), &more), &source)?;
    reply["template_type"] = named.into();
    Ok(axum::Json(reply))
}
