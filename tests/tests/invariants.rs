//! The invariants of ARCHITECTURE.md that can be seen by reading the tree and the dependency graph.

use campaign_tests::tree::{self, Source, cargo_json, crate_paths, read, root, rust_sources};
use std::collections::{BTreeMap, BTreeSet};

/// Which floor each room of `campaign-core/src` stands on. A room imports from its own floor and from those below it.
const FLOORS: &[(u32, &[&str])] = &[
    (0, &["redact", "error", "id", "phone", "contact", "outcome", "status", "event"]),
    (1, &["campaign", "conversation", "template", "schedule", "policy"]),
    (2, &["store", "dialer", "http", "import", "executor", "assistant"]),
    (3, &["engine"]),
    (4, &["testkit", "simulate", "wire"]),
];

/// Rooms that only decide.
const PURE: &[&str] = &["campaign", "conversation", "template", "schedule", "policy"];

/// Files that may lift a ban of `clippy.toml`, each for a reason stated there.
const MAY_LIFT_BANS: &[&str] = &["campaign-core/src/executor/", "campaign-core/src/store/postgres/", "campaign-core/src/store/sqlite/"];

/// Tests and demos that choose a moment in the life of other processes, or wait for a database or a network, which no virtual clock
/// reaches; the demo's own executor, whose business is to sleep; and the store's pace over a socket.
const MAY_WAIT: &[&str] = &[
    "campaign-core/src/store/postgres/listen.rs",
    "examples/src/bin/demo_cluster.rs",
    "examples/src/fast_clock.rs",
    "tests/src/postgres.rs",
    "tests/src/proxy.rs",
    "tests/src/vendors/clock.rs",
    "tests/src/worker.rs",
    "tests/tests/cluster.rs",
    "tests/tests/crash.rs",
    "tests/tests/failover.rs",
];

/// The longest file, without its tests, comments and blank lines: more documentation must never push a file over.
const LONGEST_FILE: usize = 600;

/// Crates that belong to tests, benches and examples, and clients that an embedded engine has no use for.
const NOT_IN_RELEASES: &[&str] = &[
    "campaign-tests",
    "clap",
    "criterion",
    "indicatif",
    "insta",
    "openssl-sys",
    "phonenumber",
    "proptest",
    "rust_xlsxwriter",
    "sqlx",
    "tempfile",
];

/// An HTTP client comes with the feature `http` and what builds on it, and not without.
const ONLY_WITH_HTTP: &[&str] = &["hyper", "reqwest", "ring"];

/// What a server of ours must not bring along: code for tests, a second TLS library, a second HTTP client.
const NOT_IN_THE_SERVER: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "campaign-tests",
    "criterion",
    "insta",
    "jsonschema",
    "native-tls",
    "openssl-sys",
    "phonenumber",
    "proptest",
    "rust_xlsxwriter",
    "sqlx",
];

/// Fields that by their names may hold a number, a token or a text, in types whose `Debug` is derived, and why they do not.
const HARMLESS: &[(&str, &str)] = &[
    ("CampaignExplanation.text", "one sentence about gates; by contract without personal data"),
    ("ContactExplanation.text", "one sentence about gates; by contract without personal data"),
    ("CampaignQuery.search", "a part of the name or description of a campaign"),
    ("Fault.message", "one sentence about a request; by contract without what was given"),
    ("FieldFault.message", "one sentence about a field; by contract without what was given"),
    ("Finding.message", "one sentence about a template; by contract without values"),
    ("Reason.text", "one sentence about a rule; by contract without personal data"),
    ("EventKind.message", "one sentence about an error; by contract without personal data"),
];

/// Binding crates, with what they may depend on. They convert, adapt and map errors; what an outcome means is none of their business.
const BINDINGS: &[(&str, &[&str])] =
    &[("campaign-py", &["async-trait", "campaign-core", "futures-util", "jiff", "parking_lot", "pyo3", "serde", "serde_json", "tokio"])];

