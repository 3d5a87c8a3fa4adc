//! Everything of one store into another: moving to another database, a backup, a simulation.

use super::{AttemptQuery, CampaignQuery, ContactQuery, ContactStore, DocumentQuery, Paging, Snapshot, SuppressionKey, SuppressionQuery};
use crate::Result;
use crate::contact::Owner;
use crate::id::ListId;

/// Records per page.
const PAGE: u32 = 2_000;
/// The collection that names contact lists; its keys are their ids.
pub(crate) const LISTS: &str = "contact_list";

/// How much was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Campaigns.
    pub campaigns: u64,
    /// Contacts of campaigns and contact lists.
    pub contacts: u64,
    /// Attempts, open ones too.
    pub attempts: u64,
    /// Suppressions.
    pub suppressions: u64,
    /// Documents, contact lists among them.
    pub documents: u64,
}

/// Copies everything from one store to another, page by page, ids included; what `to` holds under the same ids is replaced.
/// Sequences and ledgers come along, so limits and ids go on where they were. Nothing else may write to either store meanwhile.
///
/// # Errors
/// What either store reports; a copy that was interrupted can be begun anew.
pub async fn copy_store(from: &dyn ContactStore, to: &dyn ContactStore) -> Result<Copied> {
    let mut copied = Copied::default();
    loop {
        let paging = Paging { offset: copied.campaigns, limit: PAGE };
        let campaigns = from.campaigns(CampaignQuery { paging, ..CampaignQuery::default() }).await?.items;
        if campaigns.is_empty() {
            break;
        }
        copied.campaigns += campaigns.len() as u64;
        let ids: Vec<_> = campaigns.iter().map(|record| record.id).collect();
        to.restore(Snapshot { campaigns, ..Snapshot::default() }).await?;
        for id in ids {
            copied.contacts += contacts(from, to, Owner::Campaign(id)).await?;
            copied.attempts += attempts(from, to, id).await?;
        }
    }
    copied.suppressions = suppressions(from, to).await?;
    let catalog = from.catalog().await?;
    for collection in catalog.collections {
        copied.documents += documents(from, to, &collection, &mut copied.contacts).await?;
    }
    let ledgers = catalog.scopes.iter().cloned().zip(from.ledgers(catalog.scopes.clone()).await?).collect();
    to.restore(Snapshot { sequences: catalog.sequences, ledgers, ..Snapshot::default() }).await?;
    Ok(copied)
}

async fn contacts(from: &dyn ContactStore, to: &dyn ContactStore, owner: Owner) -> Result<u64> {
    let (mut count, mut after) = (0, None);
    loop {
        let query = ContactQuery { after, paging: Paging { offset: 0, limit: PAGE }, count: false, ..ContactQuery::of(owner) };
        let contacts = from.contacts(query).await?.items;
        let Some(last) = contacts.last() else { return Ok(count) };
        after = Some(last.id);
        count += contacts.len() as u64;
        to.restore(Snapshot { contacts, ..Snapshot::default() }).await?;
    }
}

async fn attempts(from: &dyn ContactStore, to: &dyn ContactStore, campaign: crate::id::CampaignId) -> Result<u64> {
    let (mut count, mut before) = (0, None);
    loop {
        let paging = Paging { offset: 0, limit: PAGE };
        let attempts = from.attempts(AttemptQuery { campaign: Some(campaign), before, paging, ..AttemptQuery::default() }).await?.items;
        let Some(last) = attempts.last() else { return Ok(count) };
        before = Some(last.id);
        count += attempts.len() as u64;
        to.restore(Snapshot { attempts, ..Snapshot::default() }).await?;
    }
}

/// Copies the suppression list; returns how many entries.
pub(crate) async fn suppressions(from: &dyn ContactStore, to: &dyn ContactStore) -> Result<u64> {
    let (mut count, mut after) = (0, None);
    loop {
        let query = SuppressionQuery { after: after.take(), paging: Paging { offset: 0, limit: PAGE }, ..SuppressionQuery::default() };
        let suppressions = from.suppressions(query).await?.items;
        let Some(last) = suppressions.last() else { return Ok(count) };
        after = Some(SuppressionKey { phone: last.phone.clone(), scope: last.scope });
        count += suppressions.len() as u64;
        to.restore(Snapshot { suppressions, ..Snapshot::default() }).await?;
    }
}

/// Copies a collection; of contact lists their contacts, too.
async fn documents(from: &dyn ContactStore, to: &dyn ContactStore, collection: &str, people: &mut u64) -> Result<u64> {
    let (mut count, mut after) = (0, None);
    loop {
        let query = DocumentQuery { collection: collection.to_owned(), key: None, after: after.take(), limit: PAGE };
        let documents = from.documents(query).await?;
        let Some(last) = documents.last() else { return Ok(count) };
        after = Some(last.key.clone());
        count += documents.len() as u64;
        if collection == LISTS {
            for id in documents.iter().filter_map(|document| document.key.parse().ok()) {
                *people += contacts(from, to, Owner::List(ListId(id))).await?;
            }
        }
        let documents = documents.into_iter().map(|document| (collection.to_owned(), document)).collect();
        to.restore(Snapshot { documents, ..Snapshot::default() }).await?;
    }
}
