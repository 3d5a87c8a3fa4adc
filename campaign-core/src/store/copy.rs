//! Everything of one store into another: moving to another database, a backup, a simulation.

use super::{
    Attempt, AttemptQuery, CampaignQuery, ContactQuery, ContactStore, DocumentQuery, Paging, Snapshot, SuppressionKey, SuppressionQuery,
};
use crate::contact::{Contact, Owner};
use crate::error::{Error, Kind, Result};
use crate::id::{AttemptId, CampaignId, ContactId, ListId};
use std::collections::HashSet;

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

/// Copies everything from one store to another, page by page, ids included. Campaigns and contact lists that `to` holds under the same ids
/// are replaced with all their contacts and attempts. Sequences and ledgers come along, so limits and ids go on where they were. Nothing else
/// may write to either store meanwhile.
///
/// # Errors
/// [`Kind::Conflict`], before anything is written, when a campaign or a list that only `to` has holds a contact or an attempt under the id of
/// one of `from`. Else what either store reports; a copy that was interrupted can be begun anew.
pub async fn copy_store(from: &dyn ContactStore, to: &dyn ContactStore) -> Result<Copied> {
    make_room(from, to).await?;
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

/// Empties what is replaced, after a look at what stays.
async fn make_room(from: &dyn ContactStore, to: &dyn ContactStore) -> Result<()> {
    let (come, there) = (owners(from).await?, owners(to).await?);
    let (stay, go): (Vec<Owner>, Vec<Owner>) = there.into_iter().partition(|owner| !come.contains(owner));
    look_for_clashes(from, come, to, stay).await?;
    for owner in go {
        empty(to, owner).await?;
    }
    Ok(())
}

/// Campaigns and contact lists.
async fn owners(store: &dyn ContactStore) -> Result<HashSet<Owner>> {
    let mut found = HashSet::new();
    let mut offset = 0;
    loop {
        let paging = Paging { offset, limit: PAGE };
        let campaigns = store.campaigns(CampaignQuery { paging, ..CampaignQuery::default() }).await?.items;
        if campaigns.is_empty() {
            break;
        }
        offset += campaigns.len() as u64;
        found.extend(campaigns.into_iter().map(|record| Owner::Campaign(record.id)));
    }
    let mut after = None;
    loop {
        let query = DocumentQuery { collection: LISTS.to_owned(), key: None, after: after.take(), limit: PAGE };
        let lists = store.documents(query).await?;
        let Some(last) = lists.last() else { return Ok(found) };
        after = Some(last.key.clone());
        found.extend(lists.iter().filter_map(|list| list.key.parse().ok()).map(|id| Owner::List(ListId(id))));
    }
}

/// Ids are of the whole store: a record under the id of one that stays would be taken out of the campaign or the list that it is in.
async fn look_for_clashes(from: &dyn ContactStore, come: HashSet<Owner>, to: &dyn ContactStore, stay: Vec<Owner>) -> Result<()> {
    let mut taken = HashSet::new();
    walk(to, stay, |id| {
        taken.insert(id);
        Ok(())
    })
    .await?;
    if taken.is_empty() {
        return Ok(());
    }
    walk(from, come, |id| match id {
        _ if !taken.contains(&id) => Ok(()),
        Id::Contact(id) => Err(clash().with("contact", id)),
        Id::Attempt(id) => Err(clash().with("attempt", id)),
    })
    .await
}

/// What has an id that is unique in its store.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Id {
    Contact(ContactId),
    Attempt(AttemptId),
}

/// Every contact and attempt of these campaigns and lists.
async fn walk(store: &dyn ContactStore, owners: impl IntoIterator<Item = Owner>, mut each: impl FnMut(Id) -> Result<()>) -> Result<()> {
    for owner in owners {
        let mut after = None;
        loop {
            let page = contact_page(store, owner, after).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            page.iter().try_for_each(|contact| each(Id::Contact(contact.id)))?;
        }
        let Owner::Campaign(campaign) = owner else { continue };
        let mut before = None;
        loop {
            let page = attempt_page(store, campaign, before).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            page.iter().try_for_each(|attempt| each(Id::Attempt(attempt.id)))?;
        }
    }
    Ok(())
}

fn clash() -> Error {
    let message = "the store that is copied to holds another campaign or contact list with contacts or attempts under the same numbers; \
                   nothing was copied: copy into an empty store";
    Error::new(Kind::Conflict, message)
}

/// Removes a campaign, or the contacts of a list, whose document is replaced.
async fn empty(store: &dyn ContactStore, owner: Owner) -> Result<()> {
    if let Owner::Campaign(id) = owner {
        return store.delete_campaign(id).await;
    }
    let mut after = None;
    loop {
        let page = contact_page(store, owner, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        store.remove_contacts(owner, page.into_iter().map(|contact| contact.id).collect()).await?;
    }
}

async fn contact_page(store: &dyn ContactStore, owner: Owner, after: Option<ContactId>) -> Result<Vec<Contact>> {
    let query = ContactQuery { after, paging: Paging { offset: 0, limit: PAGE }, count: false, ..ContactQuery::of(owner) };
    Ok(store.contacts(query).await?.items)
}

async fn attempt_page(store: &dyn ContactStore, campaign: CampaignId, before: Option<AttemptId>) -> Result<Vec<Attempt>> {
    let paging = Paging { offset: 0, limit: PAGE };
    let query = AttemptQuery { campaign: Some(campaign), before, paging, ..AttemptQuery::default() };
    Ok(store.attempts(query).await?.items)
}

async fn contacts(from: &dyn ContactStore, to: &dyn ContactStore, owner: Owner) -> Result<u64> {
    let (mut count, mut after) = (0, None);
    loop {
        let contacts = contact_page(from, owner, after).await?;
        let Some(last) = contacts.last() else { return Ok(count) };
        after = Some(last.id);
        count += contacts.len() as u64;
        to.restore(Snapshot { contacts, ..Snapshot::default() }).await?;
    }
}

async fn attempts(from: &dyn ContactStore, to: &dyn ContactStore, campaign: CampaignId) -> Result<u64> {
    let (mut count, mut before) = (0, None);
    loop {
        let attempts = attempt_page(from, campaign, before).await?;
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
