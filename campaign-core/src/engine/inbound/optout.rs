//! Opting out, opting in again, and asking who is writing.

use super::book::{self, Entry};
use super::outgoing::{self, Draft};
use crate::campaign::{CampaignRecord, CampaignSpec, CampaignStatus, OptOutScope};
use crate::contact::{Contact, ContactStatus, Owner, Reason};
use crate::conversation::{self, Author, ConversationKey};
use crate::engine::core::Core;
use crate::event::EventKind;
use crate::id::{CampaignId, ContactId};
use crate::outcome::Channel;
use crate::phone::PhoneNumber;
use crate::policy::transition::{self, ContactEvent};
use crate::store::{CampaignQuery, ContactQuery, Paging, Suppression, SuppressionKey, SuppressionQuery, SuppressionScope, UpdateContact};
use crate::{Kind, Result};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The reason of every suppression that the person asked for.
const OPTED_OUT: &str = "opted_out";
/// Sources of suppressions that an opt-in takes back: the person's own word, here or at the carrier.
const SMS: &str = "sms_reply";
const WHATSAPP: &str = "whatsapp_reply";
pub(super) const CARRIER: &str = "carrier";
/// A dialer's outcome: the carrier's list, or the person on the phone.
pub(super) const OUTCOME: &str = "outcome";
/// The assistant understood it so.
pub(crate) const ASSISTANT: &str = "assistant";
const OWN: [&str; 5] = [SMS, WHATSAPP, CARRIER, OUTCOME, ASSISTANT];

/// A confirmation must be there within five minutes (47 CFR 64.1200(a)(12)).
const CONFIRMS_WITHIN: Duration = Duration::from_secs(300);

/// A message from a person, and whom it is about.
pub(super) struct Asked<'a> {
    pub(super) key: &'a ConversationKey,
    /// The provider's id of the message.
    pub(super) id: &'a str,
    pub(super) at: Timestamp,
    /// The language of the word, when it told.
    pub(super) language: Option<&'static str>,
    pub(super) confirmed_by_carrier: bool,
    pub(super) record: Option<&'a CampaignRecord>,
    pub(super) contact: Option<ContactId>,
}

impl Asked<'_> {
    fn language(&self) -> &'static str {
        self.language.unwrap_or_else(|| conversation::language_of(self.key.person.region().as_deref()))
    }

    fn spec(&self) -> Option<&CampaignSpec> {
        self.record.map(|record| &*record.spec)
    }

    fn campaign(&self) -> Option<CampaignId> {
        self.record.map(|record| record.id)
    }

    async fn say(&self, core: &Arc<Core>, what: &str, text: String, to_opted_out: bool) -> Result<()> {
        if text.trim().is_empty() || core.dialer.callbacks().is_none() {
            return Ok(());
        }
        let draft = Draft {
            key: self.key.clone(),
            unique: format!("{what}-{}-{}", self.key.channel, self.id),
            author: Author::Engine,
            text,
            campaign: self.campaign(),
            contact: self.contact,
            valid_for: CONFIRMS_WITHIN,
            to_opted_out,
        };
        match outgoing::send(core, draft).await {
            Ok(_) => Ok(()),
            // Begun before, refused, or in doubt: said where watchers see it, and never repeated.
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::Provider | Kind::State) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn source(channel: Channel) -> &'static str {
    if channel == Channel::WhatsApp { WHATSAPP } else { SMS }
}

/// STOP. Everything in it may be done again.
pub(super) async fn out(core: &Arc<Core>, asked: &Asked<'_>) -> Result<()> {
    let entry = book::change(core, asked.key, |entry| {
        // Older than the last opt-in: this word was taken back since.
        let overtaken = entry.opted_in.as_ref().is_some_and(|(at, _)| *at > asked.at);
        let first = entry.opted_out_by.is_none() && !overtaken;
        if first {
            entry.conversation.opted_out_at = Some(asked.at);
            entry.opted_out_by = Some(asked.id.to_owned());
        }
        first
    })
    .await?;
    if entry.opted_out_by.is_none() {
        return Ok(());
    }
    leave(core, &asked.key.person, asked.campaign(), asked.contact, source(asked.key.channel)).await?;
    if entry.opted_out_by.as_deref() != Some(asked.id) || asked.confirmed_by_carrier {
        return Ok(());
    }
    let own = asked.spec().and_then(|spec| spec.replies.opt_out_confirmation.clone());
    let text = own.unwrap_or_else(|| conversation::opted_out(asked.language()));
    asked.say(core, "opt-out", text, true).await
}

