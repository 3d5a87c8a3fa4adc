//! Recipients: contacts whose variables are the dynamic variables, under exactly the names they were given.

use super::batch::KEY;
use super::check::given;
use crate::api::owned;
use crate::error::Fault;
use crate::state::AppState;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, ContactSource, ContactStatus, NewContact, Owner, Variables};
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::phone::PhoneNumber;
use campaign_core::schedule::zones;
use campaign_core::store::{AddContacts, DuplicatePolicy};
use campaign_core::wire::Object;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The variable that keeps the id a recipient came with. Clients cannot have one of this name; an agent is not told it, for what begins so is
/// the agent platform's own. A service behind the webhook dialer sees it among the contact's variables.
const ID: &str = "system__recipient_id";
/// Contacts stored at a time.
const BATCH: usize = 2000;

/// Recipients taken apart.
#[derive(Default)]
pub(super) struct Parted {
    /// Those that can be called.
    pub(super) people: Vec<NewContact>,
    /// Those whose number is none.
    pub(super) rejected: Vec<Value>,
    /// Those whose number came before: nobody is called twice.
    pub(super) duplicates: Vec<Value>,
}

/// The id that a recipient came with: a text, or a number as one.
fn given_id(recipient: &Value) -> Option<String> {
    match recipient.get("id")? {
        Value::String(id) if !id.is_empty() => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// Reads the recipients of a body that was checked.
pub(super) fn read(body: &Object) -> Parted {
    let with_variables = given(body, "include_dynamic_variables").is_none_or(|include| include != false);
    let mut parted = Parted::default();
    let mut seen = HashSet::new();
    for recipient in body.get("recipients").and_then(Value::as_array).into_iter().flatten() {
        let number = recipient["phone_number"].as_str().unwrap_or_default();
        let id = given_id(recipient);
        let Some(phone) = phone(number) else {
            parted.rejected.push(json!({ "id": id, "phone_number": number }));
            continue;
        };
        if !seen.insert(phone.clone()) {
            parted.duplicates.push(json!({ "id": id, "phone_number": phone }));
            continue;
        }
        let mut variables = Variables::new();
        if with_variables && let Some(given) = recipient["conversation_initiation_client_data"]["dynamic_variables"].as_object() {
            let kept = given.iter().filter(|(name, value)| !value.is_null() && *name != ID);
            variables.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        }
        if let Some(id) = id {
            variables.insert(ID.to_owned(), id.into());
        }
        parted.people.push(NewContact {
            zones: zones::zones_of(&phone),
            phone,
            name: None,
            email: None,
            company: None,
            variables,
            consent: None,
            source: ContactSource::Api,
        });
    }
    parted
}

/// A number as the documents write it: spaces are left out, and a plus sign is put in front that was left out.
fn phone(text: &str) -> Option<PhoneNumber> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let whole = if digits.starts_with('+') { digits } else { format!("+{digits}") };
    PhoneNumber::parse(&whole, None).ok()
}

/// Stores recipients. Not by an import, which would turn the names of variables into those of templates.
pub(super) async fn add(state: &AppState, campaign: CampaignId, organization: Option<i64>, people: &[NewContact]) -> Result<(), Fault> {
    for people in people.chunks(BATCH) {
        let add = AddContacts {
            request_id: Uuid::new_v4(),
            owner: Owner::Campaign(campaign),
            organization,
            contacts: people.into(),
            duplicates: DuplicatePolicy::Skip,
            now: state.now(),
        };
        state.engine().store().add_contacts(add).await?;
    }
    Ok(())
}

/// The recipients of a batch with their statuses, and those that were rejected at once.
pub(super) async fn show(state: &AppState, record: &CampaignRecord) -> Result<Vec<Value>, Fault> {
    let attempts = owned::attempts(state, record.id, usize::MAX, |_| true).await?;
    let mut references: HashMap<ContactId, Option<String>> = HashMap::new();
    let mut changed: HashMap<ContactId, Timestamp> = HashMap::new();
    for attempt in &attempts {
        // The newest comes first.
        let reference = attempt.outcome.as_ref().and_then(|outcome| outcome.provider_ref.clone()).or_else(|| attempt.provider_ref.clone());
        references.entry(attempt.contact).or_insert(reference);
        changed.entry(attempt.contact).or_insert(attempt.finished_at.or(attempt.started_at).unwrap_or(attempt.claimed_at));
    }
    let mut shown: Vec<Value> = owned::contacts(state, Owner::Campaign(record.id))
        .await?
        .iter()
        .map(|contact| {
            let state = &contact.state;
            let at = state.completed_at.into_iter().chain(changed.get(&contact.id).copied()).max().unwrap_or(contact.created_at);
            let mut out = json!({
                "id": id_of(contact),
                "phone_number": contact.person.phone,
                "status": status(state.status),
                "created_at_unix": contact.created_at.as_second(),
                "updated_at_unix": at.as_second(),
            });
            if let Some(Some(reference)) = references.get(&contact.id) {
                out["conversation_id"] = reference.as_str().into();
            }
            out
        })
        .collect();
    let created = record.created_at.as_second();
    let called: HashMap<&str, &Value> = shown.iter().filter_map(|one| Some((one["phone_number"].as_str()?, &one["id"]))).collect();
    let twice = duplicates(record).iter().enumerate().map(|(index, duplicate)| {
        let id = duplicate["id"].as_str().map_or_else(|| format!("rcpt_{}_duplicate_{index}", record.id), str::to_owned);
        json!({ "id": id, "phone_number": duplicate["phone_number"], "status": "cancelled", "created_at_unix": created,
                "updated_at_unix": created, "duplicate_of": duplicate["phone_number"].as_str().and_then(|number| called.get(number)) })
    });
    let twice: Vec<Value> = twice.collect();
    shown.extend(twice);
    for (index, rejected) in rejected(record).iter().enumerate() {
        let id = rejected["id"].as_str().map_or_else(|| format!("rcpt_{}_rejected_{index}", record.id), str::to_owned);
        shown.push(json!({ "id": id, "phone_number": rejected["phone_number"], "status": "failed", "created_at_unix": created,
                           "updated_at_unix": created }));
    }
    Ok(shown)
}

fn id_of(contact: &Contact) -> Value {
    contact.person.variables.get(ID).cloned().unwrap_or_else(|| format!("rcpt_{}", contact.id).into())
}

/// Recipients whose number was none.
pub(super) fn rejected(record: &CampaignRecord) -> &[Value] {
    listed(record, "rejected")
}

/// Recipients whose number came before.
pub(super) fn duplicates(record: &CampaignRecord) -> &[Value] {
    listed(record, "duplicates")
}

fn listed<'a>(record: &'a CampaignRecord, name: &str) -> &'a [Value] {
    owned::remembered(&record.spec, KEY, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn status(status: ContactStatus) -> &'static str {
    match status {
        ContactStatus::Pending => "pending",
        ContactStatus::InProgress => "in_progress",
        ContactStatus::Completed => "completed",
        ContactStatus::Voicemail => "voicemail",
        ContactStatus::Failed | ContactStatus::NoAnswer | ContactStatus::Busy => "failed",
        // Those on the do-not-contact list are not called at all.
        ContactStatus::Skipped | ContactStatus::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use campaign_core::contact::ZoneKey;

    #[test]
    fn recipients_keep_the_names_of_their_variables() {
        let body = json!({"recipients": [
            {"id": "r1", "phone_number": "34 631 021 622", "conversation_initiation_client_data": {"dynamic_variables": {"Nombre Completo": "Ada", "n": 1}}},
            {"phone_number": "12"},
            {"id": 7, "phone_number": "+34631021622"},
            {"phone_number": "+34631021623", "conversation_initiation_client_data": {"dynamic_variables": {"recipient_id": "theirs", ID: "x"}}},
        ]});
        let parted = read(body.as_object().unwrap());
        let person = &parted.people[0];
        assert_eq!((person.phone.as_str(), person.variables["Nombre Completo"].as_str()), ("+34631021622", Some("Ada")));
        assert!(person.zones != ZoneKey::unknown() && person.variables[ID] == "r1");
        assert_eq!(parted.rejected, [json!({"id": null, "phone_number": "12"})]);
        assert_eq!(parted.duplicates, [json!({"id": "7", "phone_number": "+34631021622"})]);
        let other = &parted.people[1].variables;
        assert_eq!((other.len(), &other["recipient_id"]), (1, &json!("theirs")));
        let mut without = body;
        without["include_dynamic_variables"] = false.into();
        assert_eq!(read(without.as_object().unwrap()).people[0].variables.len(), 1);
    }
}
