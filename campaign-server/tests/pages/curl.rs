//! A `curl` command as a request. What is not known is refused: an example must mean here what it means in a shell.

use std::collections::BTreeMap;

/// Where the pages say that the server is.
pub const BASE: &str = "http://127.0.0.1:8080";

/// A request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// What is sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Body {
    #[default]
    None,
    Text(String),
    /// A file of the page, by its name.
    File(String),
    Form(Vec<Part>),
}

/// A part of a form: its name, and either a text or the name of a file of the page.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub text: String,
    pub is_file: bool,
}

/// Splits a command into words as a POSIX shell does, for what examples need: quotes, escaped line ends, `$NAME`.
pub fn words(command: &str, variables: &BTreeMap<&str, String>) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\n' if chars.peek().is_none() => {}
            '\n' => return Err("one command, please; a line that goes on ends with a backslash".to_owned()),
            '\\' => match chars.next() {
                Some('\n') => words.extend(word.take()),
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a backslash at the end".to_owned()),
            },
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a quote has no end".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("a quote has no end".to_owned()),
                        },
                        Some('$') => word.push_str(&variable(&mut chars, variables)?),
                        Some('`') => return Err("command substitution is not understood".to_owned()),
                        Some(c) => word.push(c),
                        None => return Err("a quote has no end".to_owned()),
                    }
                }
            }
            '$' => {
                let value = variable(&mut chars, variables)?;
                word.get_or_insert_default().push_str(&value);
            }
            // Each of these means something to a shell.
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '`' | '#' | '*' | '?' | '[' | ']' | '{' | '}' | '~' | '!' => {
                return Err(format!("{c} is not quoted"));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn variable(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, variables: &BTreeMap<&str, String>) -> Result<String, String> {
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    variables.get(name.as_str()).cloned().ok_or_else(|| format!("the variable ${name} is not known"))
}

/// The request of a command.
pub fn request(command: &str, variables: &BTreeMap<&str, String>) -> Result<Request, String> {
    let mut words = words(command, variables)?.into_iter();
    if words.next().as_deref() != Some("curl") {
        return Err("this is not curl".to_owned());
    }
    let mut request = Request::default();
    let mut url = None;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "-X" | "--request" => request.method = value()?,
            "-H" | "--header" => {
                let header = value()?;
                let (name, value) = header.split_once(": ").ok_or_else(|| format!("this is no header: {header}"))?;
                request.headers.push((name.to_lowercase(), value.to_owned()));
            }
            "--json" => {
                body(&mut request.body, data(value()?))?;
                request.headers.extend([("content-type", "application/json"), ("accept", "application/json")].map(owned));
            }
            "-d" | "--data" => {
                body(&mut request.body, data(value()?))?;
                if !request.headers.iter().any(|(name, _)| name == "content-type") {
                    request.headers.push(owned(("content-type", "application/x-www-form-urlencoded")));
                }
            }
            "-F" | "--form" => {
                let part = value()?;
                let (name, text) = part.split_once('=').ok_or_else(|| format!("this is no part of a form: {part}"))?;
                let (text, is_file) = text.strip_prefix('@').map_or((text, false), |file| (file, true));
                let part = Part { name: name.to_owned(), text: text.to_owned(), is_file };
                match &mut request.body {
                    Body::Form(parts) => parts.push(part),
                    other => body(other, Body::Form(vec![part]))?,
                }
            }
            option if option.starts_with('-') => return Err(format!("the option {option} is not known")),
            _ if url.is_none() => url = Some(word),
            word => return Err(format!("one URL, please: {word}")),
        }
    }
    let url = url.ok_or("no URL")?;
    request.path = url.strip_prefix(BASE).filter(|path| path.starts_with('/')).ok_or_else(|| format!("{url} is not at {BASE}"))?.to_owned();
    if request.method.is_empty() {
        request.method = if request.body == Body::None { "GET" } else { "POST" }.to_owned();
    }
    Ok(request)
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn data(text: String) -> Body {
    match text.strip_prefix('@') {
        Some(file) => Body::File(file.to_owned()),
        None => Body::Text(text),
    }
}

fn body(now: &mut Body, new: Body) -> Result<(), String> {
    match now {
        Body::None => {
            *now = new;
            Ok(())
        }
        _ => Err("one body, please".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<&'static str, String> {
        BTreeMap::from([("KEY", "cmp_1_2".to_owned())])
    }

    #[test]
    fn commands_mean_what_they_mean_in_a_shell() {
        let command = "curl -X PUT 'http://127.0.0.1:8080/a?b=%2B1' \\\n  -H \"Authorization: Bearer $KEY\" \\\n  --json '{\"a\": \"it'\\''s \\\"$KEY\\\"\"}'";
        let request = request(command, &variables()).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/a?b=%2B1"));
        assert_eq!(request.headers[0], owned(("authorization", "Bearer cmp_1_2")));
        assert_eq!(request.body, Body::Text("{\"a\": \"it's \\\"$KEY\\\"\"}".to_owned()));
        let form = super::request("curl http://127.0.0.1:8080/ -F file=@a.csv -F 'm={\"a\": 1}'", &variables()).unwrap();
        let part = |name: &str, text: &str, is_file| Part { name: name.to_owned(), text: text.to_owned(), is_file };
        assert_eq!(form.body, Body::Form(vec![part("file", "a.csv", true), part("m", "{\"a\": 1}", false)]));
        assert_eq!(form.method, "POST");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            "wget http://127.0.0.1:8080/",
            "curl http://elsewhere/",
            "curl http://127.0.0.1:8080",
            "curl -k http://127.0.0.1:8080/",
            "curl http://127.0.0.1:8080/ | jq .",
            "curl http://127.0.0.1:8080/?a=1&b=2",
            "curl http://127.0.0.1:8080/ -H \"Authorization: Bearer $OTHER\"",
            "curl http://127.0.0.1:8080/ http://127.0.0.1:8080/",
            "curl http://127.0.0.1:8080/ -d a -d b",
            "curl http://127.0.0.1:8080/ -d 'a",
            "curl http://127.0.0.1:8080/\ncurl http://127.0.0.1:8080/",
        ] {
            assert!(request(wrong, &variables()).is_err(), "{wrong}");
        }
    }
}
