//! One life of an engine process that calls through a simulated Twilio, for the crash test.
//!
//! `twilio_worker DATABASE API [PORT]`: with a port it takes callbacks there.

use campaign_core::campaign::CampaignStatus;
use campaign_core::dialer::twilio::{TwilioConfig, TwilioDialer};
use campaign_core::store::{CampaignQuery, SqliteStore};
use campaign_core::{Engine, Result};
use campaign_tests::AtOnce;
use campaign_tests::vendors::twilio::{ACCOUNT, TOKEN};
use campaign_tests::vendors::world::Porch;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (database, api) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let port: Option<u16> = arguments.next().and_then(|port| port.parse().ok());
    let mut config = TwilioConfig::new(ACCOUNT, TOKEN).api_base(api).from_number("+12025550100").with(|config| {
        config.calls_per_second = 100;
        config.poll_interval = Duration::from_millis(100);
        config.callback_patience = Duration::from_millis(500);
        config.price_wait = Duration::ZERO;
        config.lookup_lag = Duration::from_millis(500);
        config.request_timeout = Duration::from_secs(1);
    });
    let porch = match port {
        Some(port) => Some(Porch::open(port).await),
        None => None,
    };
    if let Some(porch) = &porch {
        config = config.public_base_url(porch.url());
    }
    let engine = Engine::builder()
        .store(SqliteStore::open(&database)?)
        .dialer(TwilioDialer::new(config)?)
        .campaign_kind(AtOnce::NAME, |_: &_| Ok(Arc::new(AtOnce) as _))
        .options(|options| {
            options.lease = Duration::from_millis(500);
            options.longest_pause = Duration::from_millis(200);
        })
        .build()
        .await?;
    if let Some(porch) = &porch {
        porch.belongs_to(&engine);
    }
    for campaign in engine.list_campaigns(CampaignQuery::default()).await?.items {
        if campaign.status == CampaignStatus::Draft {
            engine.start(campaign.id).await?;
        }
        engine.wait(campaign.id).await?;
    }
    engine.close().await
}
