//! Whether a message by itself asks to be left alone (STOP), to be contacted again (START), or who is writing (HELP).
//!
//! Carriers know a handful of English words, each another handful, and some let others through. So the engine reads every message itself:
//! the words of all carriers, those of other languages, and short plain requests ("please stop texting me"), because the law asks for "any
//! reasonable means" (47 CFR 64.1200(a)(10)), not for a password.
//!
//! It is strict in the other direction: a word inside of a sentence about something else ("I'll stop by at five", "cancel my
//! appointment") is for people, or for the assistant. Every word of the message, or of one of its sentences, must belong to the request.

use super::Keyword;
use super::words::{ALONE, PHRASES, POLITE, SIGNATURES, STRONG};
use deunicode::deunicode_char;
use std::sync::LazyLock;

/// What a message asks for by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What it asks for.
    pub keyword: Keyword,
    /// The language of the word, ISO 639-1; `None` when it says nothing about the language, like STOP.
    pub language: Option<&'static str>,
}

/// The words that carriers act on by themselves, as they publish them. Each is read by [`read`].
pub const CARRIERS: &[(&str, Keyword, &[&str])] = &[
    ("Twilio", Keyword::OptOut, &["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"]),
    ("Twilio", Keyword::OptIn, &["START", "YES", "UNSTOP"]),
    ("Twilio", Keyword::Help, &["HELP", "INFO"]),
    ("Telnyx", Keyword::OptOut, &["STOP", "STOP ALL", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"]),
    ("Telnyx", Keyword::OptIn, &["START", "UNSTOP"]),
    ("AWS", Keyword::OptOut, &["ARRET", "CANCEL", "END", "OPT-OUT", "OPTOUT", "QUIT", "REMOVE", "STOP", "TD", "UNSUBSCRIBE"]),
    // 47 CFR 64.1200(a)(10): these words alone always revoke.
    ("FCC", Keyword::OptOut, &["stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe"]),
];

/// Longer messages are stories; only their sentences are looked at.
const MOST_WORDS: usize = 24;
/// No more of a message is looked at, so that a hostile one costs nothing.
const MOST_CHARACTERS: usize = 1_600;

/// Reads a message. `None`: it asks for nothing of the kind.
///
/// ```
/// use campaign_core::conversation::{Keyword, keywords};
///
/// assert_eq!(keywords::read("Please stop texting me!").unwrap().keyword, Keyword::OptOut);
/// assert_eq!(keywords::read("no me escriban más").unwrap().language, Some("es"));
/// assert_eq!(keywords::read("I'll stop by at 5"), None);
/// ```
pub fn read(text: &str) -> Option<Reading> {
    let text: String = text.chars().take(MOST_CHARACTERS).collect();
    let text = without_signature(&text);
    let all = words(text);
    if let Some(found) = whole(&all, text) {
        return Some(found);
    }
    // "Not interested. STOP", "No thanks, stop": a sentence of its own says it, unless it asks.
    let sentences: Vec<&str> = text.split_inclusive(is_end_of_sentence).filter(|sentence| !words(sentence).is_empty()).collect();
    let last = sentences.last()?;
    let clause = last.rsplit(',').next().unwrap_or(last);
    let several = sentences.len() > 1 || clause.len() < last.len();
    let said = || strong(&words(clause)).filter(|_| several && !last.contains('?'));
    let asked = || sentences.iter().find_map(|sentence| phrase(&words(sentence))).filter(|_| sentences.len() > 1);
    asked().or_else(said).filter(|found| found.keyword == Keyword::OptOut)
}

/// The message as a whole.
fn whole(all: &[String], text: &str) -> Option<Reading> {
    if all.is_empty() || all.len() > MOST_WORDS {
        return None;
    }
    // S.T.O.P
    if all.len() >= 4 && all.iter().all(|word| word.chars().count() == 1) {
        let joined = [all.concat()];
        return alone(&joined).or_else(|| exact(STRONG, &joined));
    }
    // STOP STOP STOP
    let once: &[String] = if all.iter().all(|word| *word == all[0]) { &all[..1] } else { all };
    alone(once).or_else(|| exact(STRONG, once)).or_else(|| phrase(all)).or_else(|| if text.contains('?') { None } else { strong(all) })
}

/// Words that mean it only when nothing else is said.
fn alone(words: &[String]) -> Option<Reading> {
    exact(ALONE, words)
}

/// Words that mean it with a "please" beside them, too.
fn strong(words: &[String]) -> Option<Reading> {
    exact(STRONG, &without_politeness(words)).or_else(|| {
        // French carriers ask for STOP with the number of the sender.
        let (first, rest) = words.split_first()?;
        let number = rest.len() == 1 && rest[0].len() == 5 && rest[0].bytes().all(|byte| byte.is_ascii_digit());
        (first == "stop" && number).then_some(Reading { keyword: Keyword::OptOut, language: None })
    })
}

fn exact(table: &[(&'static str, Keyword, &[&str])], words: &[String]) -> Option<Reading> {
    if words.is_empty() {
        return None;
    }
    let said = words.join(" ");
    table
        .iter()
        .find(|(_, _, entries)| entries.contains(&said.as_str()))
        .map(|(language, keyword, _)| Reading { keyword: *keyword, language: (!language.is_empty()).then_some(*language) })
}

/// A request of several words.
fn phrase(words: &[String]) -> Option<Reading> {
    let words = without_politeness(words);
    if words.len() < 2 || words.len() > MOST_WORDS {
        return None;
    }
    PATTERNS
        .iter()
        .find(|(_, pattern)| fits(pattern, &words))
        .map(|(language, _)| Reading { keyword: Keyword::OptOut, language: Some(language) })
}

/// One place of a pattern: what may stand there, and whether it may be empty.
struct Place {
    choices: Vec<&'static str>,
    optional: bool,
}

static PATTERNS: LazyLock<Vec<(&'static str, Vec<Place>)>> = LazyLock::new(|| {
    PHRASES
        .iter()
        .flat_map(|(language, sets, patterns)| {
            patterns.iter().map(move |pattern| {
                let places = pattern.split(' ').map(|place| {
                    let (place, optional) = place.strip_suffix('?').map_or((place, false), |place| (place, true));
                    let choices = place.split('|').flat_map(|choice| {
                        let set = sets.iter().find(|(name, _)| *name == choice).map_or(choice, |(_, set)| set);
                        set.split('|')
                    });
                    Place { choices: choices.collect(), optional }
                });
                (*language, places.collect())
            })
        })
        .collect()
});

fn fits(pattern: &[Place], words: &[String]) -> bool {
    let Some((place, rest)) = pattern.split_first() else { return words.is_empty() };
    let taken = words.split_first().is_some_and(|(word, more)| place.choices.contains(&word.as_str()) && fits(rest, more));
    taken || (place.optional && fits(rest, words))
}

fn without_politeness(words: &[String]) -> Vec<String> {
    let mut out = Vec::with_capacity(words.len());
    let mut rest = words;
    'words: while let Some((word, more)) = rest.split_first() {
        for polite in POLITE {
            let mut parts = polite.split(' ');
            let length = parts.clone().count();
            if rest.len() >= length && rest.iter().zip(&mut parts).all(|(word, part)| word == part) {
                rest = &rest[length..];
                continue 'words;
            }
        }
        out.push(word.clone());
        rest = more;
    }
    out
}

/// What a telephone adds by itself.
fn without_signature(text: &str) -> &str {
    let trimmed = text.trim_end();
    let Some((before, line)) = trimmed.rsplit_once('\n') else { return trimmed };
    let line = words(line).join(" ");
    if SIGNATURES.iter().any(|start| line.starts_with(start)) { before } else { trimmed }
}

fn is_end_of_sentence(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | ';' | '\n' | '。' | '！' | '？')
}

/// The words of a text in lower case and plain letters, without punctuation and pictures.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        match character {
            // Marks that stand on the letter before them, joiners, the shape of a picture; and apostrophes: "don't" is one word.
            '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' => {}
            '\'' | '’' | '‘' | 'ʼ' | '`' | '´' | '＇' => {}
            letter if letter.is_alphanumeric() => plain(letter, &mut word),
            _ if !word.is_empty() => words.push(std::mem::take(&mut word)),
            _ => {}
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Latin letters in whatever dress become plain ones; other scripts stay as they are.
fn plain(letter: char, word: &mut String) {
    let dressed = matches!(letter,
        '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' | '\u{2100}'..='\u{214f}' | '\u{24b6}'..='\u{24e9}'
        | '\u{ff01}'..='\u{ff5e}' | '\u{1d400}'..='\u{1d7ff}' | '\u{1f130}'..='\u{1f189}');
    match deunicode_char(letter).filter(|_| dressed) {
        Some(plain) => word.extend(plain.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase())),
        None => word.extend(letter.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_every_carrier_is_read() {
        for (carrier, keyword, list) in CARRIERS {
            for word in *list {
                for text in [(*word).to_owned(), word.to_lowercase(), format!(" \"{word}.\" 🛑\n")] {
                    assert_eq!(read(&text).map(|reading| reading.keyword), Some(*keyword), "{carrier}: {text:?}");
                }
            }
        }
    }

    #[test]
    fn patterns_name_only_sets_that_exist() {
        for (language, sets, patterns) in PHRASES {
            for place in patterns.iter().flat_map(|pattern| pattern.split(' ')) {
                for choice in place.trim_end_matches('?').split('|') {
                    let known = sets.iter().any(|(name, _)| *name == choice);
                    let is_set = choice.starts_with(|letter: char| letter.is_ascii_uppercase());
                    assert!(!choice.is_empty() && (known || !is_set), "{language}: {place:?}");
                }
            }
            // Words are compared in their plain form.
            for word in sets.iter().map(|(_, set)| *set).chain(patterns.iter().copied()) {
                assert!(word.is_ascii(), "{language}: {word:?}");
            }
        }
    }

    #[test]
    fn no_text_is_too_long_or_too_odd() {
        for text in ["", " ", "\u{200b}", "🛑🛑🛑", "????"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(read(&"stop it ".repeat(10_000)), None);
        assert_eq!(read(&"ñ́".repeat(10_000)), None);
    }
}