/// The assistant understood that the person wants to be left alone: as [`out`].
pub(crate) async fn understood(
    core: &Arc<Core>,
    key: &ConversationKey,
    record: &CampaignRecord,
    contact: ContactId,
    id: &str,
    at: Timestamp,
) -> Result<()> {
    if key.channel == Channel::Call {
        return leave(core, &key.person, Some(record.id), Some(contact), ASSISTANT).await;
    }
    let asked = Asked { key, id, at, language: None, confirmed_by_carrier: false, record: Some(record), contact: Some(contact) };
    out(core, &asked).await
}

/// START. `false`: there was nothing to take back, so it is a message like any other.
pub(super) async fn back(core: &Arc<Core>, asked: &Asked<'_>) -> Result<bool> {
    let mut taken_back = false;
    let before = book::change(core, asked.key, |entry| {
        let newer = entry.conversation.opted_out_at.is_some_and(|at| at < asked.at);
        taken_back = newer || entry.opted_in.as_ref().is_some_and(|(_, id)| id == asked.id);
        if newer {
            entry.conversation.opted_out_at = None;
            entry.opted_out_by = None;
            entry.opted_in = Some((asked.at, asked.id.to_owned()));
        }
        newer
    })
    .await?;
    let keys = own_suppressions(core, &before, asked.at).await?;
    if !taken_back && keys.is_empty() {
        return Ok(false);
    }
    if !keys.is_empty() {
        core.guarded(core.store.unsuppress(keys)).await?;
        core.changed();
    }
    if !asked.confirmed_by_carrier {
        asked.say(core, "opt-in", conversation::opted_in(asked.language()), false).await?;
    }
    Ok(true)
}

/// Suppressions that the person's own opt-out made: of everything, and of the campaigns that wrote in this conversation with their
/// organisations.
async fn own_suppressions(core: &Arc<Core>, entry: &Entry, before: Timestamp) -> Result<Vec<SuppressionKey>> {
    let found = entries_of(core, &entry.conversation.key.person).await?;
    let mut organizations = Vec::new();
    for writer in &entry.writers {
        organizations.extend(organization_of(core, writer.campaign).await?);
    }
    let covers = |scope: SuppressionScope| match scope {
        SuppressionScope::Campaign(id) => entry.writers.iter().any(|writer| writer.campaign == id),
        SuppressionScope::Organization(id) => organizations.contains(&id),
        SuppressionScope::Everything => true,
    };
    let own = |found: &Suppression| {
        found.reason == OPTED_OUT && found.created_at <= before && found.source.as_deref().is_some_and(|source| OWN.contains(&source))
    };
    Ok(found
        .iter()
        .filter(|found| own(found) && covers(found.scope))
        .map(|found| SuppressionKey { phone: found.phone.clone(), scope: found.scope })
        .collect())
}

async fn entries_of(core: &Arc<Core>, person: &PhoneNumber) -> Result<Vec<Suppression>> {
    let paging = Paging { offset: 0, limit: 1_000 };
    let query = SuppressionQuery { phone: Some(person.clone()), paging, ..SuppressionQuery::default() };
    Ok(core.guarded(core.store.suppressions(query)).await?.items)
}

/// HELP.
pub(super) async fn help(core: &Arc<Core>, asked: &Asked<'_>) -> Result<()> {
    if asked.confirmed_by_carrier {
        return Ok(());
    }
    let own = asked.spec().and_then(|spec| spec.replies.help_message.clone());
    let text = match (own, asked.spec()) {
        (Some(text), _) => text,
        (None, Some(spec)) => conversation::help(asked.language(), &spec.name),
        // Nobody of ours wrote to this person, so there is nothing to say about it.
        (None, None) => return Ok(()),
    };
    asked.say(core, "help", text, false).await
}

/// Whether the person gets nothing any more: from anybody, or from this campaign.
pub(crate) async fn is_out(core: &Arc<Core>, person: &PhoneNumber, campaign: Option<CampaignId>, now: Timestamp) -> Result<bool> {
    let organization = match campaign {
        Some(id) => organization_of(core, id).await?,
        None => None,
    };
    let covers = |scope: SuppressionScope| match scope {
        SuppressionScope::Campaign(id) => Some(id) == campaign,
        SuppressionScope::Organization(id) => Some(id) == organization,
        SuppressionScope::Everything => true,
    };
    Ok(entries_of(core, person).await?.iter().any(|entry| covers(entry.scope) && entry.expires_at.is_none_or(|at| at > now)))
}

async fn organization_of(core: &Arc<Core>, campaign: CampaignId) -> Result<Option<i64>> {
    Ok(core.guarded(core.store.campaign(campaign)).await?.and_then(|record| record.spec.organization))
}

