//! `campaign suppress`: who is not to be contacted.

use crate::common::{Done, Session, campaign_id, clock, json_line, line, moment, remark, table};
use crate::import::{self, FileArgs};
use campaign_core::executor::Executor;
use campaign_core::id::CampaignId;
use campaign_core::store::{Paging, Suppression, SuppressionKey, SuppressionScope};
use campaign_core::{Engine, wire};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The suppression list.
#[derive(Subcommand)]
pub(crate) enum Suppress {
    /// Put numbers on the list; from the next hand-off on they are not contacted.
    Add(Add),
    /// Take numbers off the list. Contacts that were skipped meanwhile stay skipped.
    Remove(Numbers),
    /// Print the list.
    List(List),
    /// Say of each number whether it is on the list.
    Check(Numbers),
    /// Put the numbers of a file on the list; a column `reason` is taken over.
    Import(ImportNumbers),
}

/// What is covered.
#[derive(Args, Clone)]
pub(crate) struct Covers {
    /// Only in this campaign.
    #[arg(long, value_name = "NUMBER", value_parser = campaign_id, conflicts_with = "organization")]
    campaign: Option<CampaignId>,
    /// Only in campaigns of this organisation. Default: everywhere.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1..))]
    organization: Option<i64>,
}

/// Numbers, and what is covered.
#[derive(Args)]
pub(crate) struct Numbers {
    /// Numbers as people write them.
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<String>,
    #[command(flatten)]
    covers: Covers,
}

/// Arguments of `suppress add`.
#[derive(Args)]
pub(crate) struct Add {
    #[command(flatten)]
    numbers: Numbers,
    /// Why, a word for reports.
    #[arg(long, default_value = "suppressed")]
    reason: String,
    /// Until when, RFC 3339. Default: for good.
    #[arg(long, value_name = "MOMENT")]
    expires_at: Option<String>,
}

/// Arguments of `suppress list`.
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    covers: Covers,
}

/// Arguments of `suppress import`.
#[derive(Args)]
pub(crate) struct ImportNumbers {
    /// The file; `-` is the standard input.
    file: PathBuf,
    #[command(flatten)]
    covers: Covers,
    /// Why, where the file does not say.
    #[arg(long, default_value = "suppressed")]
    reason: String,
    #[command(flatten)]
    how: FileArgs,
}

impl Suppress {
    pub(crate) async fn run(self, session: &Session) -> Done {
        let (configuration, engine) = session.beside().await?;
        let region = configuration.region();
        match self {
            Self::Add(arguments) => add(&engine, arguments, region, session.json).await?,
            Self::Remove(arguments) => remove(&engine, &arguments, region, session.json).await?,
            Self::List(arguments) => list(&engine, &arguments.covers, session.json).await?,
            Self::Check(arguments) => check(&engine, &arguments, region, session.json).await?,
            Self::Import(arguments) => {
                let ImportNumbers { file, covers, reason, how } = arguments;
                covers.must_exist(&engine).await?;
                let options = how.options(&file, region)?;
                let report = engine.import_suppressions(import::source(&file)?, options, covers.scope()?, &reason).await?;
                how.ended(&report)?;
                if session.json { json_line(&wire::import_report(&report))? } else { import::told(&report)? }
            }
        }
        Ok(engine.close().await?)
    }
}

impl Covers {
    fn scope(&self) -> Done<SuppressionScope> {
        Ok(wire::suppression_scope(self.campaign, self.organization)?)
    }

    /// Nobody is suppressed in a campaign that is not there.
    async fn must_exist(&self, engine: &Engine) -> Done {
        match self.campaign {
            Some(id) => Ok(engine.get_campaign(id).await.map(drop)?),
            None => Ok(()),
        }
    }

    /// An entry or a key in the flat form.
    fn flat(&self, number: &str, region: &str) -> wire::Object {
        let mut flat = wire::Object::new();
        for (name, value) in [
            ("phone_number", json!(number)),
            ("default_region", json!(region)),
            ("campaign_id", json!(self.campaign)),
            ("organization_id", json!(self.organization)),
        ] {
            flat.insert(name.to_owned(), value);
        }
        flat
    }
}