/// How a binding would look if it decided: by the name of a status or an ending, or by what the engine's policy is made of.
const DECIDING: &[&str] = &[
    "Disposition::",
    "ContactStatus::",
    "CampaignStatus::",
    "AttemptState::",
    ".disposition",
    ".is_success(",
    "policy::transition",
    "policy::retry",
];

/// The longest the Rust half of a binding may be, without comments and blank lines.
const LONGEST_BINDING: usize = 1_500;

fn core_sources() -> Vec<Source> {
    let sources = rust_sources("campaign-core/src");
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

/// The room a name at the top of the crate comes from, by the `pub use` lines of `lib.rs`.
fn reexports() -> BTreeMap<String, String> {
    let lib = Source::read("campaign-core/src/lib.rs");
    let mut rooms = BTreeMap::new();
    for statement in lib.code.split(';') {
        let Some((_, path)) = statement.split_once("pub use ") else { continue };
        let path = path.trim().trim_start_matches("crate::").trim_start_matches("self::");
        let Some((room, names)) = path.split_once("::") else { continue };
        for name in names.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|name| !name.is_empty()) {
            rooms.insert(name.to_owned(), room.to_owned());
        }
    }
    rooms
}

#[test]
fn rooms_import_only_from_their_floor_and_below() {
    let reexports = reexports();
    for source in core_sources().iter().filter(|source| !source.path.ends_with("src/lib.rs")) {
        let room = source.room();
        let own = floor(&room).unwrap_or_else(|| panic!("{}: give the room {room} a floor in FLOORS", source.path));
        for name in crate_paths(&source.code) {
            let used = reexports.get(&name).unwrap_or(&name);
            let other = floor(used).unwrap_or_else(|| panic!("{}: crate::{name} is in no room that FLOORS knows", source.path));
            assert!(other <= own, "{}: {room} imports crate::{name} from a floor above", source.path);
        }
    }
}

#[test]
fn pure_rooms_have_no_async_and_no_io() {
    const BANNED: &[&str] = &[
        "async",
        "await",
        "tokio",
        "std::fs",
        "std::io::stdin",
        "std::io::stdout",
        "std::io::stderr",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "std::time::Instant",
    ];
    for source in core_sources().iter().filter(|source| PURE.contains(&source.room().as_str())) {
        for (number, line) in source.code.lines().enumerate() {
            for word in BANNED {
                assert!(!tree::has_word(line, word), "{}:{}: `{word}` in a room that only decides", source.path, number + 1);
            }
        }
    }
}

#[test]
fn statuses_change_only_by_the_table() {
    for source in core_sources().iter().filter(|source| !source.path.ends_with("policy/transition.rs")) {
        for name in ["ContactTransition", "CampaignTransition"] {
            for (number, line) in source.code.lines().enumerate() {
                let made = line.contains(&format!("{name} {{")) && !line.contains("impl ") && !line.contains("->");
                assert!(!made, "{}:{}: a {name} is made outside policy::transition", source.path, number + 1);
            }
        }
    }
}

#[test]
fn bans_are_lifted_only_where_stated() {
    for source in core_sources() {
        for (number, line) in source.code.lines().enumerate() {
            if !line.contains("clippy::disallowed") {
                continue;
            }
            let place = format!("{}:{}", source.path, number + 1);
            assert!(MAY_LIFT_BANS.iter().any(|path| source.path.starts_with(path)), "{place}: lifts a ban of clippy.toml");
            assert!(line.contains("expect("), "{place}: use #[expect(.., reason = \"..\")], which fails when it is not needed any more");
        }
    }
}

