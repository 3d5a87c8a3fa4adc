//! Changes of a lead. The engine changes a contact by a row with the same number: what the row has is taken over, what it has not stays, and
//! nothing is taken away. So a row is made that has what belongs to a change and was not said again, and an empty text for what goes.

use super::{VARIABLES, is_blank, known_status, refuse, row, shown_status};
use crate::error::Fault;
use campaign_core::contact::{Contact, NewContact};
use campaign_core::wire::Object;
use serde_json::{Value, json};

/// The row that makes this change.
///
/// # Errors
/// 400 in the words of the documents, and for what cannot be changed.
pub(super) fn changed(contact: &Contact, body: &Object, region: Option<&str>) -> Result<Object, Fault> {
    check_status(contact, body)?;
    let person = &contact.person;
    for (field, known) in [("email", &person.email), ("company_name", &person.company)] {
        if known.is_some() && body.get(field).is_some_and(is_blank) {
            return Err(refuse(&format!("{field} cannot be taken away; give another or leave it out")));
        }
    }
    let mut lead = body.clone();
    lead.remove("status");
    lead.insert("phone".to_owned(), person.phone.as_str().into());
    name(person, &mut lead)?;
    clock(person, &mut lead);
    tags(person, &mut lead);
    let mut row = row(&lead, region)?;
    let gone: Vec<String> = gone(person, body);
    if !gone.is_empty()
        && let Some(variables) = row.entry("variables").or_insert_with(|| json!({})).as_object_mut()
    {
        for name in gone {
            variables.entry(name).or_insert_with(|| "".into());
        }
    }
    Ok(row)
}

/// A status is what the calls came to, so that nobody can say another; only from being called a lead can be kept.
fn check_status(contact: &Contact, body: &Object) -> Result<(), Fault> {
    let Some(status) = body.get("status").filter(|status| !is_blank(status)) else { return Ok(()) };
    let status = known_status(status)?;
    if status == "blacklisted" || status == shown_status(contact) {
        return Ok(());
    }
    Err(refuse(&format!(
        "status cannot be set to {status}: it is what the calls of the lead came to; set it to blacklisted to keep the lead from being called"
    )))
}

/// First and last name, as far as they are known.
fn names(person: &NewContact) -> (Option<&str>, Option<&str>) {
    let variable = |name: &str| person.variables.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    match (variable("first_name"), variable("last_name"), person.name.as_deref()) {
        (None, None, Some(full)) => full.split_once(' ').map_or((Some(full), None), |(first, last)| (Some(first), Some(last))),
        (first, last, _) => (first, last),
    }
}

/// The name is made of both parts, so that the one that is not said is said again.
fn name(person: &NewContact, lead: &mut Object) -> Result<(), Fault> {
    if !lead.contains_key("first_name") && !lead.contains_key("last_name") {
        return Ok(());
    }
    let (first, last) = names(person);
    for (field, known) in [("first_name", first), ("last_name", last)] {
        if let (false, Some(known)) = (lead.contains_key(field), known) {
            lead.insert(field.to_owned(), known.into());
        }
    }
    let nameless = ["first_name", "last_name"].iter().all(|field| lead.get(*field).is_none_or(is_blank));
    if nameless && person.name.is_some() {
        return Err(refuse("first_name and last_name cannot both be taken away; give one of them"));
    }
    Ok(())
}

/// A row without a zone gets that of its number, so that the one of the lead is said again. A null leads back to that of the number.
fn clock(person: &NewContact, lead: &mut Object) {
    let mut zones = person.zones.names();
    if let (Some(zone), None, false) = (zones.next(), zones.next(), lead.contains_key("timezone")) {
        lead.insert("timezone".to_owned(), zone.into());
    }
}

/// Tags lie among the custom fields, and either stays when only the other is given.
fn tags(person: &NewContact, lead: &mut Object) {
    let custom = person.variables.get("custom_fields").filter(|custom| custom.is_object());
    let known = custom.and_then(|custom| custom.get("tags"));
    if lead.get("tags").is_some_and(is_blank) {
        lead.insert("tags".to_owned(), json!([]));
    }
    match (lead.contains_key("tags"), lead.get("custom_fields")) {
        (true, None) => {
            if let Some(custom) = custom {
                lead.insert("custom_fields".to_owned(), custom.clone());
            }
        }
        (false, Some(given)) if given.get("tags").is_none() => {
            if let Some(known) = known {
                lead.insert("tags".to_owned(), known.clone());
            }
        }
        _ => {}
    }
}

