//! `docs.json`, and what has to hold over all pages.

use super::page::Page;
use campaign_tests::tree;
use serde_json::Value;
use std::collections::BTreeSet;

/// The themes that Mintlify has.
const THEMES: &[&str] = &["mint", "maple", "palm", "willow", "linden", "almond", "aspen", "sequoia", "luma"];

/// The pages that a part of the navigation lists, in order.
fn listed(part: &Value, into: &mut Vec<String>) {
    match part {
        Value::String(page) => into.push(page.clone()),
        Value::Array(parts) => parts.iter().for_each(|part| listed(part, into)),
        Value::Object(part) => {
            for (key, value) in part {
                match key.as_str() {
                    "tabs" | "groups" | "pages" => listed(value, into),
                    "tab" | "group" | "icon" => assert!(value.is_string(), "docs.json: {key} is a text"),
                    other => panic!("docs.json: {other} in the navigation is not understood"),
                }
            }
        }
        other => panic!("docs.json: {other} in the navigation"),
    }
}

/// The pages of a group of the navigation.
fn group(part: &Value, name: &str) -> Option<Vec<String>> {
    match part {
        Value::Object(object) if object.get("group").is_some_and(|group| group == name) => {
            let mut pages = Vec::new();
            listed(&object["pages"], &mut pages);
            Some(pages)
        }
        Value::Object(object) => object.values().find_map(|part| group(part, name)),
        Value::Array(parts) => parts.iter().find_map(|part| group(part, name)),
        _ => None,
    }
}

/// Checks `docs.json`: its form, and that it lists every page once.
pub fn check_settings() {
    let settings: Value = serde_json::from_str(&tree::read("docs/docs.json")).unwrap();
    assert_eq!(settings["$schema"], "https://mintlify.com/docs.json");
    assert!(settings["theme"].as_str().is_some_and(|theme| THEMES.contains(&theme)), "docs.json: the theme is not known");
    assert!(settings["name"].as_str().is_some_and(|name| !name.is_empty()));
    for name in ["primary", "light", "dark"] {
        let colour = settings["colors"][name].as_str().unwrap_or_default();
        let hex = colour.strip_prefix('#').is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert!(hex, "docs.json: colors.{name} is #rrggbb");
    }
    let mut pages = Vec::new();
    listed(&settings["navigation"], &mut pages);
    let unique: BTreeSet<String> = pages.iter().cloned().collect();
    assert_eq!(unique.len(), pages.len(), "docs.json: a page is listed twice");
    let written: BTreeSet<String> = Page::all().into_iter().map(|page| page.name).collect();
    assert_eq!(unique, written, "docs.json lists the pages that are there");

    // The places that readers of this API look in.
    assert!(group(&settings, "Features").is_some_and(|pages| pages.contains(&"campaigns".to_owned())));
    let reference = group(&settings, "Campaigns").expect("a group Campaigns");
    for name in
        ["list", "create", "get", "update", "delete", "start", "pause", "resume", "cancel", "contacts", "progress", "template-preview"]
    {
        assert!(reference.contains(&format!("api-reference/campaigns/{name}")), "docs.json: {name} is missing under Campaigns");
    }
    let sockets = group(&settings, "WebSockets").expect("a group WebSockets");
    assert!(sockets.contains(&"api-reference/websockets/campaign-progress".to_owned()));
}

/// Every page says what it is, and every link leads to a page and to a heading on it.
pub fn check_pages() {
    let pages = Page::all();
    for page in &pages {
        for key in ["title", "description"] {
            assert!(page.front.get(key).is_some_and(|text| !text.is_empty()), "{}: no {key}", page.at(1));
        }
        for (line, target) in &page.links {
            let place = page.at(*line);
            if target.starts_with("https://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let there = match path {
                "" => page,
                path => {
                    let name = path.strip_prefix('/').unwrap_or_else(|| panic!("{place}: {target} begins with a slash or with https"));
                    pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("{place}: there is no page {name}"))
                }
            };
            assert!(anchor.is_empty() || there.anchors.iter().any(|known| known == anchor), "{place}: there is no heading #{anchor}");
        }
    }
}