async fn add(engine: &Engine, arguments: Add, region: &str, as_json: bool) -> Done {
    let Add { numbers: Numbers { numbers, covers }, reason, expires_at } = arguments;
    covers.must_exist(engine).await?;
    let now = clock()?.now();
    let entry = |number: &String| {
        let mut flat = covers.flat(number, region);
        flat.insert("reason".to_owned(), json!(reason));
        flat.insert("source".to_owned(), json!("command"));
        flat.insert("expires_at".to_owned(), json!(expires_at));
        wire::suppression(flat, now)
    };
    let entries: Vec<Suppression> = numbers.iter().map(entry).collect::<Result<_, _>>()?;
    let count = entries.len();
    engine.suppress(entries).await?;
    if as_json {
        return json_line(&json!({ "suppressed": count }));
    }
    remark(format!("{count} numbers are suppressed."));
    Ok(())
}

async fn remove(engine: &Engine, arguments: &Numbers, region: &str, as_json: bool) -> Done {
    let keys: Vec<SuppressionKey> =
        arguments.numbers.iter().map(|number| wire::suppression_key(arguments.covers.flat(number, region))).collect::<Result<_, _>>()?;
    let count = engine.unsuppress(keys).await?;
    if as_json {
        return json_line(&json!({ "removed": count }));
    }
    remark(format!("{count} of {} numbers were on the list and are off it.", arguments.numbers.len()));
    Ok(())
}

async fn list(engine: &Engine, covers: &Covers, as_json: bool) -> Done {
    let scope = Some(covers.scope()?).filter(|scope| *scope != SuppressionScope::Everything);
    let (mut after, mut all) = (None, Vec::new());
    if !as_json {
        line(format!("{:<17} {:<16} {:<20} {:<14} {:<21} until", "number", "covers", "reason", "source", "since"))?;
    }
    loop {
        let query =
            campaign_core::store::SuppressionQuery { phone: None, scope, after: after.take(), paging: Paging { offset: 0, limit: 1000 } };
        let page = engine.suppressions(query).await?.items;
        let Some(last) = page.last() else { break };
        after = Some(SuppressionKey { phone: last.phone.clone(), scope: last.scope });
        if as_json {
            all.extend(page.iter().map(wire::suppression_entry));
            continue;
        }
        for entry in &page {
            line(row(entry))?;
        }
    }
    if as_json { json_line(&all.into()) } else { Ok(()) }
}

fn row(entry: &Suppression) -> String {
    let Suppression { phone, scope, reason, source, created_at, expires_at } = entry;
    let covers = match scope {
        SuppressionScope::Everything => "everything".to_owned(),
        SuppressionScope::Organization(id) => format!("organisation {id}"),
        SuppressionScope::Campaign(id) => format!("campaign {id}"),
    };
    let until = expires_at.map_or_else(|| "-".to_owned(), moment);
    format!("{:<17} {covers:<16} {reason:<20} {:<14} {:<21} {until}", phone.as_str(), source.as_deref().unwrap_or("-"), moment(*created_at))
}

async fn check(engine: &Engine, arguments: &Numbers, region: &str, as_json: bool) -> Done {
    let mut rows = Vec::new();
    for number in &arguments.numbers {
        let key = wire::suppression_key(arguments.covers.flat(number, region))?;
        let mut suppressed = engine.is_suppressed(&key.phone, key.scope.organization()).await?;
        if let SuppressionScope::Campaign(id) = key.scope {
            let organization = engine.get_campaign(id).await?.spec.organization;
            let query = wire::suppression_query(arguments.covers.flat(number, region))?;
            let now = engine.now();
            let here = engine.suppressions(query).await?.items.iter().any(|entry| entry.expires_at.is_none_or(|at| at > now));
            suppressed = here || engine.is_suppressed(&key.phone, organization).await?;
        }
        rows.push((key.phone.as_str().to_owned(), suppressed));
    }
    if as_json {
        let all: Vec<Value> = rows.iter().map(|(number, suppressed)| json!({ "phone_number": number, "suppressed": suppressed })).collect();
        return json_line(&all.into());
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|(number, suppressed)| vec![number, if suppressed { "suppressed" } else { "free" }.to_owned()]).collect();
    table(&["number", "state"], &rows)
}