/// The variables that a change takes away: fields that are given as nothing, and custom fields that are not among the new ones.
fn gone(person: &NewContact, body: &Object) -> Vec<String> {
    let had = |name: &str| person.variables.get(name).is_some_and(|value| !is_blank(value));
    let shown = |name: &'static str| if name == "lead_source" { "source" } else { name };
    let fields = VARIABLES.iter().filter(|name| body.get(shown(name)).is_some_and(is_blank) && had(name)).map(|name| (*name).to_owned());
    let old = person.variables.get("custom_fields").and_then(Value::as_object).filter(|_| body.contains_key("custom_fields"));
    let custom = old.into_iter().flat_map(Object::keys).filter(|name| !VARIABLES.contains(&name.as_str()) && *name != "tags");
    fields.chain(custom.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use campaign_core::contact::{ContactSource, ContactState, Owner, ZoneKey};
    use campaign_core::id::{CampaignId, ContactId};
    use campaign_core::phone::PhoneNumber;
    use jiff::Timestamp;
    use std::sync::Arc;

    fn contact() -> Contact {
        let variables = json!({"first_name": "Ada", "last_name": "Lovelace", "notes": "kind", "plan": "gold",
            "custom_fields": {"plan": "gold", "tags": ["vip"]}});
        let person = NewContact {
            phone: PhoneNumber::parse("+12125550123", None).unwrap(),
            name: Some("Ada Lovelace".to_owned()),
            email: Some("ada@example.com".to_owned()),
            company: None,
            zones: ZoneKey::from_names(["Europe/London"]),
            variables: variables.as_object().unwrap().clone(),
            consent: None,
            source: ContactSource::default(),
        };
        Contact {
            id: ContactId(1),
            owner: Owner::Campaign(CampaignId(1)),
            person: Arc::new(person),
            state: ContactState::new(1, Timestamp::UNIX_EPOCH),
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn change(body: Value) -> Result<Object, String> {
        changed(&contact(), body.as_object().unwrap(), None).map_err(|fault| fault.message)
    }

    #[test]
    fn what_is_not_said_stays() {
        let row = change(json!({"first_name": "Z"})).unwrap();
        assert_eq!((row["first_name"].as_str(), row["last_name"].as_str()), (Some("Z"), Some("Lovelace")));
        assert_eq!(row["time_zone"], "Europe/London");
        let row = change(json!({"tags": ["new"]})).unwrap();
        assert_eq!(row["variables"]["custom_fields"], json!({"plan": "gold", "tags": ["new"]}));
        let row = change(json!({"custom_fields": {"seats": 3}})).unwrap();
        assert_eq!(row["variables"]["custom_fields"], json!({"seats": 3, "tags": ["vip"]}));
        assert_eq!((&row["variables"]["seats"], row["variables"]["plan"].as_str()), (&json!(3), Some("")));
    }

    #[test]
    fn what_is_taken_away_goes_or_is_refused() {
        let row = change(json!({"notes": null, "job_title": null, "last_name": ""})).unwrap();
        assert_eq!((row["variables"]["notes"].as_str(), row["variables"].get("job_title")), (Some(""), None));
        assert_eq!((row["first_name"].as_str(), row.get("last_name")), (Some("Ada"), None));
        assert!(change(json!({"email": null})).unwrap_err().starts_with("email cannot be taken away"));
        assert!(change(json!({"company_name": null})).is_ok());
        assert!(change(json!({"first_name": null, "last_name": null})).unwrap_err().starts_with("first_name and last_name"));
    }

    #[test]
    fn a_status_is_what_calls_came_to() {
        assert!(change(json!({"status": "pending"})).is_ok() && change(json!({"status": "blacklisted"})).is_ok());
        assert!(change(json!({"status": "completed"})).unwrap_err().starts_with("status cannot be set to completed"));
        assert_eq!(change(json!({"status": "new"})).unwrap_err(), "Invalid status value");
    }
}
