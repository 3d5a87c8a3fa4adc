//! A table of what people really write: what must be read as a request, and what must not.

#![allow(clippy::unwrap_used, missing_docs)]

use campaign_core::conversation::{Keyword, keywords};
use proptest::prelude::*;

const TABLE: &str = include_str!("data/keywords.tsv");

fn rows() -> impl Iterator<Item = (usize, Option<Keyword>, Option<&'static str>, String)> {
    TABLE.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.is_empty()).map(|(index, line)| {
        let mut columns = line.split('\t');
        let (Some(what), Some(language), Some(text), None) = (columns.next(), columns.next(), columns.next(), columns.next()) else {
            panic!("line {}: three columns", index + 1);
        };
        let keyword = match what {
            "out" => Some(Keyword::OptOut),
            "in" => Some(Keyword::OptIn),
            "help" => Some(Keyword::Help),
            "-" => None,
            other => panic!("line {}: {other}", index + 1),
        };
        (index + 1, keyword, (language != "-").then_some(language), text.replace("\\n", "\n"))
    })
}

#[test]
fn messages_are_read_as_people_mean_them() {
    let mut wrong = Vec::new();
    for (line, keyword, language, text) in rows() {
        let found = keywords::read(&text);
        if found.map(|reading| reading.keyword) != keyword || found.is_some_and(|reading| reading.language != language) {
            wrong.push(format!("line {line}: {text:?} is {keyword:?} {language:?}, read as {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(rows().filter(|row| row.1 == Some(Keyword::OptOut)).count() > 120 && rows().filter(|row| row.1.is_none()).count() > 70);
}

#[test]
fn dress_changes_nothing() {
    for (line, keyword, _, text) in rows().filter(|row| row.1.is_some()) {
        for dressed in [text.to_uppercase(), format!("  {text}\n"), format!("{text} 🙏"), format!("👉 {text} !!"), format!("«{text}»")]
        {
            assert_eq!(keywords::read(&dressed).map(|reading| reading.keyword), keyword, "line {line}: {dressed:?}");
        }
    }
}

#[test]
fn a_word_inside_of_another_sentence_asks_for_nothing() {
    for word in ["stop", "cancel", "end", "quit", "start", "yes", "help", "info", "unsubscribe"] {
        for sentence in ["the {} of the line is far away", "I read {} on the sign", "is {} a word?", "my {} number is lost"] {
            let text = sentence.replace("{}", word);
            assert_eq!(keywords::read(&text), None, "{text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_it_panic(text in "\\PC{0,80}") {
        let _ = keywords::read(&text);
    }
}
