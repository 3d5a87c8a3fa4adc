//! The walk-through shows what the example does, line for line.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

#[test]
fn every_excerpt_is_in_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let (guide, example) = (read("docs/write-a-dialer.md"), read("examples/src/bin/own_dialer.rs"));
    let excerpts: Vec<&str> = guide.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim_end()).collect();
    assert!(excerpts.len() >= 7, "the guide has lost its excerpts");
    for excerpt in excerpts {
        assert!(example.contains(excerpt), "not in the example any more:\n{excerpt}");
    }
}