/// What opting out of a campaign covers. Of whom nobody wrote to, everything: which organisation is meant nobody can say.
fn scope_of(record: Option<&CampaignRecord>) -> SuppressionScope {
    match record {
        Some(record) if record.spec.replies.opt_out_scope == OptOutScope::Campaign => SuppressionScope::Campaign(record.id),
        Some(record) => SuppressionScope::of(record.spec.organization),
        None => SuppressionScope::Everything,
    }
}

/// Suppresses a person at once and ends what waits for them. Returns when no further hand-off happens.
pub(crate) async fn leave(
    core: &Arc<Core>,
    person: &PhoneNumber,
    campaign: Option<CampaignId>,
    contact: Option<ContactId>,
    source: &str,
) -> Result<()> {
    let now = core.now();
    let record = match campaign {
        Some(id) => core.guarded(core.store.campaign(id)).await?,
        None => None,
    };
    let scope = scope_of(record.as_ref());
    // One that somebody else made, and that never ends, stays theirs: an opt-in must not take it back.
    let stands = entries_of(core, person).await?.iter().any(|entry| entry.scope == scope && entry.expires_at.is_none());
    if !stands {
        let entry = Suppression {
            phone: person.clone(),
            scope,
            reason: OPTED_OUT.to_owned(),
            source: Some(source.to_owned()),
            created_at: now,
            expires_at: None,
        };
        core.guarded(core.store.suppress(vec![entry])).await?;
    }
    core.changed();
    core.acknowledge().await;
    if !stands {
        core.hub.send(campaign.unwrap_or(CampaignId(0)), now, EventKind::OptedOut { contact_id: contact });
    }
    if let Some(contact) = contact {
        skip(core, contact).await?;
    }
    spread(core, person.clone(), scope);
    Ok(())
}

/// Ends what waits for the person in every campaign the scope covers. In a task of its own, because lists are long; what it does
/// not reach (a crash) the suppression gate stops when it is due.
pub(crate) fn spread(core: &Arc<Core>, person: PhoneNumber, scope: SuppressionScope) {
    let here = Arc::clone(core);
    core.spawn(async move {
        if let Err(error) = skip_everywhere(&here, &person, scope).await {
            tracing::warn!(%error, "contacts of a person who opted out are pending still; the suppression list stops them");
        }
    });
}

async fn skip_everywhere(core: &Arc<Core>, person: &PhoneNumber, scope: SuppressionScope) -> Result<()> {
    let mut offset = 0;
    loop {
        let statuses = vec![CampaignStatus::Draft, CampaignStatus::Scheduled, CampaignStatus::Running, CampaignStatus::Paused];
        let paging = Paging { offset, limit: 1_000 };
        let query = CampaignQuery { statuses, paging, organization: scope.organization(), ..CampaignQuery::default() };
        let page = core.guarded(core.store.campaigns(query)).await?.items;
        for record in &page {
            if matches!(scope, SuppressionScope::Campaign(id) if id != record.id) {
                continue;
            }
            let query = ContactQuery {
                statuses: vec![ContactStatus::Pending],
                search: Some(person.as_str().to_owned()),
                count: false,
                ..ContactQuery::of(Owner::Campaign(record.id))
            };
            for contact in core.guarded(core.store.contacts(query)).await?.items {
                if contact.person.phone == *person {
                    skip(core, contact.id).await?;
                }
            }
        }
        offset += page.len() as u64;
        if page.len() < 1_000 {
            return Ok(());
        }
    }
}

/// Ends a pending contact. One in progress is looked at again by the gates before its hand-off, and by its policy after it.
async fn skip(core: &Arc<Core>, id: ContactId) -> Result<()> {
    for _ in 0..100 {
        let Some(contact) = core.guarded(core.store.contact(id)).await? else { return Ok(()) };
        let Contact { state, owner, .. } = &contact;
        let Owner::Campaign(campaign) = *owner else { return Ok(()) };
        if state.status != ContactStatus::Pending {
            return Ok(());
        }
        let update = UpdateContact {
            id,
            expected_version: state.version,
            transition: Some(transition::contact(state.status, ContactEvent::Finish(ContactStatus::Skipped))?),
            reason: Some(Reason::new(OPTED_OUT, "The person asked not to be contacted again.")),
            due_at: None,
            step: None,
            replied_at: None,
            now: core.now(),
        };
        match core.guarded(core.store.update_contact(update)).await {
            Ok(_) => {
                core.changed();
                core.look_by(campaign, core.now());
                return Ok(());
            }
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::State) => {}
            Err(error) if error.kind() == Kind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
