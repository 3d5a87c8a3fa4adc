//! A store whose answers get lost or come late: what it was asked for has happened, and whoever asked is told that the store cannot be
//! reached, or hears of it when something else has happened since.

use crate::witness::every_other_method;
use campaign_core::async_trait;
use campaign_core::campaign::CampaignRecord;
use campaign_core::contact::{Contact, Owner};
use campaign_core::id::{AttemptId, CampaignId, ContactId, NodeToken};
use campaign_core::outcome::{Attempt, Outcome};
use campaign_core::policy::gates::ContactFacts;
use campaign_core::policy::limits::{Ledger, LimitScope};
use campaign_core::policy::metrics::Counts;
use campaign_core::store::*;
use campaign_core::{Error, Kind, Result};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Around another store. Cheap to clone.
#[derive(Clone)]
pub struct Lossy {
    inner: Arc<dyn ContactStore>,
    /// Answers given since [`Lossy::lose`].
    given: Arc<AtomicU64>,
    lost: Arc<Mutex<(Range<u64>, Vec<&'static str>)>>,
    way: Option<Arc<dyn Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync>>,
}

impl Lossy {
    /// Loses nothing yet.
    pub fn new(inner: Arc<dyn ContactStore>) -> Self {
        Self { inner, given: Arc::default(), lost: Arc::new(Mutex::new((0..0, Vec::new()))), way: None }
    }

    /// Answers of each method take the way this future takes.
    #[must_use]
    pub fn by(mut self, way: impl Fn(&'static str) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        self.way = Some(Arc::new(way));
        self
    }

    /// Loses these answers of those given from now on; the first one is number 0.
    pub fn lose(&self, answers: Range<u64>) {
        self.given.store(0, Ordering::SeqCst);
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = (answers, Vec::new());
    }

    /// The methods whose answers were lost.
    pub fn lost(&self) -> Vec<&'static str> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    async fn answer<T>(&self, method: &'static str, answer: Result<T>) -> Result<T> {
        if let Some(way) = &self.way {
            way(method).await;
        }
        let number = self.given.fetch_add(1, Ordering::SeqCst);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.0.contains(&number) && answer.is_ok() {
            lost.1.push(method);
            return Err(Error::new(Kind::Unavailable, "the answer was lost"));
        }
        answer
    }
}

macro_rules! lossy {
    ($($method:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl ContactStore for Lossy {
            async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
                self.answer("claim", self.inner.claim(request).await).await
            }

            async fn settle(&self, request: SettleRequest) -> Result<SettleReply> {
                self.answer("settle", self.inner.settle(request).await).await
            }

            fn wakes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
                self.inner.wakes()
            }

            $(async fn $method(&self, $($argument: $kind),*) -> Result<$answer> {
                self.answer(stringify!($method), self.inner.$method($($argument),*).await).await
            })+
        }
    };
}

every_other_method!(lossy);
