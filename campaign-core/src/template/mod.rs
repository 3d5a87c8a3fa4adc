//! Texts made from templates: compiled once per campaign, rendered for every contact. Pure; rendering never does I/O.
//!
//! Two ways of writing them: Jinja (`{{ name|title_case }}`, [`JinjaTemplate`]) and single braces (`{customer_name}`,
//! [`BraceTemplate`]). A [`TemplateSet`] holds all templates of a campaign; [`lint()`] looks for mistakes before anything is sent.
//!
//! # Where a value comes from
//!
//! 1. The contact (or the values given for this one rendering, which go first).
//! 2. An inline `default('...')`.
//! 3. The campaign's `fallback_values`.
//! 4. The system defaults: `assistant_name` "your assistant", `company` "our company", `name` "there".
//! 5. The empty string.
//!
//! A blank cell (empty, only spaces, or JSON `null`) counts as no value. Fallbacks are what a *missing* variable renders to, also
//! through filters: `{{ name|title_case }}` without a name is `There`, while `{{ name|default('you') }}` is `you` and
//! `{% if name %}` is false.
//!
//! # Untrusted templates
//!
//! Anybody who may write a template may write a hostile one, so only what messages need is let through, and all of it is bounded:
//! see [`limits`]. Statements are `if` and `for` over a list of the contact; functions, `set`, macros, includes and repetition of
//! texts do not exist. A template outside these bounds does not compile, or fails to render, with an error; it never exhausts memory.

mod brace;
mod filters;
mod guard;
mod input;
mod jinja;
mod lint;

mod set;
pub mod sms;

pub use brace::BraceTemplate;
pub use input::{CampaignValues, Given, TemplateInput};
pub use jinja::JinjaTemplate;
pub use lint::{Finding, FindingCode, LintReport, MessageSize, Severity, lint};

pub use set::{TemplateSet, preview};

use crate::campaign::TemplateSyntax;
use crate::error::{Error, Kind, Result};
use std::sync::Arc;

/// What a template may use. Reaching a limit is an error with template, line and column.
pub mod limits {
    /// Bytes of one template's source.
    pub const SOURCE_BYTES: usize = 64 * 1024;
    /// Bytes of one rendered text.
    pub const OUTPUT_BYTES: usize = 64 * 1024;
    /// Bytes of one value used by a template, or of one text made by a filter.
    pub const VALUE_BYTES: usize = 32 * 1024;
    /// Instructions of one rendering.
    pub const STEPS: u64 = 10_000;
    /// Tokens within one `{{ }}` or `{% %}`; bounds how deep an expression nests.
    pub const TAG_TOKENS: usize = 250;
    /// `{% %}` tags of one template; bounds how deep statements nest.
    pub const STATEMENTS: usize = 400;
    /// Texts joined with `~` within one tag.
    pub const JOINED_TEXTS: usize = 16;
}

/// A text with holes. Compiled once, rendered for every contact.
///
/// # Contract
/// Pure: the same input gives the same text; no I/O, no clock. A panic or an error ends the attempt, not the engine.
pub trait Template: Send + Sync + 'static {
    /// Fills the holes.
    ///
    /// # Errors
    /// [`Kind::Template`] with the template's name, the line and the column.
    fn render(&self, input: TemplateInput<'_>) -> Result<String>;

    /// Names of the variables it uses, sorted, each once, without those it defines itself.
    fn variables(&self) -> Vec<String>;
}

/// Compiles one template. `name` is used in errors only.
///
/// # Errors
/// [`Kind::Template`] with name, line and column.
pub fn compile(name: &str, source: &str, syntax: TemplateSyntax) -> Result<Arc<dyn Template>> {
    Ok(match syntax {
        TemplateSyntax::Jinja => Arc::new(JinjaTemplate::compile(name, source)?),
        TemplateSyntax::Brace => Arc::new(BraceTemplate::compile(name, source)?),
    })
}

/// A variable and where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Usage {
    name: Box<str>,
    offset: usize,
}

/// Something wrong at a place of the source.
#[derive(Debug)]
struct Fault {
    message: String,
    offset: usize,
}

impl Fault {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), offset }
    }

    fn into_error(self, template: &str, source: &str) -> Error {
        let (line, column) = position(source, self.offset);
        Error::new(Kind::Template, self.message).with("template", template).with("line", line).with("column", column)
    }
}

/// Line and column of a byte offset, both from 1; columns count characters.
fn position(source: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(source.len());
    while !source.is_char_boundary(end) {
        end -= 1;
    }
    let before = &source[..end];
    let line_start = before.rfind('\n').map_or(0, |index| index + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Refuses a source over its limit before anything reads it.
fn check_source(source: &str) -> Result<(), Fault> {
    if source.len() > limits::SOURCE_BYTES {
        return Err(Fault::new(0, format!("the template is longer than {} bytes", limits::SOURCE_BYTES)));
    }
    Ok(())
}

/// The closest of `candidates`, when it is close enough to be what was meant.
fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}
