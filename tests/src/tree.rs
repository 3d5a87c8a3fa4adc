//! Reading the repository: sources without comments and tests, documents, and what cargo knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The root of the repository.
pub fn root() -> PathBuf {
    // Cargo sets it when it runs a test, too; what was compiled in may be the path of another clone that shares the build folder.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().expect("the workspace").to_path_buf()
}

/// A file of the repository; panics with its name when it cannot be read.
pub fn read(path: impl AsRef<str>) -> String {
    fs::read_to_string(root().join(path.as_ref())).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref()))
}

/// Every file with this extension below a folder, relative to the root and sorted; build output and hidden folders are left out.
pub fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && name != "node_modules" {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

/// A Rust source.
#[derive(Debug)]
pub struct Source {
    /// Relative to the root.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Line by line the same, but without comments, without the contents of string literals, and up to its tests.
    pub code: String,
}

impl Source {
    /// Reads one, by its path from the root.
    pub fn read(path: &str) -> Self {
        let text = read(path);
        let tests_only = path.ends_with("/tests.rs") || path.contains("/tests/");
        let code = if tests_only && path.starts_with("campaign-core/src") { String::new() } else { strip(before_tests(&text)) };
        Self { path: path.to_owned(), text, code }
    }

    /// The module at the top of the crate it belongs to.
    pub fn room(&self) -> String {
        let inside = self.path.split_once("/src/").map_or("", |(_, inside)| inside);
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
    }
}

/// Every Rust source below a folder.
pub fn rust_sources(folder: &str) -> Vec<Source> {
    files(folder, "rs").iter().map(|path| Source::read(path)).collect()
}

/// A file's tests come last, in a module with its own attribute.
fn before_tests(text: &str) -> &str {
    let attribute = "\n#[cfg(test)]\nmod ";
    text.find(attribute).map_or(text, |end| &text[..end])
}

/// Blanks comments and the contents of string literals; lines stay where they are.
fn strip(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            closing_quote(rest)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_string(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().filter(|&c| c == '\n'));
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    text[2 + hashes..].find(&end).map_or(text.len(), |at| 2 + hashes + at + end.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether the line holds the word, not as a part of a longer one.
pub fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + word.len()..].starts_with(is_word))
}

/// The names that follow `crate::`, also those in braces.
pub fn crate_paths(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let preceding = &code[..at];
        if preceding.ends_with(is_word) || preceding.ends_with("pub(in ") {
            continue;
        }
        let rest = &code[at + found.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (index, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    _ if start && is_word(c) => {
                        names.insert(group[index..].chars().take_while(|&c| is_word(c)).collect());
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            names.insert(rest.chars().take_while(|&c| is_word(c)).collect());
        }
    }
    names
}

/// Owner, name and type of every named field of a public type that derives `Debug`.
pub fn fields_with_derived_debug(code: &str) -> Vec<(String, String, String)> {
    let mut fields = Vec::new();
    let mut derived = false;
    let mut owner: Option<String> = None;
    for line in code.lines() {
        let words: Vec<&str> = line.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).collect();
        if let Some(name) = &owner {
            if line.starts_with('}') {
                owner = None;
            } else if let Some((field, kind)) = line.split_once(": ") {
                let field = field.trim().trim_start_matches("pub ").trim_start_matches("pub ");
                if !field.is_empty() && field.chars().all(is_word) {
                    fields.push((name.clone(), field.to_owned(), kind.trim().trim_end_matches(',').to_owned()));
                }
            }
        } else if line.starts_with("#[derive(") {
            derived = words.contains(&"Debug");
        } else if let Some(at) = words.iter().position(|word| *word == "struct" || *word == "enum") {
            if derived && line.starts_with("pub ") && line.trim_end().ends_with('{') {
                owner = words.get(at + 1).map(|name| (*name).to_owned());
            }
            derived = false;
        }
    }
    fields
}

/// The strings of the first array with this name in a TOML file.
pub fn strings_of_array(toml: &str, name: &str) -> Vec<String> {
    let start = toml.find(&format!("\n{name} = [")).expect("the array");
    let body = toml[start..].split_once('[').map_or("", |(_, body)| body);
    body.split(']').next().unwrap_or_default().split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with the allowed licences alone. An exception only grants more and is passed over.
pub fn licence_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = expression.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&tokens, &mut at, allowed);
    met && at == tokens.len()
}

fn any_of(tokens: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = all_of(tokens, at, allowed);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(tokens, at, allowed);
    }
    met
}

fn all_of(tokens: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut met = one(tokens, at, allowed);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at, allowed);
    }
    met
}

fn one(tokens: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(token) = tokens.get(*at) else { return false };
    *at += 1;
    if *token == "(" {
        let met = any_of(tokens, at, allowed);
        *at += 1;
        return met;
    }
    if tokens.get(*at) == Some(&"WITH") {
        *at += 2;
    }
    allowed.iter().any(|licence| licence == token)
}

/// What a cargo command that answers in JSON says.
pub fn cargo_json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_slice(&run(env!("CARGO"), arguments)).expect("JSON from cargo")
}

/// What cargo prints.
///
/// # Panics
/// When cargo fails.
pub fn cargo_text(arguments: &[&str]) -> String {
    String::from_utf8(run(env!("CARGO"), arguments)).expect("text from cargo")
}

/// The platform the tests run on.
pub fn host() -> String {
    let text = String::from_utf8(run("rustc", &["-vV"])).expect("text from rustc");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("the host in rustc -vV").to_owned()
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stripping_keeps_lines_and_drops_what_is_not_code() {
        let code = strip("let a = \"// async \\\" b\"; // async\nlet b = r#\"tokio\"#; /* std::fs\n */ let c = '\"';\n");
        assert_eq!(code.lines().count(), 3);
        assert!(code.contains("let a =") && code.contains("let b =") && code.contains("let c ="));
        assert!(!code.contains("async") && !code.contains("tokio") && !code.contains("std::fs"));
    }

    #[test]
    fn paths_are_found_in_braces_too() {
        let found = crate_paths("use crate::{error::{Error, Kind}, policy::gates, Engine}; crate::store::Page; mycrate::nothing");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["Engine", "error", "policy", "store"]);
    }

    #[test]
    fn licences_are_read_as_expressions() {
        let allowed = ["MIT".to_owned(), "Zlib".to_owned()];
        for (expression, met) in [
            ("MIT", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("(GPL-3.0 OR MIT) AND Zlib", true),
            ("(GPL-3.0 OR MIT) AND BSL-1.0", false),
            ("MIT AND GPL-3.0", false),
            ("MIT WITH LLVM-exception", true),
            ("GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(licence_allowed(expression, &allowed), met, "{expression}");
        }
    }
}
