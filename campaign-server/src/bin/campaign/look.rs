//! `campaign preview`, `campaign lint` and `campaign simulate`: what would happen.

use crate::common::{Done, Failure, Session, campaign_id, json_line, line, moment, table};
use crate::import::pair;
use campaign_core::contact::Owner;
use campaign_core::id::{CampaignId, ContactId};
use campaign_core::store::{ContactQuery, Paging};
use campaign_core::{Error, Kind, wire};
use clap::Args;
use serde_json::{Value, json};

/// Arguments of `preview`.
#[derive(Args)]
pub(crate) struct Preview {
    /// The campaign.
    #[arg(required_unless_present = "template", value_parser = campaign_id, value_name = "CAMPAIGN")]
    campaign: Option<CampaignId>,
    /// For this contact. Default: for the first ones.
    #[arg(long, value_name = "NUMBER", conflicts_with = "template")]
    contact: Option<i64>,
    /// For so many contacts.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "template")]
    count: u32,
    /// A template by itself, without a campaign.
    #[arg(long, value_name = "TEXT", conflicts_with = "campaign")]
    template: Option<String>,
    /// A value for `--template`; several times.
    #[arg(long = "value", value_name = "NAME=VALUE", value_parser = pair, requires = "template")]
    values: Vec<(String, String)>,
    /// How `--template` is written: `jinja` or `brace`.
    #[arg(long, value_name = "SYNTAX", requires = "template")]
    syntax: Option<String>,
}

impl Preview {
    pub(crate) async fn run(self, session: &Session) -> Done {
        if let Some(template) = &self.template {
            let values: wire::Object = self.values.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let mut given = wire::Object::new();
            given.insert("template".to_owned(), json!(template));
            given.insert("variables".to_owned(), values.into());
            if let Some(syntax) = &self.syntax {
                given.insert("syntax".to_owned(), json!(syntax));
            }
            let text = wire::preview(given)?;
            return if session.json { json_line(&json!({ "text": text })) } else { line(text) };
        }
        let campaign = self.campaign.ok_or_else(|| Error::invalid("campaign", "name a campaign, or give a --template"))?;
        let (_, engine) = session.beside().await?;
        let ids = match self.contact {
            Some(id) => vec![ContactId(id)],
            None => {
                let paging = Paging { offset: 0, limit: self.count };
                let query = ContactQuery { paging, count: false, ..ContactQuery::of(Owner::Campaign(campaign)) };
                engine.get_campaign(campaign).await?;
                engine.list_contacts(query).await?.items.into_iter().map(|contact| contact.id).collect()
            }
        };
        if ids.is_empty() {
            return Err(Error::new(Kind::State, "the campaign has no contact to preview it for; import some, or use --template").into());
        }
        let mut all = Vec::new();
        for id in ids {
            let texts = engine.preview_contact(campaign, id).await?;
            if session.json {
                all.push(json!({ "contact_id": id, "texts": texts }));
                continue;
            }
            line(format!("contact {id}"))?;
            for (name, text) in texts {
                line(format!("  {name}: {text}"))?;
            }
        }
        engine.close().await?;
        match (session.json, self.contact, all.pop()) {
            (true, Some(_), Some(only)) => json_line(&only),
            (true, _, last) => json_line(&all.into_iter().chain(last).collect()),
            (false, ..) => Ok(()),
        }
    }
}

/// Arguments of `lint`.
#[derive(Args)]
pub(crate) struct Lint {
    /// The campaign.
    #[arg(value_parser = campaign_id)]
    campaign: CampaignId,
    /// Contacts that are looked at for the longest message. Default: 10000.
    #[arg(long, value_name = "NUMBER")]
    sample: Option<u32>,
    /// The price of one segment of a message, for the cost.
    #[arg(long, value_name = "PRICE")]
    segment_price: Option<f64>,
}

impl Lint {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let mut given = wire::Object::new();
        given.insert("sample".to_owned(), json!(self.sample));
        given.insert("segment_price".to_owned(), json!(self.segment_price));
        let options = wire::lint_options(given)?;
        let (_, engine) = session.beside().await?;
        let report = engine.lint_template(self.campaign, options).await?;
        engine.close().await?;
        if session.json {
            json_line(&wire::lint_report(&report))?;
        } else {
            for finding in &report.findings {
                let flat = json!(finding);
                let text = |name: &str| flat[name].as_str().unwrap_or_default().to_owned();
                let place = finding.template.as_ref().map(|template| match (finding.line, finding.column) {
                    (Some(line), Some(column)) => format!("{template}:{line}:{column}: "),
                    _ => format!("{template}: "),
                });
                line(format!("{}{}: {} ({})", place.unwrap_or_default(), text("severity"), finding.message, text("code")))?;
            }
            if report.findings.is_empty() {
                line("Nothing was found.")?;
            }
        }
        if report.is_ok() { Ok(()) } else { Err(Failure::Said(1)) }
    }
}

/// Arguments of `simulate`.
#[derive(Args)]
pub(crate) struct Simulate {
    /// The campaign.
    #[arg(value_parser = campaign_id)]
    campaign: CampaignId,
    /// How people and the carrier behave: `default`, `instant` or `troubled`, or a JSON object.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
    /// Another seed gives other luck. Default: 0.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// When it starts, RFC 3339. Default: now.
    #[arg(long, value_name = "MOMENT")]
    start: Option<String>,
    /// After so many days it is given up.
    #[arg(long, value_name = "NUMBER")]
    max_days: Option<u32>,
}

impl Simulate {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let mut given = wire::Object::new();
        let profile = self.profile.map(|text| serde_json::from_str(&text).ok().filter(Value::is_object).unwrap_or(Value::String(text)));
        for (name, value) in
            [("profile", json!(profile)), ("seed", json!(self.seed)), ("start", json!(self.start)), ("max_days", json!(self.max_days))]
        {
            given.insert(name.to_owned(), value);
        }
        let options = wire::simulate_options(given)?;
        let (_, engine) = session.beside().await?;
        let report = engine.simulate(self.campaign, options).await?;
        engine.close().await?;
        if session.json {
            return json_line(&wire::simulation(&report));
        }
        let progress = &report.progress;
        let ended = report.finished_at.map_or_else(|| "not within the days given".to_owned(), moment);
        let mut rows = vec![
            vec!["starts".to_owned(), moment(report.started_at)],
            vec!["ends".to_owned(), ended],
            vec!["contacts".to_owned(), progress.total_contacts.to_string()],
            vec!["completed".to_owned(), progress.completed_contacts.to_string()],
            vec!["failed".to_owned(), progress.failed_contacts.to_string()],
            vec!["attempts".to_owned(), report.attempts.to_string()],
            vec!["most at once".to_owned(), report.peak_concurrency.to_string()],
            vec!["cost".to_owned(), format!("{} ({} to {})", report.cost.expected, report.cost.low, report.cost.high)],
        ];
        rows.extend(report.unreachable.iter().map(|group| vec![format!("not reached: {}", group.code), group.contacts.to_string()]));
        table(&["", "simulated"], &rows)
    }
}
