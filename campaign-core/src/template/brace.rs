//! The single-brace syntax: `Hello {customer_name}`.

use super::{Fault, Template, TemplateInput, Usage, check_source, limits};
use crate::error::Result;
use std::borrow::Cow;

/// A template in the single-brace syntax. `{{` and `}}` are literal braces; a name is a letter or `_`, then letters, digits and `_`.
///
/// A name that nobody knows (no value, no blank cell, no fallback, no known column) is an error when rendered, so that a typing
/// error is not sent to anybody as an empty place.
pub struct BraceTemplate {
    name: String,
    source: String,
    parts: Vec<Part>,
}

enum Part {
    Text(Box<str>),
    Variable(Usage),
}

impl BraceTemplate {
    /// Compiles a template; `name` is used in errors.
    ///
    /// # Errors
    /// [`crate::Kind::Template`] for a brace that is not closed or not opened, or a name that is none.
    pub fn compile(name: &str, source: &str) -> Result<Self> {
        let parts = parse(source).map_err(|fault| fault.into_error(name, source))?;
        Ok(Self { name: name.to_owned(), source: source.to_owned(), parts })
    }

    pub(super) fn usages(&self) -> impl Iterator<Item = &Usage> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(usage) => Some(usage),
            Part::Text(_) => None,
        })
    }
}

fn parse(source: &str) -> Result<Vec<Part>, Fault> {
    check_source(source)?;
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while let Some(found) = source[at..].find(['{', '}']) {
        let brace = at + found;
        text.push_str(&source[at..brace]);
        let rest = &source[brace..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            text.push_str(&rest[..1]);
            at = brace + 2;
        } else if rest.starts_with('}') {
            return Err(Fault::new(brace, "a `}` without its `{`; write `}}` for a literal brace"));
        } else {
            let Some(length) = rest[1..].find(['{', '}', '\n']).filter(|length| rest[1 + length..].starts_with('}')) else {
                return Err(Fault::new(brace, "a `{` that is not closed; write `{{` for a literal brace"));
            };
            let name = rest[1..=length].trim();
            if !is_name(name) {
                return Err(Fault::new(
                    brace,
                    "what stands in the braces is not a name, like `{customer_name}`; write `{{` for a literal brace",
                ));
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            }
            parts.push(Part::Variable(Usage { name: name.into(), offset: brace }));
            at = brace + length + 2;
        }
    }
    text.push_str(&source[at..]);
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Ok(parts)
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_') && chars.all(|next| next.is_alphanumeric() || next == '_')
}

impl Template for BraceTemplate {
    fn render(&self, input: TemplateInput<'_>) -> Result<String> {
        let mut output = String::with_capacity(self.source.len() + 64);
        for part in &self.parts {
            let (text, offset) = match part {
                Part::Text(text) => (Cow::Borrowed(&**text), 0),
                Part::Variable(usage) => {
                    let text = match input.value(&usage.name) {
                        Some(given) => given.text(),
                        None if input.knows(&usage.name) => Cow::Borrowed(input.fallback(&usage.name)),
                        None => {
                            let fault = Fault::new(usage.offset, format!("there is no variable `{}`", usage.name));
                            return Err(fault.into_error(&self.name, &self.source));
                        }
                    };
                    (text, usage.offset)
                }
            };
            if output.len() + text.len() > limits::OUTPUT_BYTES {
                let fault = Fault::new(offset, format!("the text is longer than {} bytes", limits::OUTPUT_BYTES));
                return Err(fault.into_error(&self.name, &self.source));
            }
            output.push_str(&text);
        }
        Ok(output)
    }

    fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> = self.usages().map(|usage| usage.name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
