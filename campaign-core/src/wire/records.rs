//! Records, outwards.

use super::{Object, flat, object};
use crate::campaign::{CampaignRecord, CampaignSpec};
use crate::contact::{Contact, NewContact, Owner, Reason};
use crate::engine::{CampaignExplanation, ContactExplanation, ContactList};
use crate::event::{Event, Progress};
use crate::import::ImportReport;
use crate::outcome::{Attempt, AttemptState, Channel, Outcome};
use crate::policy::retry::status_of;
use crate::simulate::SimulationReport;
use crate::store::{NodeInfo, Page, Suppression, SuppressionScope, TimelineBucket};
use crate::template::LintReport;
use serde_json::{Value, json};

/// The templates that the REST API has fields for.
const NAMED: [&str; 4] = ["welcome_message", "agenda", "end_call_message", "sms_message"];

/// A campaign: the fields of its spec, where it stands, and its counters when they are given.
///
/// Templates are there by name under `templates` and, for those the REST API knows, as `welcome_message_template` and so on (null when
/// there is none). `allowed_hours` lists the calling windows.
pub fn campaign(record: &CampaignRecord, counters: Option<&Progress>) -> Value {
    let CampaignRecord {
        id,
        spec,
        spec_version,
        revision,
        status,
        reason,
        run,
        budget_announced_percent: _,
        last_import_file_name,
        last_import_date,
        last_import_row_count,
        created_at,
        updated_at,
        started_at,
        completed_at,
    } = record;
    let mut out = Object::new();
    out.insert("id".to_owned(), flat(id));
    out.append(&mut of_spec(spec));
    out.insert("status".to_owned(), flat(status));
    reasoned(&mut out, reason.as_ref());
    out.insert("run".to_owned(), flat(&run.number));
    out.insert("next_start".to_owned(), flat(&run.next_start));
    out.insert("spec_version".to_owned(), flat(spec_version));
    out.insert("revision".to_owned(), flat(revision));
    out.insert("last_import_file_name".to_owned(), flat(last_import_file_name));
    out.insert("last_import_date".to_owned(), flat(last_import_date));
    out.insert("last_import_row_count".to_owned(), flat(last_import_row_count));
    out.insert("created_at".to_owned(), flat(created_at));
    out.insert("updated_at".to_owned(), flat(updated_at));
    out.insert("started_at".to_owned(), flat(started_at));
    out.insert("completed_at".to_owned(), flat(completed_at));
    if let Some(progress) = counters {
        out.insert("total_contacts".to_owned(), flat(&progress.total_contacts));
        out.insert("completed_contacts".to_owned(), flat(&progress.completed_contacts));
        out.insert("failed_contacts".to_owned(), flat(&progress.failed_contacts));
    }
    Value::Object(out)
}

fn of_spec(spec: &CampaignSpec) -> Object {
    let mut out = object(spec);
    organized(&mut out);
    for name in NAMED {
        out.insert(format!("{name}_template"), flat(&spec.templates.get(name)));
    }
    out.insert("allowed_hours".to_owned(), flat(&spec.windows.allowed));
    out.insert("available_variables".to_owned(), flat(&spec.available_variables.keys().collect::<Vec<_>>()));
    out
}

/// Other things are named by their `.._id` here, and so are organisations.
fn organized(out: &mut Object) {
    let id = out.remove("organization").unwrap_or_default();
    out.insert("organization_id".to_owned(), id);
}

fn reasoned(out: &mut Object, reason: Option<&Reason>) {
    out.insert("reason".to_owned(), flat(&reason.map(|reason| &reason.code)));
    out.insert("reason_text".to_owned(), flat(&reason.map(|reason| &reason.text)));
}

/// A contact. `reason` is a code and `reason_text` a sentence; `error_message` is that sentence for those that were not reached.
pub fn contact(contact: &Contact) -> Value {
    let Contact { id, owner, person, state, created_at } = contact;
    let NewContact { phone, name, email, company, zones, variables, consent, source } = &**person;
    let (campaign, list) = match owner {
        Owner::Campaign(id) => (Some(id), None),
        Owner::List(id) => (None, Some(id)),
    };
    let failed = state.status.counts_as_failed() || state.status == crate::contact::ContactStatus::Skipped;
    let mut out = Object::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("id", flat(id));
    put("campaign_id", flat(&campaign));
    put("list_id", flat(&list));
    put("phone_number", flat(phone));
    put("name", flat(name));
    put("email", flat(email));
    put("company", flat(company));
    put("time_zones", flat(&zones.names().collect::<Vec<_>>()));
    put("variables", flat(variables));
    put("consent", flat(consent));
    put("source", flat(source));
    put("status", flat(&state.status));
    put("error_message", flat(&state.reason.as_ref().filter(|_| failed).map(|reason| &reason.text)));
    put("run", flat(&state.run));
    put("attempts", flat(&state.attempts));
    put("call_attempts", flat(&state.call_attempts));
    put("due_at", flat(&(!state.status.is_terminal()).then_some(state.due_at)));
    put("step", flat(&state.step.as_ref().map(|step| step.step)));
    put("channel", flat(&state.step.as_ref().map(|step| step.channel)));
    put("last_disposition", flat(&state.last_disposition));
    put("last_attempt_at", flat(&state.last_attempt_at));
    put("replied_at", flat(&state.replied_at));
    put("completed_at", flat(&state.completed_at));
    put("call_duration", flat(&state.duration_seconds));
    put("cost", flat(&state.cost));
    put("created_at", flat(created_at));
    reasoned(&mut out, state.reason.as_ref());
    Value::Object(out)
}

