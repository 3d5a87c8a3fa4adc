//! `campaign status` and `campaign explain`: what is happening, and why not.

use crate::common::{Done, Session, campaign_id, json_line, line, moment, table};
use campaign_core::campaign::CampaignRecord;
use campaign_core::event::Progress;
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::{Engine, wire};
use clap::Args;
use serde_json::{Value, json};

/// Arguments of `status`.
#[derive(Args)]
pub(crate) struct Status {
    /// The campaign. Without it: every campaign, and the nodes that execute.
    #[arg(value_parser = campaign_id)]
    campaign: Option<CampaignId>,
    /// Only campaigns in this status, for example `running`; several times.
    #[arg(long = "status", value_name = "STATUS", conflicts_with = "campaign")]
    statuses: Vec<String>,
    /// Only campaigns of this organisation.
    #[arg(long, value_name = "NUMBER", conflicts_with = "campaign")]
    organization: Option<i64>,
    /// Only campaigns whose name holds this.
    #[arg(long, value_name = "TEXT", conflicts_with = "campaign")]
    search: Option<String>,
    /// At most so many campaigns, newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, conflicts_with = "campaign")]
    limit: u32,
}

impl Status {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let (_, engine) = session.beside().await?;
        match self.campaign {
            Some(id) => one(&engine, id, session.json).await?,
            None => self.all(&engine, session.json).await?,
        }
        Ok(engine.close().await?)
    }

    async fn all(self, engine: &Engine, as_json: bool) -> Done {
        let mut given = wire::Object::new();
        let statuses = (!self.statuses.is_empty()).then_some(self.statuses);
        for (name, value) in [
            ("status", json!(statuses)),
            ("organization_id", json!(self.organization)),
            ("search", json!(self.search)),
            ("limit", json!(self.limit)),
        ] {
            given.insert(name.to_owned(), value);
        }
        let page = engine.list_campaigns(wire::campaign_query(given)?).await?;
        let mut campaigns = Vec::new();
        for record in page.items {
            let progress = engine.progress(record.id).await?;
            campaigns.push((record, progress));
        }
        let nodes = engine.nodes().await?;
        if as_json {
            let campaigns: Vec<Value> = campaigns.iter().map(|(record, progress)| wire::campaign(record, Some(progress))).collect();
            let nodes: Vec<Value> = nodes.iter().map(wire::node).collect();
            return json_line(&json!({ "campaigns": campaigns, "total": page.total, "nodes": nodes }));
        }
        let rows: Vec<Vec<String>> = campaigns.iter().map(|(record, progress)| row(record, progress)).collect();
        table(&["campaign", "name", "status", "contacts", "completed", "failed", "done"], &rows)?;
        if page.total > campaigns.len() as u64 {
            line(format!("... and {} more; --limit shows them.", page.total - campaigns.len() as u64))?;
        }
        line("")?;
        if nodes.is_empty() {
            return line("No node executes campaigns on this store; `campaign serve` and `campaign run` do.");
        }
        let rows: Vec<Vec<String>> = nodes
            .iter()
            .map(|node| vec![node.name.clone(), moment(node.started_at), moment(node.expires_at), node.in_flight.to_string()])
            .collect();
        table(&["node", "since", "lease until", "attempts"], &rows)
    }
}

fn row(record: &CampaignRecord, progress: &Progress) -> Vec<String> {
    let Progress { total_contacts, completed_contacts, failed_contacts, completion_percentage, .. } = progress;
    vec![
        record.id.to_string(),
        record.spec.name.clone(),
        record.status.to_string(),
        total_contacts.to_string(),
        completed_contacts.to_string(),
        failed_contacts.to_string(),
        format!("{completion_percentage:.0} %"),
    ]
}

async fn one(engine: &Engine, id: CampaignId, as_json: bool) -> Done {
    let record = engine.get_campaign(id).await?;
    let progress = engine.progress(id).await?;
    if as_json {
        let mut out = wire::campaign(&record, Some(&progress));
        out["progress"] = wire::progress(&progress);
        return json_line(&out);
    }
    line(format!("Campaign {id}, {:?}: {}{}", record.spec.name, record.status, because(&record)))?;
    told(&progress)
}

fn because(record: &CampaignRecord) -> String {
    record.reason.as_ref().map(|reason| format!(" ({})", reason.text.trim_end_matches('.'))).unwrap_or_default()
}

/// Counters for people.
pub(crate) fn told(progress: &Progress) -> Done {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut put = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    put("contacts", progress.total_contacts.to_string());
    for (name, count) in [
        ("completed", progress.completed_contacts),
        ("in progress", progress.in_progress_contacts),
        ("pending", progress.pending_contacts),
        ("failed", progress.failed_contacts),
        ("  no answer", progress.no_answer_contacts),
        ("  busy", progress.busy_contacts),
        ("  voicemail", progress.voicemail_contacts),
        ("skipped", progress.skipped_contacts),
        ("cancelled", progress.cancelled_contacts),
    ] {
        if count > 0 {
            put(name, count.to_string());
        }
    }
    put("done", format!("{:.1} %", progress.completion_percentage));
    put("cost", progress.total_cost.to_string());
    for (name, at) in [("started", progress.started_at), ("ended", progress.completed_at), ("will end", progress.estimated_completion)] {
        if let Some(at) = at {
            put(name, moment(at));
        }
    }
    rows.iter().try_for_each(|row| line(format!("  {:<12} {}", row[0], row[1])))
}

/// Arguments of `explain`.
#[derive(Args)]
pub(crate) struct Explain {
    /// The campaign.
    #[arg(required_unless_present = "contact", value_parser = campaign_id, value_name = "CAMPAIGN")]
    campaign: Option<CampaignId>,
    /// This contact, instead of the campaign as a whole.
    #[arg(long, value_name = "NUMBER", conflicts_with = "campaign")]
    contact: Option<i64>,
}

impl Explain {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let (_, engine) = session.beside().await?;
        if let Some(id) = self.contact {
            let explanation = engine.explain_contact(ContactId(id)).await?;
            if session.json {
                json_line(&wire::contact_explanation(&explanation))?;
            } else {
                line(&explanation.text)?;
                for gate in &explanation.gates {
                    let flat = json!(gate);
                    let text = |name: &str| flat[name].as_str().unwrap_or_default().to_owned();
                    line(format!("  {:<16} {}", text("gate"), text("verdict")))?;
                }
                if let Some(earliest) = explanation.earliest {
                    line(format!("  not before {}", moment(earliest)))?;
                }
            }
        } else if let Some(id) = self.campaign {
            let explanation = engine.explain_campaign(id).await?;
            if session.json {
                json_line(&wire::campaign_explanation(&explanation))?;
            } else {
                line(&explanation.text)?;
                let rows: Vec<Vec<String>> = explanation
                    .reasons
                    .iter()
                    .map(|share| {
                        vec![
                            share.contacts.to_string(),
                            share.status.to_string(),
                            share.code.clone(),
                            share.opens_at.map(moment).unwrap_or_default(),
                        ]
                    })
                    .collect();
                table(&["contacts", "status", "reason", "until"], &rows)?;
            }
        }
        Ok(engine.close().await?)
    }
}
