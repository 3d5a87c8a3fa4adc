//! Open WebSockets: how many there are, and on which campaign; and what they are told.

mod feed;

pub use feed::Feeds;
pub(crate) use feed::{Heard, Notice, Subscription, look_up};

use campaign_core::id::CampaignId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Counts open WebSockets of this process.
#[derive(Debug, Clone)]
pub struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    of_campaign: BTreeMap<CampaignId, usize>,
}

impl Sockets {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, open: Mutex::default() }))
    }

    /// Counts one more, until the ticket is dropped; `None` when there are as many as there may be.
    pub(crate) fn enter(&self, campaign: Option<CampaignId>) -> Option<Ticket> {
        let mut open = self.0.open.lock();
        if open.total >= self.0.most {
            return None;
        }
        open.total += 1;
        if let Some(campaign) = campaign {
            *open.of_campaign.entry(campaign).or_default() += 1;
        }
        Some(Ticket { sockets: self.clone(), campaign })
    }

    /// How many are open.
    pub fn total(&self) -> usize {
        self.0.open.lock().total
    }

    /// How many watch this campaign.
    pub fn of(&self, campaign: CampaignId) -> usize {
        self.0.open.lock().of_campaign.get(&campaign).copied().unwrap_or_default()
    }
}

/// One open WebSocket.
#[derive(Debug)]
pub(crate) struct Ticket {
    sockets: Sockets,
    campaign: Option<CampaignId>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.sockets.0.open.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(campaign) = self.campaign
            && let Some(count) = open.of_campaign.get_mut(&campaign)
        {
            *count -= 1;
            if *count == 0 {
                open.of_campaign.remove(&campaign);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_counted_while_they_are_open() {
        let sockets = Sockets::new(2);
        let one = sockets.enter(Some(CampaignId(1))).unwrap();
        let two = sockets.enter(None).unwrap();
        assert!(sockets.enter(None).is_none());
        assert_eq!((sockets.total(), sockets.of(CampaignId(1)), sockets.of(CampaignId(2))), (2, 1, 0));
        drop(one);
        drop(two);
        assert_eq!((sockets.total(), sockets.of(CampaignId(1))), (0, 0));
    }
}