/// An attempt as the REST API shows it, an execution. `status` is a contact status: what the attempt by itself came to.
pub fn execution(attempt: &Attempt) -> Value {
    let outcome = attempt.outcome.as_ref();
    let reference = outcome.and_then(|outcome| outcome.provider_ref.as_ref()).or(attempt.provider_ref.as_ref());
    let of = |call: bool| reference.filter(|_| (attempt.step.channel == Channel::Call) == call);
    let status = match (attempt.state, attempt.disposition()) {
        (AttemptState::Settled, Some(disposition)) => status_of(disposition).as_str(),
        (AttemptState::Refused, _) => crate::contact::ContactStatus::Pending.as_str(),
        _ => crate::contact::ContactStatus::InProgress.as_str(),
    };
    let mut out = Object::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("id", flat(&attempt.id));
    put("execution_id", flat(&attempt.id));
    put("campaign_id", flat(&attempt.campaign));
    put("contact_id", flat(&attempt.contact));
    put("run", flat(&attempt.run));
    put("attempt_number", flat(&attempt.number));
    put("channel", flat(&attempt.step.channel));
    put("step", flat(&attempt.step.step));
    put("status", Value::from(status));
    put("state", flat(&attempt.state));
    put("disposition", flat(&attempt.disposition()));
    put("call_id", flat(&of(true)));
    put("sms_id", flat(&of(false)));
    put("provider_ref", flat(&reference));
    put("key", flat(&attempt.key));
    put("from_number", flat(&attempt.from));
    put("spec_version", flat(&attempt.spec_version));
    put("claimed_at", flat(&attempt.claimed_at));
    put("executed_at", flat(&attempt.started_at));
    put("finished_at", flat(&attempt.finished_at));
    put("duration_seconds", flat(&outcome.map(|outcome| outcome.duration_seconds)));
    put("cost", flat(&outcome.map(|outcome| outcome.cost)));
    put("error_details", flat(&outcome.and_then(|outcome| outcome.detail.as_ref())));
    put("retry_reason", flat(&attempt.reason.as_ref().map(|reason| &reason.text)));
    put("data", outcome.map_or_else(|| json!({}), |outcome: &Outcome| flat(&outcome.data)));
    Value::Object(out)
}

/// Counters with the metric formulas, flat.
pub fn progress(progress: &Progress) -> Value {
    flat(progress)
}

/// An event: `campaign_id`, `at`, `type`, and the fields of its type beside them.
pub fn event(event: &Event) -> Value {
    flat(event)
}

/// What became of a file.
pub fn import_report(report: &ImportReport) -> Value {
    flat(report)
}

/// How far an import is: `bytes_read`, `total_bytes`, `rows`.
pub fn import_progress(progress: &crate::import::Progress) -> Value {
    flat(progress)
}

/// Why a contact is, or is not, being reached. `reason` is a code, as with the contact itself.
pub fn contact_explanation(explanation: &ContactExplanation) -> Value {
    explained(object(explanation), explanation.reason.as_ref())
}

/// Why a campaign moves as it does.
pub fn campaign_explanation(explanation: &CampaignExplanation) -> Value {
    explained(object(explanation), explanation.reason.as_ref())
}

fn explained(mut out: Object, reason: Option<&Reason>) -> Value {
    reasoned(&mut out, reason);
    Value::Object(out)
}

/// A reusable contact list.
pub fn contact_list(list: &ContactList) -> Value {
    let mut out = object(list);
    organized(&mut out);
    Value::Object(out)
}

/// What lint found; `ok` says whether anything stands in the way of sending.
pub fn lint_report(report: &LintReport) -> Value {
    let mut out = object(report);
    out.insert("ok".to_owned(), Value::from(report.is_ok()));
    Value::Object(out)
}

/// What a dry run came to.
pub fn simulation(report: &SimulationReport) -> Value {
    flat(report)
}

/// A live node.
pub fn node(node: &NodeInfo) -> Value {
    flat(node)
}

/// One bucket of a timeline.
pub fn timeline(bucket: &TimelineBucket) -> Value {
    flat(bucket)
}

