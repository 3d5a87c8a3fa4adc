//! The `campaign` command.
//!
//! | file | subcommand |
//! |---|---|
//! | `keys` | `keys create`, `keys list`, `keys revoke` |
//! | `serve` | `serve` |
//! | `webhooks` | `webhooks create`, `list`, `delete`, `dead`, `replay`, `verify` |
//!
//! Exit codes: 0 done, 1 it could not be done, 2 the arguments are not understood.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

#[path = "campaign/keys.rs"]
mod keys;
#[path = "campaign/serve.rs"]
mod serve;
#[path = "campaign/webhooks.rs"]
mod webhooks;

use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The campaign engine: serve it, and manage who may call.
#[derive(Parser)]
#[command(name = "campaign", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the engine and serve it over HTTP.
    Serve(serve::Serve),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Manage webhooks, and check what a receiver got.
    #[command(subcommand)]
    Webhooks(webhooks::Hooks),
}

/// Where everything durable lives.
#[derive(Args)]
struct StoreArgs {
    /// `sqlite://PATH`, `postgres://USER:PASSWORD@HOST/DATABASE`, or `memory://`.
    #[arg(long, env = "CAMPAIGN_STORE", default_value = "sqlite://campaigns.db", hide_env_values = true)]
    store: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(arguments) => {
            log(arguments.log_json);
            arguments.run().await
        }
        Command::Keys(command) => command.run().await,
        Command::Webhooks(command) => command.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("campaign: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to the standard error, `RUST_LOG` says how much.
fn log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { log.json().init() } else { log.init() }
}
