//! The walk-through shows what the example does, line for line.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

#[test]
fn every_excerpt_is_in_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = std::fs::read_to_string(root.join("docs/write-a-store.md")).unwrap();
    let sources = std::fs::read_dir(root.join("examples/src/bin/own_store")).unwrap();
    let example: Vec<String> = sources.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let excerpts: Vec<&str> = guide.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim_end()).collect();
    assert!(excerpts.len() >= 8, "the guide has lost its excerpts");
    for excerpt in excerpts {
        assert!(example.iter().any(|source| source.contains(excerpt)), "not in the example any more:\n{excerpt}");
    }
}