/// An entry of the suppression list; `campaign_id` and `organization_id` are null when it covers everything.
pub fn suppression_entry(entry: &Suppression) -> Value {
    let campaign = match entry.scope {
        SuppressionScope::Everything | SuppressionScope::Organization(_) => None,
        SuppressionScope::Campaign(id) => Some(id),
    };
    json!({
        "phone_number": entry.phone,
        "campaign_id": campaign,
        "organization_id": entry.scope.organization(),
        "reason": entry.reason,
        "source": entry.source,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
    })
}

/// A page: `items`, each flattened, and `total`.
pub fn page<T>(page: &Page<T>, one: impl Fn(&T) -> Value) -> Value {
    json!({ "items": page.items.iter().map(one).collect::<Vec<_>>(), "total": page.total })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;
    use crate::campaign::CampaignSpec;
    use crate::dialer::SimulatedDialer;
    use crate::import::ImportOptions;
    use crate::store::{AttemptQuery, ContactQuery, MemoryStore};

    #[tokio::test]
    async fn records_are_flat_and_named_as_in_the_api() {
        let engine = Engine::builder().store(MemoryStore::new()).dialer(SimulatedDialer::instant()).build().await.unwrap();
        let spec = CampaignSpec::call("Reminders").organization(7).template("welcome_message", "Hi {{ name }}").build().unwrap();
        let record = engine.create_campaign(spec).await.unwrap();
        let rows = vec![
            json!({"phone_number": "+12125550123", "name": "Ada", "plan": "gold"}).as_object().unwrap().clone(),
            json!({"phone_number": "nonsense"}).as_object().unwrap().clone(),
        ];
        let report = import_report(&engine.add_contacts(record.id, rows, ImportOptions::default()).await.unwrap());
        assert_eq!((report["imported"].as_u64(), report["errors"][0]["line"].as_u64()), (Some(1), Some(2)));
        engine.start(record.id).await.unwrap();
        let counters = engine.wait(record.id).await.unwrap();
        let flat_progress = progress(&counters);
        for key in [
            "campaign_id",
            "status",
            "total_contacts",
            "completed_contacts",
            "failed_contacts",
            "pending_contacts",
            "in_progress_contacts",
            "completion_percentage",
            "completion_rate",
            "success_rate",
            "answer_rate",
            "average_duration",
            "total_cost",
            "estimated_completion",
            "started_at",
            "completed_at",
        ] {
            assert!(flat_progress.get(key).is_some(), "{key}");
        }

        let record = engine.get_campaign(record.id).await.unwrap();
        let out = campaign(&record, Some(&counters));
        assert_eq!(out["welcome_message_template"], "Hi {{ name }}");
        assert!(out["agenda_template"].is_null() && out.get("spec").is_none());
        assert!(out["organization_id"] == 7 && out.get("organization").is_none());
        let list = contact_list(&engine.create_list("Clients", None, Some(7)).await.unwrap());
        assert!(list["organization_id"] == 7 && list.get("organization").is_none());
        assert_eq!(
            (out["status"].as_str(), out["completed_contacts"].as_u64(), out["run"].as_u64()),
            (Some("completed"), Some(1), Some(1))
        );
        assert_eq!(out["available_variables"], json!(["plan"]));

        let contacts = engine.list_contacts(ContactQuery::of(Owner::Campaign(record.id))).await.unwrap();
        let page = page(&contacts, contact);
        let out = &page["items"][0];
        assert_eq!((page["total"].as_u64(), out["phone_number"].as_str()), (Some(1), Some("+12125550123")));
        assert_eq!((out["variables"]["plan"].as_str(), out["last_disposition"].as_str()), (Some("gold"), Some("answered")));
        assert_eq!((out["campaign_id"].as_i64(), out["error_message"].is_null()), (Some(record.id.0), true));

        let attempts = engine.executions(AttemptQuery { campaign: Some(record.id), ..AttemptQuery::default() }).await.unwrap();
        let out = execution(&attempts.items[0]);
        assert_eq!((out["status"].as_str(), out["disposition"].as_str()), (Some("completed"), Some("answered")));
        assert_eq!((out["attempt_number"].as_u64(), out["sms_id"].is_null()), (Some(1), true));

        let why = contact_explanation(&engine.explain_contact(contacts.items[0].id).await.unwrap());
        assert_eq!((why["status"].as_str(), why["reason"].as_str()), (Some("completed"), Some("answered")));
    }

    #[test]
    fn events_are_flat() {
        let at = "2026-03-02T15:00:00Z".parse().unwrap();
        let kind = crate::event::EventKind::CampaignCompleted { run: 2 };
        let out = event(&Event { campaign_id: crate::id::CampaignId(7), at, kind });
        assert_eq!(out, json!({"campaign_id": 7, "at": "2026-03-02T15:00:00Z", "type": "campaign_completed", "run": 2}));
    }
}
