//! Leads: contacts of voice campaigns. Fields the engine has are written there; all others become variables of the contact, so that a
//! script can use them. A number is once in a campaign.

mod change;
pub(super) mod import;
pub(super) mod lists;
pub(super) mod single;

use super::error::bad;
use super::fields::whole;
use super::{campaigns, status};
use crate::api::owned::moment;
use crate::auth::Principal;
use crate::error::Fault;
use crate::state::AppState;
use campaign_core::Kind;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, ContactStatus, Owner};
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::import::{ImportOptions, ImportReport};
use campaign_core::phone::PhoneNumber;
use campaign_core::store::{DuplicatePolicy, Suppression, SuppressionScope};
use campaign_core::wire::Object;
use serde_json::{Value, json};

/// Statuses of leads.
const STATUSES: &[&str] = &["pending", "in_progress", "completed", "failed", "scheduled", "blacklisted"];

/// What a lead may come in with. Another status tells of calls that were made elsewhere, and the lead would be called all the same.
const NEW: &[&str] = &["pending", "scheduled", "blacklisted"];

/// Fields that become variables, and are shown whether they were given or not.
const VARIABLES: &[&str] = &[
    "first_name",
    "last_name",
    "alternate_phone",
    "job_title",
    "industry",
    "priority",
    "best_time_to_call",
    "preferred_language",
    "country",
    "state",
    "city",
    "address",
    "postal_code",
    "lead_source",
    "source_details",
    "annual_revenue",
    "company_size",
    "lead_score",
    "interest_level",
    "pain_points",
    "requirements",
    "custom_fields",
    "assigned_to",
    "notes",
    "next_contact_date",
];

/// What an import calls its errors.
fn refuse(message: &str) -> Fault {
    bad(message)
}

/// The campaign that a body names, when it is the caller's.
async fn campaign(state: &AppState, principal: &Principal, id: Option<&Value>) -> Result<CampaignRecord, Fault> {
    let given = id.filter(|id| !id.is_null() && id.as_str() != Some("")).ok_or_else(|| refuse("campaign_id is required"))?;
    let number = whole(given).map(|id| id.to_string()).unwrap_or_default();
    campaigns::own(state, principal, &number).await.map_err(|fault| match fault.status.as_u16() {
        404 => refuse("Invalid campaign_id or campaign does not belong to company"),
        _ => fault,
    })
}

/// The contact with this id, when it is a lead of the caller.
async fn own(state: &AppState, principal: &Principal, id: &str) -> Result<(Contact, CampaignRecord), Fault> {
    let missing = || Fault::not_found("Voice lead");
    let id = ContactId(id.parse().map_err(|_| missing())?);
    let contact = state.engine().get_contact(id).await.map_err(|error| match error.kind() {
        Kind::NotFound => missing(),
        _ => error.into(),
    })?;
    let Owner::Campaign(campaign) = contact.owner else { return Err(missing()) };
    match campaigns::own(state, principal, &campaign.to_string()).await {
        Ok(record) => Ok((contact, record)),
        Err(fault) if fault.status.as_u16() == 404 => Err(missing()),
        Err(fault) => Err(fault),
    }
}

