//! Campaigns that one of the compatible APIs has made. Each keeps what the engine has no place for in the campaign's metadata under its
//! own key, and that key is also what tells its campaigns from those of the others: none shows what another has made.

use crate::auth::{Principal, of_spec};
use crate::error::Fault;
use crate::state::AppState;
use campaign_core::Result;
use campaign_core::campaign::{CampaignRecord, CampaignSpec, CampaignStatus};
use campaign_core::contact::{Contact, Owner};
use campaign_core::id::CampaignId;
use campaign_core::outcome::Attempt;
use campaign_core::store::{AttemptQuery, CampaignQuery, ContactQuery, Paging};
use campaign_core::wire::Object;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The keys of all of them. API 1 shows a campaign's metadata; what these keep there is not for everybody who may read.
pub(crate) const KEYS: [&str; 4] = ["voice_campaigns", "call_manager", "voice_agent", "direct"];

/// Rows read at a time.
const PAGE: u32 = 1000;

/// What an API remembers of a campaign.
pub(crate) fn memory<'a>(spec: &'a CampaignSpec, key: &str) -> Option<&'a Object> {
    spec.metadata.get(key)?.as_object()
}

/// One thing that is remembered; null is as good as nothing.
pub(crate) fn remembered<'a>(spec: &'a CampaignSpec, key: &str, name: &str) -> Option<&'a Value> {
    memory(spec, key)?.get(name).filter(|value| !value.is_null())
}

/// Remembers more.
pub(crate) fn remember(spec: &mut CampaignSpec, key: &str, more: Object) {
    let memory = spec.metadata.entry(key).or_insert_with(|| json!({}));
    if let Some(memory) = memory.as_object_mut() {
        memory.extend(more);
    }
}

/// The campaign with this id, when it is the caller's and this API's. Every other one is 404 `<what> not found`.
pub(crate) async fn one(
    state: &AppState,
    principal: &Principal,
    key: &str,
    id: Option<i64>,
    what: &str,
) -> std::result::Result<CampaignRecord, Fault> {
    let missing = || Fault::not_found(what);
    let id = CampaignId(id.ok_or_else(missing)?);
    let record = principal.own_campaign(state, id).await.map_err(|fault| if fault.kind.is_none() { missing() } else { fault })?;
    if memory(&record.spec, key).is_some() { Ok(record) } else { Err(missing()) }
}

/// Every campaign of the caller that this API has made, newest first.
pub(crate) async fn all(state: &AppState, principal: &Principal, key: &str, statuses: &[CampaignStatus]) -> Result<Vec<CampaignRecord>> {
    let mut found = Vec::new();
    let mut offset = 0;
    loop {
        let query = CampaignQuery {
            statuses: statuses.to_vec(),
            organization: principal.organization,
            paging: Paging { offset, limit: PAGE },
            count: false,
            ..CampaignQuery::default()
        };
        let page = state.engine().list_campaigns(query).await?.items;
        offset += page.len() as u64;
        let last = page.len() < PAGE as usize;
        found.extend(page.into_iter().filter(|record| principal.sees(of_spec(&record.spec)) && memory(&record.spec, key).is_some()));
        if last {
            return Ok(found);
        }
    }
}

/// The contacts of an owner, from the first to the last.
pub(crate) async fn contacts(state: &AppState, owner: Owner) -> Result<Vec<Contact>> {
    let mut found: Vec<Contact> = Vec::new();
    loop {
        let after = found.last().map(|contact| contact.id);
        let query = ContactQuery { after, paging: Paging { offset: 0, limit: PAGE }, count: false, ..ContactQuery::of(owner) };
        let page = state.engine().list_contacts(query).await?.items;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}

/// The newest attempts of a campaign, at most `limit`; those that `wanted` takes.
pub(crate) async fn attempts(
    state: &AppState,
    campaign: CampaignId,
    limit: usize,
    wanted: impl Fn(&Attempt) -> bool,
) -> Result<Vec<Attempt>> {
    let mut found: Vec<Attempt> = Vec::new();
    let mut before = None;
    while found.len() < limit {
        let query = AttemptQuery {
            campaign: Some(campaign),
            before,
            paging: Paging { offset: 0, limit: PAGE },
            count: false,
            ..AttemptQuery::default()
        };
        let page = state.engine().executions(query).await?.items;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        found.extend(page.into_iter().filter(&wanted));
    }
    found.truncate(limit);
    Ok(found)
}

/// How many contacts an owner has, whatever their status.
pub(crate) async fn count(state: &AppState, owner: Owner) -> Result<u64> {
    let query = ContactQuery { paging: Paging { offset: 0, limit: 1 }, ..ContactQuery::of(owner) };
    Ok(state.engine().list_contacts(query).await?.total)
}

/// The contacts that were added last, oldest first: ids grow.
pub(crate) async fn newest(state: &AppState, owner: Owner, many: u64) -> Result<Vec<Contact>> {
    if many == 0 {
        return Ok(Vec::new());
    }
    let total = count(state, owner).await?;
    let limit = u32::try_from(many).unwrap_or(u32::MAX).min(10_000);
    let paging = Paging { offset: total.saturating_sub(u64::from(limit)), limit };
    Ok(state.engine().list_contacts(ContactQuery { paging, count: false, ..ContactQuery::of(owner) }).await?.items)
}

/// Moments as clients in JavaScript and Python both read them: UTC with a `Z`, whole seconds or milliseconds.
pub(crate) fn moment(at: Timestamp) -> String {
    let format = if at.subsec_millisecond() == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.3fZ" };
    at.strftime(format).to_string()
}

/// An amount rounded to hundredths.
pub(crate) fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}
