//! Outgoing webhooks: what happens, told to addresses of others.
//!
//! Every event of the store (contacts, calls, states and budgets of campaigns) is written into an outbox before the store's own stream is
//! read on, so a crash loses none. Errors, messages received and opt-outs are no events of the store: the node that saw one puts it into
//! the outbox, and a crash in between loses the telling, never the message or the opt-out.
//!
//! Each delivery is signed as [Standard Webhooks](https://www.standardwebhooks.com) says, repeated with growing pauses over a day, and kept
//! as a dead letter when nobody took it by then. A delivery may come twice (a receiver took it and its answer was lost); both carry the same
//! `webhook-id`.
//!
//! Campaigns of API 2 bring addresses of their own, with words and a signature of their own: `api/voice_campaigns/hooks`.
//!
//! | file | what is in it |
//! |---|---|
//! | `endpoint` | who is told, of what, under which secret |
//! | `event` | the names of events, and from the engine's events to what is said of them |
//! | `book` | endpoints and dead letters as they are managed; the collections of the store |
//! | `outbox` | deliveries that wait: queued, leased, put off, buried |
//! | `pump` | from the store's events to the outbox |
//! | `sender` | from the outbox to the receivers |
//! | `verify` | whether a delivery is genuine, for receivers |

mod book;
mod endpoint;
mod event;
mod outbox;
mod pump;
mod sender;
mod verify;

pub use book::{DeadLetter, Webhooks};
pub use endpoint::{Endpoint, EndpointPatch, NewEndpoint};
pub use event::EventName;
pub use sender::{ATTEMPTS, RETRY_AFTER};
pub(crate) use verify::sign_v0;
pub use verify::verify;

use campaign_core::Engine;
use futures_util::future::{Either, select};
use std::pin::pin;
use tokio::sync::watch;

/// Works for so long as the engine runs and `alive` is not dropped at the other end.
pub(crate) fn start(engine: &Engine, webhooks: &Webhooks, options: &crate::ServerOptions, alive: watch::Receiver<()>) {
    let reach = options.webhook_reach;
    let timeout = options.webhook_timeout;
    match sender::Sender::new(engine.clone(), webhooks.clone(), reach, timeout) {
        Ok(sender) => spawn(engine, alive.clone(), sender.run()),
        Err(error) => tracing::error!(%error, "webhooks cannot be sent; they wait in the store"),
    }
    spawn(engine, alive, pump::run(engine.clone(), webhooks.clone()));
}

fn spawn(engine: &Engine, mut alive: watch::Receiver<()>, work: impl Future<Output = ()> + Send + 'static) {
    let stopped = engine.clone();
    engine.executor().spawn(Box::pin(async move {
        let over = async {
            // Nothing is ever sent: it resolves when the sender is gone.
            match select(pin!(alive.changed()), pin!(stopped.stopped())).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        };
        select(pin!(over), pin!(work)).await;
    }));
}
