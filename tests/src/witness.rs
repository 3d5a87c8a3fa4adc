//! A store that writes into the carrier's book what it has acknowledged: after a failure, all of it must still be there.

use crate::carrier::{Book, What, monotonic};
use campaign_core::Result;
use campaign_core::async_trait;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, Owner};
use campaign_core::id::{AttemptId, CampaignId, ContactId, NodeToken};
use campaign_core::outcome::{Attempt, Outcome};
use campaign_core::policy::gates::ContactFacts;
use campaign_core::policy::limits::{Ledger, LimitScope};
use campaign_core::policy::metrics::Counts;
use campaign_core::store::*;
use jiff::Timestamp;
use std::sync::Arc;

/// Around another store.
pub struct Witness {
    inner: Arc<dyn ContactStore>,
    book: Arc<Book>,
}

impl Witness {
    /// Writes down what this store acknowledges.
    pub fn new(inner: Arc<dyn ContactStore>, book: Arc<Book>) -> Self {
        Self { inner, book }
    }

    fn write(&self, what: impl IntoIterator<Item = What>) -> Result<()> {
        self.book.write(monotonic(), what)
    }
}

/// Writes a store that stands around another one: hands every method but `claim` and `settle` to the named macro.
macro_rules! every_other_method {
    ($then:ident) => {
        $then! {
            create_campaign(new: NewCampaign) -> CampaignRecord;
            campaign(id: CampaignId) -> Option<CampaignRecord>;
            campaigns(query: CampaignQuery) -> Page<CampaignRecord>;
            save_campaign(save: SaveCampaign) -> CampaignRecord;
            delete_campaign(id: CampaignId) -> ();
            add_contacts(add: AddContacts) -> Vec<Added>;
            contact(id: ContactId) -> Option<Contact>;
            contacts(query: ContactQuery) -> Page<Contact>;
            update_contact(update: UpdateContact) -> Contact;
            remove_contacts(owner: Owner, ids: Vec<ContactId>) -> u64;
            bulk_change(change: BulkChange) -> u64;
            suppress(entries: Vec<Suppression>) -> ();
            unsuppress(keys: Vec<SuppressionKey>) -> u64;
            suppressions(query: SuppressionQuery) -> Page<Suppression>;
            register_node(node: NewNode) -> NodeLease;
            renew_node(renew: RenewNode) -> ();
            retire_node(token: NodeToken) -> ();
            nodes(now: Timestamp) -> Vec<NodeInfo>;
            placed(placed: Vec<Placed>) -> ();
            amend(attempt: AttemptId, outcome: Outcome) -> Attempt;
            take_over(request: TakeOver) -> Vec<TakenOver>;
            counts(campaign: CampaignId) -> Counts;
            attempts(query: AttemptQuery) -> Page<Attempt>;
            pending_zones(campaign: CampaignId) -> Vec<PendingZone>;
            reasons(campaign: CampaignId, now: Timestamp) -> Vec<ReasonCount>;
            facts(contact: ContactId, since: Option<Timestamp>, now: Timestamp) -> ContactFacts;
            ledgers(scopes: Vec<LimitScope>) -> Vec<Ledger>;
            timeline(query: TimelineQuery) -> Vec<TimelineBucket>;
            changes() -> u64;
            events(query: EventQuery) -> EventPage;
            put_document(put: PutDocument) -> u64;
            documents(query: DocumentQuery) -> Vec<Document>;
            delete_document(collection: String, key: String) -> bool;
            next_number(sequence: String) -> i64;
            catalog() -> Catalog;
            restore(snapshot: Snapshot) -> ();
            close() -> ();
        }
    };
}
pub(crate) use every_other_method;

/// Every other method only passes on.
macro_rules! witness {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl ContactStore for Witness {
            async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
                let claims = self.inner.claim(request).await?;
                self.write(claims.claimed.iter().map(|claimed| {
                    What::Claimed { attempt: claimed.attempt.id.0, key: Arc::clone(&claimed.attempt.key) }
                }))?;
                Ok(claims)
            }

            async fn settle(&self, request: SettleRequest) -> Result<SettleReply> {
                let settlements = Arc::clone(&request.settlements);
                let unused = |settlement: &&Settlement| matches!(settlement.end, AttemptEnd::Unused);
                self.write(settlements.iter().filter(unused).map(|settlement| What::GivingBack { attempt: settlement.attempt.0 }))?;
                let reply = self.inner.settle(request).await?;
                self.write(settlements.iter().zip(&reply.acks).map(|(settlement, ack)| match (ack, &settlement.end) {
                    (SettleAck::Stale, _) => What::Stale { attempt: settlement.attempt.0 },
                    (SettleAck::Settled, AttemptEnd::Finished(outcome)) => {
                        What::Settled { attempt: settlement.attempt.0, disposition: Some(outcome.disposition) }
                    }
                    (SettleAck::Settled, _) => What::Settled { attempt: settlement.attempt.0, disposition: None },
                }))?;
                Ok(reply)
            }

            fn wakes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
                self.inner.wakes()
            }

            $(async fn $method(&self, $($argument: $kind),*) -> Result<$answer> {
                self.inner.$method($($argument),*).await
            })+
        }
    };
}

every_other_method!(witness);
