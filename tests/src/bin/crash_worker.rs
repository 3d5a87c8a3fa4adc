//! One life of an engine process, for the crash test: opens the store, lets the campaign run, and dies when told to.
//!
//! `crash_worker DATABASE LOG [before-hand-off N | after-hand-off N]`: the process kills itself with SIGKILL at the N-th hand-off,
//! between the intent and the hand-off or between the hand-off and the settlement. Without a point it runs until it is killed or
//! every campaign is completed.

use campaign_core::async_trait;
use campaign_core::campaign::CampaignStatus;
use campaign_core::dialer::{
    Capabilities, CarrierProfile, DialContext, DialError, DialRequest, Dialer, FindRequest, Found, SimulatedDialer, Span, TalkTime,
};
use campaign_core::outcome::Outcome;
use campaign_core::store::{CampaignQuery, SqliteStore};
use campaign_core::{Engine, Result};
use campaign_tests::AtOnce;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Where to die.
#[derive(Clone, Copy, PartialEq)]
enum Point {
    Nowhere,
    BeforeHandOff,
    AfterHandOff,
}

struct Mortal {
    inner: SimulatedDialer,
    point: Point,
    left: AtomicI64,
}

impl Mortal {
    fn die_at(&self, point: Point) {
        if self.point == point && self.left.fetch_sub(1, Ordering::SeqCst) <= 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }
}

#[async_trait]
impl Dialer for Mortal {
    fn capabilities(&self) -> Capabilities {
        Capabilities { max_request_time: Duration::from_millis(20), ..self.inner.capabilities() }
    }

    async fn dial(&self, request: DialRequest, context: DialContext) -> Result<Outcome, DialError> {
        self.die_at(Point::BeforeHandOff);
        let mut dial = self.inner.dial(request, context);
        // The first poll writes the log; then the call is on.
        let first = futures_util::poll!(&mut dial);
        self.die_at(Point::AfterHandOff);
        match first {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => dial.await,
        }
    }

    async fn find(&self, request: FindRequest) -> Result<Found> {
        self.inner.find(request).await
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments.next().unwrap_or_default();
    let log = arguments.next().unwrap_or_default();
    let point = match arguments.next().as_deref() {
        Some("before-hand-off") => Point::BeforeHandOff,
        Some("after-hand-off") => Point::AfterHandOff,
        _ => Point::Nowhere,
    };
    let left = AtomicI64::new(arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1));
    let profile = CarrierProfile {
        ring_millis: Span { min: 1_000, max: 8_000 },
        talk: TalkTime { min_seconds: 1, mean_seconds: 10, max_seconds: 60 },
        greeting_seconds: Span { min: 1, max: 5 },
        in_doubt: 0.02,
        throttled: 0.02,
        retry_after_millis: 5,
        ..CarrierProfile::default()
    };
    let inner = SimulatedDialer::new(profile.with_speed(1000), 7).with_log(log)?;
    let engine = Engine::builder()
        .store(SqliteStore::open(&database)?)
        .dialer(Mortal { inner, point, left })
        .campaign_kind(AtOnce::NAME, |_: &_| Ok(Arc::new(AtOnce) as _))
        .options(|options| {
            options.lease = Duration::from_millis(300);
            options.longest_pause = Duration::from_millis(100);
        })
        .build()
        .await?;
    for campaign in engine.list_campaigns(CampaignQuery::default()).await?.items {
        if campaign.status == CampaignStatus::Draft {
            engine.start(campaign.id).await?;
        }
        engine.wait(campaign.id).await?;
    }
    engine.close().await
}
