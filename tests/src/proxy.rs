//! A TCP proxy on the loopback interface that fails when it is told to.

#![expect(clippy::disallowed_methods, reason = "a network runs on the wall clock and on tasks of its own")]

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a proxy does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Open,
    /// Passes it on this much later, in both directions.
    Delay(Duration),
    /// Takes it and passes nothing on, as a network does that lost its route; new connections are accepted and hear nothing. What was
    /// swallowed is passed on once another mode is set, if the connection still exists then.
    BlackHole,
    /// Ends new connections at once; those that exist stay.
    Refuse,
}

/// Passes connections on to one port of this machine. Ends with its connections when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    cuts: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts one in front of this port. Call it inside of a tokio runtime.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (mode, cuts) = (watch::Sender::new(Mode::Open), watch::Sender::new(0));
        let (watched, cutting) = (mode.subscribe(), cuts.subscribe());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *watched.borrow() != Mode::Refuse {
                    let mut cut = cutting.clone();
                    cut.mark_unchanged();
                    tokio::spawn(serve(client, target, watched.clone(), cut));
                }
            }
        });
        Ok(Self { port, mode, cuts, accepting })
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it does from now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Ends every connection now. New ones are served as the mode says.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, until either side ends it, or it is cut.
async fn serve(client: TcpStream, target: u16, mode: watch::Receiver<Mode>, mut cut: watch::Receiver<u64>) {
    let both_ways = async {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            ended = pass(from_client, to_server, mode.clone()) => ended,
            ended = pass(from_server, to_client, mode) => ended,
        }
    };
    // A cut comes first: what was swallowed before it must not slip through when another mode is set right after.
    tokio::select! {
        biased;
        _ = cut.changed() => {}
        _ = both_ways => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut mode: watch::Receiver<Mode>) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let now = *mode.borrow();
        if let Mode::Delay(delay) = now {
            tokio::time::sleep(delay).await;
        }
        // An error means that the proxy is gone.
        mode.wait_for(|mode| *mode != Mode::BlackHole).await.map_err(io::Error::other)?;
        to.write_all(&buffer[..length]).await?;
    }
}
