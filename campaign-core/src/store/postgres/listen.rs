//! Wake-ups between nodes: `LISTEN` and `NOTIFY`, a hint that says nothing but "look".
//!
//! A notification inside a transaction takes a lock of the whole server at its commit, so none is sent there: one task says, on a
//! connection of its own and at most every 50 ms, that this process has committed something. Behind a pooler in transaction mode
//! nothing is heard; the engine then looks by itself every `poll_interval`.

use super::connect::Target;
use super::tx::Typed;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_postgres::{AsyncMessage, Client, Error};
use uuid::Uuid;

/// Commits this close to each other are told together.
const COALESCE: Duration = Duration::from_millis(50);
/// A silent connection is asked whether it lives.
const QUIET: Duration = Duration::from_secs(10);
/// Between two tries to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Both ends of the wake-ups of one process.
pub(super) struct Wakes {
    /// Something was committed here.
    pub(super) committed: Arc<Notify>,
    /// Moves when somebody else has committed something.
    pub(super) heard: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Wakes {
    /// Begins to listen; must be called within a Tokio runtime.
    pub(super) fn start(target: Target, schema: &str) -> Self {
        let committed = Arc::new(Notify::new());
        let (told, heard) = watch::channel(0);
        let channel = format!("campaign_{schema}");
        let work = run(target, channel, Arc::clone(&committed), told);
        #[expect(clippy::disallowed_methods, reason = "a socket of Tokio is driven by Tokio, whatever executor the engine has")]
        let task = tokio::spawn(work);
        Self { committed, heard, task }
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(target: Target, channel: String, committed: Arc<Notify>, told: watch::Sender<u64>) {
    let own = Uuid::new_v4().simple().to_string();
    loop {
        if let Err(error) = session(&target, &channel, &own, &committed, &told).await {
            // Its text may name the server; what matters is that nodes are heard less promptly.
            tracing::debug!(closed = error.is_closed(), "not listening to other nodes; trying again");
        }
        sleep(RETRY).await;
    }
}

async fn session(target: &Target, channel: &str, own: &str, committed: &Notify, told: &watch::Sender<u64>) -> Result<(), Error> {
    let connected = tokio::select! {
        connected = target.config.connect(target.tls.clone()) => connected,
        () = sleep(2 * QUIET) => return Ok(()),
    };
    let (client, mut connection) = connected?;
    let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    let hear = async {
        while let Some(message) = messages.next().await {
            match message? {
                AsyncMessage::Notification(note) if note.channel() == channel && note.payload() != own => {
                    told.send_modify(|count| *count += 1)
                }
                _ => {}
            }
        }
        Ok(())
    };
    let tell = tell(&client, channel, own, committed, told);
    tokio::select! {
        heard = hear => heard,
        told = tell => told,
    }
}

async fn tell(client: &Client, channel: &str, own: &str, committed: &Notify, told: &watch::Sender<u64>) -> Result<(), Error> {
    let listen = format!("LISTEN {channel}");
    tokio::select! {
        listening = client.batch_execute(&listen) => listening?,
        () = sleep(2 * QUIET) => return Ok(()),
    }
    // What happened before is not told again.
    told.send_modify(|count| *count += 1);
    loop {
        let params = [(&channel as &(dyn tokio_postgres::types::ToSql + Sync), channel.sql_type()), (&own, own.sql_type())];
        let asked = async {
            tokio::select! {
                () = committed.notified() => client.query_typed("SELECT pg_notify($1, $2)", &params).await.map(|_| ()),
                () = sleep(QUIET) => client.check_connection().await,
            }
        };
        // An answer that never comes ends the session, like one that says so.
        tokio::select! {
            asked = asked => asked?,
            () = sleep(2 * QUIET) => return Ok(()),
        }
        sleep(COALESCE).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "paces what goes over a socket, which is real time whatever clock the engine runs on")]
async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
