//! Runs a command with a private PostgreSQL, whose URL is in `DATABASE_URL`, and ends with the command's exit status.
//!
//! `with_postgres COMMAND [ARGUMENT...]`

#![expect(clippy::print_stderr, reason = "a program talks to the person who runs it")]

use campaign_tests::postgres::Server;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with_postgres COMMAND [ARGUMENT...]");
        return ExitCode::from(2);
    };
    let server = match Server::start() {
        Ok(server) => server,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match Command::new(&program).args(arguments).env("DATABASE_URL", server.url()).status() {
        Ok(status) => ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {} cannot be run: {error}", program.display());
            ExitCode::FAILURE
        }
    }
}