/// The row that the engine imports for a lead.
///
/// # Errors
/// 400 in the words of the documents.
fn row(lead: &Object, region: Option<&str>) -> Result<Object, Fault> {
    let text = |name: &str| lead.get(name).and_then(scalar).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let phone = text("phone").or_else(|| text("phone_number")).ok_or_else(|| refuse("Missing required fields: phone"))?;
    // The number is not repeated: answers are logged by those who get them.
    PhoneNumber::parse(&phone, region).map_err(|_| refuse("Invalid phone number format"))?;
    if text("email").is_some_and(|email| !is_email(&email)) {
        return Err(refuse("Invalid email format"));
    }
    let given = |name: &str| lead.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""));
    if given("lead_score").is_some_and(|score| !score_of(score).is_some_and(|score| (0.0..=100.0).contains(&score))) {
        return Err(refuse("Lead score must be between 0 and 100"));
    }
    if let Some(status) = given("status") {
        let status = known_status(status)?;
        if !NEW.contains(&status) {
            let message = format!("status of a new lead cannot be {status}, for it would be called; give one of {}", NEW.join(", "));
            return Err(refuse(&message));
        }
    }
    if given("interest_level").is_some_and(|level| !matches!(level.as_str(), Some("low" | "medium" | "high"))) {
        return Err(refuse("Invalid interest level"));
    }
    if given("priority").is_some_and(|priority| !whole(priority).is_some_and(|priority| (1..=5).contains(&priority))) {
        return Err(refuse("Priority must be between 1 and 5"));
    }
    let mut out = Object::new();
    out.insert("phone_number".to_owned(), phone.into());
    for (name, field) in [
        ("first_name", "first_name"),
        ("last_name", "last_name"),
        ("email", "email"),
        ("company_name", "company"),
        ("timezone", "time_zone"),
    ] {
        if let Some(text) = text(name) {
            out.insert(field.to_owned(), text.into());
        }
    }
    let mut variables = Object::new();
    if let Some(Value::Object(custom)) = given("custom_fields") {
        variables.extend(custom.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())));
    }
    for name in VARIABLES.iter().filter(|name| !matches!(**name, "first_name" | "last_name")) {
        let field = if *name == "lead_source" { "source" } else { name };
        if let Some(value) = given(field) {
            variables.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(tags) = given("tags") {
        let custom = variables.entry("custom_fields").or_insert_with(|| json!({}));
        if let Some(custom) = custom.as_object_mut() {
            custom.insert("tags".to_owned(), tags.clone());
        }
    }
    if !variables.is_empty() {
        out.insert("variables".to_owned(), variables.into());
    }
    Ok(out)
}

/// A status of leads.
///
/// # Errors
/// 400 when it is none.
fn known_status(value: &Value) -> Result<&str, Fault> {
    value.as_str().filter(|status| STATUSES.contains(status)).ok_or_else(|| refuse("Invalid status value"))
}

/// Whether a value says nothing: null, or a text of nothing.
fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn score_of(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// One `@` between two parts, the second with a dot: what can be said without asking.
fn is_email(text: &str) -> bool {
    let Some((name, host)) = text.split_once('@') else { return false };
    let plain = |part: &str| !part.is_empty() && !part.contains('@') && !part.chars().any(char::is_whitespace);
    plain(name) && plain(host) && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
}

/// Adds leads to a campaign, and starts it when it waits for them.
async fn add(state: &AppState, campaign: CampaignId, leads: &[Object], duplicates: DuplicatePolicy) -> Result<ImportReport, Fault> {
    let region = state.options().default_region.as_deref();
    let rows = leads.iter().map(|lead| row(lead, region)).collect::<Result<Vec<Object>, Fault>>()?;
    store(state, campaign, leads, rows, duplicates).await
}

/// Writes rows that were made from leads.
async fn store(
    state: &AppState,
    campaign: CampaignId,
    leads: &[Object],
    rows: Vec<Object>,
    duplicates: DuplicatePolicy,
) -> Result<ImportReport, Fault> {
    let region = state.options().default_region.as_deref();
    blacklist(state, campaign, leads, region).await?;
    let options = ImportOptions { default_region: region.map(str::to_owned), duplicates, ..ImportOptions::default() };
    let report = state.engine().add_contacts(campaign, rows, options).await.map_err(|error| match error.kind() {
        Kind::Invalid | Kind::State => Fault::refused(error.message()),
        _ => error.into(),
    })?;
    if let Some(error) = report.errors.first() {
        return Err(refuse(&error.reason));
    }
    status::leads_came(state, campaign).await?;
    Ok(report)
}

/// Leads that come in as blacklisted are kept from being called in this campaign, before they are there.
async fn blacklist(state: &AppState, campaign: CampaignId, leads: &[Object], region: Option<&str>) -> Result<(), Fault> {
    let entries: Vec<Suppression> = leads
        .iter()
        .filter(|lead| lead.get("status").is_some_and(|status| status == "blacklisted"))
        .filter_map(|lead| lead.get("phone").or_else(|| lead.get("phone_number")).and_then(scalar))
        .filter_map(|phone| PhoneNumber::parse(&phone, region).ok())
        .map(|phone| Suppression {
            phone,
            scope: SuppressionScope::Campaign(campaign),
            reason: "blacklisted".to_owned(),
            source: Some("api".to_owned()),
            created_at: state.now(),
            expires_at: None,
        })
        .collect();
    if entries.is_empty() { Ok(()) } else { Ok(state.engine().suppress(entries).await?) }
}

/// The status of a lead.
fn shown_status(contact: &Contact) -> &'static str {
    match contact.state.status {
        ContactStatus::Pending if contact.state.attempts > 0 => "scheduled",
        ContactStatus::Pending => "pending",
        ContactStatus::InProgress => "in_progress",
        ContactStatus::Completed => "completed",
        ContactStatus::Skipped => "blacklisted",
        ContactStatus::Failed | ContactStatus::NoAnswer | ContactStatus::Busy | ContactStatus::Voicemail | ContactStatus::Cancelled => {
            "failed"
        }
    }
}

/// A lead as this API shows it.
fn show(contact: &Contact, record: &CampaignRecord) -> Value {
    let (person, state) = (&contact.person, &contact.state);
    let mut out = Object::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("id", json!(contact.id));
    put("campaign_id", json!(record.id));
    put("company_id", campaigns::company_of(record).into());
    put("phone", person.phone.as_str().into());
    for name in VARIABLES {
        let shown = if *name == "lead_source" { "source" } else { name };
        put(shown, person.variables.get(*name).filter(|value| !is_blank(value)).cloned().unwrap_or_default());
    }
    put("name", person.name.as_deref().into());
    put("email", person.email.as_deref().into());
    put("company_name", person.company.as_deref().into());
    put("timezone", person.zones.names().next().unwrap_or("UTC").into());
    put("tags", person.variables.get("custom_fields").and_then(|custom| custom.get("tags")).cloned().unwrap_or_else(|| json!([])));
    put("status", shown_status(contact).into());
    put("sub_status", state.last_disposition.map(|ending| ending.as_str()).into());
    put("status_reason", json!(state.reason.as_ref().map(|reason| &reason.text)));
    put("attempts", state.attempts.into());
    put("call_duration", state.duration_seconds.into());
    put("last_contact_date", state.last_attempt_at.map(moment).into());
    put("created_at", moment(contact.created_at).into());
    if state.status == ContactStatus::Pending {
        put("next_contact_date", moment(state.due_at).into());
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lead: Value) -> Result<Object, String> {
        row(lead.as_object().unwrap(), Some("US")).map_err(|fault| fault.message)
    }

    #[test]
    fn leads_become_rows() {
        let row = read(json!({"phone": "2125550123", "first_name": "Ada", "last_name": null, "company_name": "Acme", "source": "fair",
            "custom_fields": {"plan": "gold"}, "tags": ["vip"], "lead_score": 80}))
        .unwrap();
        assert_eq!((row["company"].as_str(), row["first_name"].as_str()), (Some("Acme"), Some("Ada")));
        let variables = &row["variables"];
        assert_eq!((variables["plan"].as_str(), variables["lead_source"].as_str()), (Some("gold"), Some("fair")));
        assert_eq!(variables["custom_fields"]["tags"], json!(["vip"]));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_documents_words() {
        for (lead, message) in [
            (json!({}), "Missing required fields: phone"),
            (json!({"phone": "12"}), "Invalid phone number format"),
            (json!({"phone": "2125550123", "email": "a@b"}), "Invalid email format"),
            (json!({"phone": "2125550123", "lead_score": 101}), "Lead score must be between 0 and 100"),
            (json!({"phone": "2125550123", "status": "new"}), "Invalid status value"),
            (
                json!({"phone": "2125550123", "status": "completed"}),
                "status of a new lead cannot be completed, for it would be called; give one of pending, scheduled, blacklisted",
            ),
            (json!({"phone": "2125550123", "interest_level": "huge"}), "Invalid interest level"),
        ] {
            assert_eq!(read(lead).unwrap_err(), message);
        }
    }
}