#[test]
fn bindings_never_decide() {
    for (name, allowed) in BINDINGS {
        let sources = rust_sources(&format!("{name}/src"));
        assert!(sources.len() > 3, "the sources of {name} were not found");
        for source in &sources {
            for (number, line) in source.code.lines().enumerate() {
                for word in DECIDING {
                    assert!(!line.contains(word), "{}:{}: `{word}` belongs into campaign-core", source.path, number + 1);
                }
            }
        }
        let lines: usize = sources.iter().map(|source| source.code.lines().filter(|line| !line.trim().is_empty()).count()).sum();
        assert!(lines <= LONGEST_BINDING, "{name} has {lines} lines of Rust; a binding is thin");
        let manifest = read(format!("{name}/Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
        let used: Vec<&str> = dependencies
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| !name.is_empty())
            .collect();
        assert!(!used.is_empty(), "the dependencies of {name} were not found");
        for dependency in used {
            assert!(allowed.contains(&dependency), "{name} may not depend on {dependency}");
        }
    }
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for folder in ["campaign-core/src", "campaign-node/src", "campaign-py/src", "campaign-server/src", "examples/src", "benches/src"] {
        for source in rust_sources(folder) {
            let lines = source.code.lines().filter(|line| !line.trim().is_empty()).count();
            if lines > LONGEST_FILE {
                long.push(format!("{}: {lines} lines", source.path));
            }
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines without tests and comments; split them:\n{}", long.join("\n"));
    for library in ["campaign-core/src/lib.rs", "campaign-server/src/lib.rs"] {
        assert!(!Source::read(library).code.contains("fn "), "{library} is a table of contents");
    }
}

#[test]
fn no_test_sleeps_or_is_ignored() {
    // Composed, so that this file does not find itself.
    let banned = [["#[", "ignore"].concat(), ["thread::", "sleep"].concat(), ["tokio::time::", "sleep"].concat()];
    for folder in ["campaign-core/src", "campaign-core/tests", "campaign-server/src", "campaign-server/tests", "tests", "examples/src"] {
        for source in
            rust_sources(folder).iter().filter(|source| !source.path.contains("src/executor/") && !MAY_WAIT.contains(&source.path.as_str()))
        {
            for (number, line) in source.text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
                for word in &banned {
                    assert!(
                        !line.contains(word.as_str()),
                        "{}:{}: {word}; use virtual time, or an event as a signal",
                        source.path,
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn blocks_in_the_documents_compile() {
    // The README is the front page of the crate's documentation, so its blocks are doctests; those of other documents are excerpts of
    // an example, line for line.
    let included = read("campaign-core/src/lib.rs");
    assert!(read("campaign-server/src/lib.rs").contains("include_str!(\"../README.md\")"), "the README of the server is not a doctest");
    let examples = rust_sources("examples/src/bin");
    for document in tree::files("", "md") {
        if included.contains(&format!("../{document}\"")) || document == "campaign-server/README.md" {
            continue;
        }
        for block in read(&document).split("```rust").skip(1).filter_map(|rest| rest.split("```").next()) {
            let excerpt = block.split_once('\n').map_or("", |(_, lines)| lines).trim_end();
            assert!(examples.iter().any(|example| example.text.contains(excerpt)), "{document}: not in an example:\n{excerpt}");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in tree::files("", "md") {
        let folder = root().join(&document).parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        for target in read(&document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            assert!(folder.join(target).exists(), "{document}: the link to {target} leads nowhere");
        }
    }
}

#[test]
fn test_code_does_not_reach_releases() {
    let graph = cargo_json(&["metadata", "--locked", "--format-version", "1", "--all-features", "--filter-platform", &tree::host()]);
    let package = |id: &serde_json::Value| {
        graph["packages"].as_array().and_then(|all| all.iter().find(|package| package["id"] == *id)).expect("a package of the graph")
    };
    let nodes = graph["resolve"]["nodes"].as_array().expect("nodes");
    let member = |name: &str| {
        graph["packages"].as_array().and_then(|all| all.iter().find(|package| package["name"] == name)).expect("a member of the workspace")
    };
    let core = member("campaign-core");

    for (crate_of_ours, brings, banned) in [("campaign-core", "jiff", NOT_IN_RELEASES), ("campaign-server", "axum", NOT_IN_THE_SERVER)] {
        let mut reached: BTreeSet<String> = BTreeSet::new();
        let mut open = vec![member(crate_of_ours)["id"].clone()];
        while let Some(id) = open.pop() {
            if !reached.insert(id.as_str().unwrap_or_default().to_owned()) {
                continue;
            }
            let node = nodes.iter().find(|node| node["id"] == id).expect("a node of the graph");
            for dependency in node["deps"].as_array().into_iter().flatten() {
                // A null kind is a normal dependency; `dev` and `build` do not end up in a release.
                if dependency["dep_kinds"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null())) {
                    open.push(dependency["pkg"].clone());
                }
            }
        }
        let names: BTreeSet<&str> = reached.iter().filter_map(|id| package(&serde_json::json!(id))["name"].as_str()).collect();
        assert!(names.contains(brings), "the walk did not leave {crate_of_ours}");
        for name in banned {
            assert!(!names.contains(name), "{name} is linked into releases of {crate_of_ours}");
        }
    }

    let tree = |features: &[&str]| {
        let tree = ["tree", "--locked", "--package", "campaign-core", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
        let text = tree::cargo_text(&[&tree, features].concat());
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let (lean, full) = (tree(&[]), tree(&["--features", "http"]));
    for name in ONLY_WITH_HTTP {
        assert!(!lean.contains(*name), "{name} comes without the feature http");
        assert!(full.contains(*name), "{name} is not there with the feature http; this check looks at nothing");
    }

    let features = |name: &str| -> Vec<String> {
        core["features"][name].as_array().into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    assert!(!features("default").is_empty());
    assert!(!features("default").contains(&"testkit".to_owned()), "the testkit is opt-in");
    for speaks in ["http", "twilio"] {
        assert!(!features("default").contains(&speaks.to_owned()), "an engine that calls nobody needs no HTTP client");
    }
    assert!(features("testkit").iter().all(|feature| !feature.starts_with("dep:")), "the testkit brings no dependency of its own");
}

#[test]
fn licences_are_permissive_and_sources_known() {
    let allowed = tree::strings_of_array(&read("deny.toml"), "allow");
    assert!(!allowed.is_empty(), "the list of deny.toml was not found");
    let graph = cargo_json(&["metadata", "--locked", "--format-version", "1", "--filter-platform", &tree::host()]);
    let used: BTreeSet<&str> = graph["resolve"]["nodes"].as_array().into_iter().flatten().filter_map(|node| node["id"].as_str()).collect();
    for package in
        graph["packages"].as_array().into_iter().flatten().filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id)))
    {
        let name = package["name"].as_str().unwrap_or_default();
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(tree::licence_allowed(licence, &allowed), "{name} has the licence {licence:?}, which deny.toml does not allow");
        let source = package["source"].as_str().unwrap_or("path");
        assert!(source == "path" || source.starts_with("registry+"), "{name} comes from {source}");
    }
}

#[test]
fn derived_debug_shows_no_number_token_or_text() {
    const SUSPICIOUS: &[&str] = &[
        "api_key",
        "body",
        "caller",
        "dialer_options",
        "email",
        "from",
        "message",
        "metadata",
        "number",
        "password",
        "phone",
        "search",
        "secret",
        "templates",
        "text",
        "texts",
        "to",
        "token",
        "value",
        "values",
        "variables",
        "voicemail_message",
    ];
    const OPEN_TYPES: &[&str] = &["String", "str", "Value", "Variables", "Map"];
    let mut shown = BTreeSet::new();
    for source in core_sources().into_iter().chain(rust_sources("campaign-server/src")) {
        for (owner, name, kind) in tree::fields_with_derived_debug(&source.code) {
            if SUSPICIOUS.contains(&name.as_str()) && OPEN_TYPES.iter().any(|word| tree::has_word(&kind, word)) {
                shown.insert(format!("{owner}.{name}"));
            }
        }
    }
    shown.retain(|field| !HARMLESS.iter().any(|(harmless, _)| harmless == field));
    assert!(shown.is_empty(), "a derived Debug shows {shown:?}; write Debug by hand instead");
}
