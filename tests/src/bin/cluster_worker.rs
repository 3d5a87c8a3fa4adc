//! One engine process of the cluster tests.

use campaign_core::Result;
use campaign_tests::worker::Life;

#[tokio::main]
async fn main() -> Result<()> {
    match Life::from_arguments() {
        Some(life) => life.live().await,
        None => Err(campaign_core::Error::invalid("arguments", "this program is started by the cluster tests")),
    }
}
