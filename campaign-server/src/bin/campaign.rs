//! The `campaign` command. `docs/command.md` describes it for people.
//!
//! | file | subcommands |
//! |---|---|
//! | `run`, `watch` | `run`: a file imported and run, what is seen meanwhile, Ctrl-C |
//! | `import` | `import`, and the options of files that `run` and `suppress` have as well |
//! | `look` | `preview`, `lint`, `simulate` |
//! | `status` | `status`, `explain` |
//! | `export` | `export` |
//! | `suppress` | `suppress add`, `remove`, `list`, `check`, `import` |
//! | `stores` | `migrate`, `copy-store` |
//! | `serve`, `keys`, `webhooks` | those |
//! | `settings` | `config check`, `config keys` |
//! | `telemetry` | traces of `serve` and `run` |
//! | `common` | what all share: configuration, the engine beside the nodes, output, exit codes |

#[path = "campaign/common.rs"]
mod common;
#[path = "campaign/export.rs"]
mod export;
#[path = "campaign/import.rs"]
mod import;
#[path = "campaign/keys.rs"]
mod keys;
#[path = "campaign/look.rs"]
mod look;
#[path = "campaign/run.rs"]
mod run;
#[path = "campaign/serve.rs"]
mod serve;
#[path = "campaign/settings.rs"]
mod settings;
#[path = "campaign/status.rs"]
mod status;
#[path = "campaign/stores.rs"]
mod stores;
#[path = "campaign/suppress.rs"]
mod suppress;
#[path = "campaign/telemetry.rs"]
mod telemetry;
#[path = "campaign/watch.rs"]
mod watch;
#[path = "campaign/webhooks.rs"]
mod webhooks;

use clap::{CommandFactory, Parser, Subcommand};
use common::{Done, EXIT_CODES, Globals, Session};
use std::io::Write;
use std::process::ExitCode;

/// The campaign engine: run campaigns, serve them, and look after them.
#[derive(Parser)]
#[command(name = "campaign", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the engine and serve it over HTTP.
    Serve(serve::Serve),
    /// Make a campaign of a file of contacts and run it; the same command again goes on where it was.
    Run(run::Run),
    /// Import a file of contacts into a campaign or a contact list.
    Import(import::Import),
    /// Show what people would hear or read.
    Preview(look::Preview),
    /// Look for mistakes in a campaign's templates.
    Lint(look::Lint),
    /// Play a campaign through without dialing anybody.
    Simulate(look::Simulate),
    /// Show campaigns and nodes, or how far a campaign is.
    Status(status::Status),
    /// Say why a campaign, or a contact, is or is not being reached.
    Explain(status::Explain),
    /// Write the results of a campaign as CSV or JSON.
    Export(export::Export),
    /// Look after the suppression list: who is not to be contacted.
    #[command(subcommand)]
    Suppress(suppress::Suppress),
    /// Create, list and revoke API keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Manage webhooks, and check what a receiver got.
    #[command(subcommand)]
    Webhooks(webhooks::Hooks),
    /// Make the store ready for this version.
    Migrate(stores::Migrate),
    /// Copy everything from one store to another.
    CopyStore(stores::CopyStore),
    /// Check the configuration, and list what it may hold.
    #[command(subcommand)]
    Config(settings::Settings),
    /// Print a script that completes this command in a shell.
    Completions(Completions),
}

/// Arguments of `completions`.
#[derive(clap::Args)]
struct Completions {
    /// Which shell.
    shell: clap_complete::Shell,
}

impl Completions {
    fn run(&self) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "campaign", &mut script);
        std::io::stdout().write_all(&script).map_err(common::written)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return common::misunderstood(&error),
    };
    let session = Session::new(cli.globals);
    let done = execute(cli.command, &session).await;
    let as_json = session.json;
    // Who has been told to end at once does.
    if !matches!(done, Err(common::Failure::Said(130))) {
        session.end().await;
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.told(as_json),
    }
}

async fn execute(command: Command, session: &Session) -> Done {
    match command {
        Command::Serve(arguments) => arguments.run(session).await,
        Command::Run(arguments) => arguments.run(session).await,
        Command::Import(arguments) => arguments.run(session).await,
        Command::Preview(arguments) => arguments.run(session).await,
        Command::Lint(arguments) => arguments.run(session).await,
        Command::Simulate(arguments) => arguments.run(session).await,
        Command::Status(arguments) => arguments.run(session).await,
        Command::Explain(arguments) => arguments.run(session).await,
        Command::Export(arguments) => arguments.run(session).await,
        Command::Suppress(command) => command.run(session).await,
        Command::Keys(command) => command.run(session).await,
        Command::Webhooks(command) => command.run(session).await,
        Command::Migrate(arguments) => arguments.run(session).await,
        Command::CopyStore(arguments) => arguments.run(session).await,
        Command::Config(command) => command.run(session),
        Command::Completions(arguments) => arguments.run(),
    }
}
