//! Every file of `tests/templates/` is a case: add a file to add one.
//!
//! ```text
//! name: john smith            values, as JSON where they are JSON
//! ?company: our firm          a fallback of the campaign
//! !syntax: brace              `jinja` when left out
//! ---
//! Hi {{ name }}
//! --- text                    or `--- error`: the error as it is shown
//! Hi john smith
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use campaign_core::campaign::TemplateSyntax;
use campaign_core::contact::Variables;
use campaign_core::template::preview;
use std::collections::BTreeMap;
use std::path::Path;

struct Case {
    syntax: TemplateSyntax,
    values: Variables,
    fallbacks: BTreeMap<String, String>,
    source: String,
    expected: Result<String, String>,
}

fn parse(text: &str) -> Option<Case> {
    let (head, rest) = match text.strip_prefix("---\n") {
        Some(rest) => ("", rest),
        None => text.split_once("\n---\n")?,
    };
    let (source, expected) = match rest.split_once("\n--- text\n") {
        Some((source, expected)) => (source, Ok(expected.strip_suffix('\n')?.to_owned())),
        None => {
            let (source, expected) = rest.split_once("\n--- error\n")?;
            (source, Err(expected.strip_suffix('\n')?.to_owned()))
        }
    };
    let mut case =
        Case { syntax: TemplateSyntax::Jinja, values: Variables::new(), fallbacks: BTreeMap::new(), source: source.to_owned(), expected };
    for line in head.lines() {
        let (name, value) = line.split_once(':')?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name.split_at_checked(1)? {
            ("!", "syntax") => case.syntax = serde_json::from_value(value.into()).ok()?,
            ("?", name) => drop(case.fallbacks.insert(name.to_owned(), value.to_owned())),
            _ => drop(case.values.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into()))),
        }
    }
    Some(case)
}

#[test]
fn every_file_renders_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates");
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() >= 40, "only {} cases in {}", paths.len(), folder.display());
    let mut wrong = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(case) = parse(&std::fs::read_to_string(path).unwrap()) else {
            wrong.push(format!("{name}: not a case; see the head of template_golden.rs"));
            continue;
        };
        let found = preview(&case.source, case.syntax, &case.values, &case.fallbacks).map_err(|error| error.to_string());
        if found != case.expected {
            wrong.push(format!("{name}\n  expected {:?}\n  found    {found:?}", case.expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), paths.len(), wrong.join("\n"));
}
