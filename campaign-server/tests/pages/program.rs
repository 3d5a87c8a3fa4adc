//! The client programs of a page, run as they stand.

use super::curl::BASE;
use super::page::Page;
use super::world::World;
use campaign_core::id::CampaignId;
use campaign_tests::tree::root;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

/// Python with the packages of the project's own environment.
fn python() -> (PathBuf, Vec<&'static str>) {
    let python = root().join(".build/py/bin/python");
    assert!(python.exists(), "{} is missing: `scripts/python.sh tools` makes it", python.display());
    (python, Vec::new())
}

/// Node.js; WebSockets are built in from 22 on, and behind an option from 20.10 on.
fn node() -> (PathBuf, Vec<&'static str>) {
    let told = std::process::Command::new("node").arg("--version").output();
    let told = told.unwrap_or_else(|error| panic!("node cannot be run ({error}): install Node.js 20.10 or newer"));
    let version = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        (22.., _) => (PathBuf::from("node"), Vec::new()),
        (21, _) | (20, 10..) => (PathBuf::from("node"), vec!["--experimental-websocket"]),
        _ => panic!("Node.js 20.10 or newer is needed; this is {version:?}"),
    }
}

/// Runs the programs of a page, each beside a server of its own: when it has said its first line, the first campaign is started. It has
/// to end by itself, with what the page says it prints. Gives the blocks that were run.
pub async fn run(page: &Page) -> Vec<usize> {
    let mut done = Vec::new();
    for (index, block) in page.blocks.iter().enumerate() {
        let ((program, options), file) = match block.language.as_str() {
            "python" => (python(), "client.py"),
            "javascript" => (node(), "client.mjs"),
            _ => continue,
        };
        let output = page.block("text", "Output").unwrap_or_else(|| panic!("{}: the page has no block `text Output`", page.at(block.line)));
        let world = World::new(&page.fixture).await;
        let folder = tempfile::tempdir().unwrap();
        let address = BASE.trim_start_matches("http://");
        let path = folder.path().join(file);
        if !block.text.contains("://") {
            alone(&program, &options, &path, page, index, output);
            done.extend([index, output]);
            continue;
        }
        assert!(block.text.contains(address), "{}: the program names another address than {address}", page.at(block.line));
        std::fs::write(&path, block.text.replace(address, &world.server.address.to_string())).unwrap();
        // A key that does not work is no reason to try for ever.
        let (ok, found, errors) = watch(&program, &options, &path, &world, "cmp_wrong").await;
        assert!(!ok && found.is_empty() && errors.contains("authentication failed"), "{}: {found}\n{errors}", page.at(block.line));
        let (ok, found, errors) = watch(&program, &options, &path, &world, world.key()).await;
        assert!(ok, "{}: the program failed:\n{found}\n{errors}", page.at(block.line));
        assert_eq!(
            found.trim_end(),
            page.blocks[output].text,
            "{}: what the program printed (right: what the page says)\n{errors}",
            page.at(block.line)
        );
        done.extend([index, output]);
    }
    done
}

/// A program that needs no server.
fn alone(program: &Path, options: &[&str], path: &Path, page: &Page, block: usize, output: usize) {
    std::fs::write(path, &page.blocks[block].text).unwrap();
    let ran = std::process::Command::new(program).args(options).arg(path).stdin(Stdio::null()).output();
    let ran = ran.unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    let (said, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let place = page.at(page.blocks[block].line);
    assert!(ran.status.success(), "{place}: the program failed:\n{said}\n{errors}");
    assert_eq!(said.trim_end(), page.blocks[output].text, "{place}: what the program printed (right: what the page says)\n{errors}");
}

async fn watch(program: &Path, options: &[&str], path: &Path, world: &World, key: &str) -> (bool, String, String) {
    let mut child = Command::new(program)
        .args(options)
        .arg(path)
        .env("CAMPAIGN_API_KEY", key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    let (mut said, mut errors) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    let mut found = String::new();
    if said.read_line(&mut found).await.unwrap() > 0 {
        world.ask("POST", &format!("/api/v1/campaigns/{}/start", CampaignId(1).0), None).await;
        said.read_to_string(&mut found).await.unwrap();
    }
    child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
    (child.wait().await.unwrap().success(), found, errors)
}
