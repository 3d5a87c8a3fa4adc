//! What is wrong or costly about a campaign's templates, before anything is sent.

use super::input::SYSTEM_NAMES;
use super::set::{short_name, sources};
use super::sms::{self, Encoding};
use super::{BraceTemplate, CampaignValues, JinjaTemplate, Template, TemplateInput, Usage, closest, position};
use crate::campaign::{CampaignSpec, CampaignType, TemplateSyntax};
use crate::contact::NewContact;
use crate::error::Error;
use crate::id::Money;
use crate::outcome::Channel;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Probably not meant.
    Warning,
    /// The campaign cannot send this.
    Error,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingCode {
    /// The template does not compile.
    SyntaxError,
    /// A variable that is no column, no field of a contact and no fallback.
    UnknownVariable,
    /// A column that no template uses.
    UnusedColumn,
    /// A step names a template that does not exist.
    UnknownTemplate,
    /// The template fails for some of the contacts.
    RenderError,
    /// Characters outside GSM-7 more than halve what fits into a segment.
    SmsUcs2,
    /// The longest message takes more than one segment.
    SmsSegments,
    /// The longest message is longer than providers accept (1,600 characters).
    SmsTooLong,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub code: FindingCode,
    /// The template, when it is about one.
    pub template: Option<String>,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// One sentence for a person; never a value of a contact.
    pub message: String,
}

/// What the longest message made from a template takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageSize {
    /// The template.
    pub template: String,
    /// Which of the contacts it is, from 1; `None` when there were none and the fallbacks were used.
    pub contact: Option<u64>,
    /// Characters.
    pub characters: usize,
    /// Its encoding.
    pub encoding: Encoding,
    /// Septets or 16-bit units.
    pub units: u32,
    /// Segments billed.
    pub segments: u32,
    /// What it costs, when a price per segment was given.
    pub cost: Option<Money>,
    /// The characters that force UCS-2.
    pub forced_by: Vec<char>,
    /// Segments of all contacts together.
    pub total_segments: u64,
    /// What they cost together.
    pub total_cost: Option<Money>,
}

/// What [`lint()`] found, the worst first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LintReport {
    /// The findings, by severity, then template and place.
    pub findings: Vec<Finding>,
    /// The longest message of each SMS template.
    pub messages: Vec<MessageSize>,
}

impl LintReport {
    /// Whether nothing stands in the way of sending.
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Error)
    }
}

/// What most providers accept as the body of one message.
const SMS_CHARACTERS: usize = 1600;

/// Looks for mistakes in a campaign's templates.
///
/// `columns` are the slugs of the imported columns; those of `spec.available_variables` and of the contacts count as well, and
/// without any of them and without contacts nothing is called unknown. Every contact given is rendered with every template, so pass all of them for
/// exact totals, or a sample; memory does not grow with their number. `sms_price` is the price of one segment.
pub fn lint<'c>(
    spec: &CampaignSpec,
    columns: &[&str],
    contacts: impl IntoIterator<Item = &'c NewContact>,
    sms_price: Option<Money>,
) -> LintReport {
    let sources = sources(spec);
    let mut report = LintReport::default();
    let mut checks: Vec<Check<'_>> = Vec::new();
    for (name, source) in &sources {
        match Compiled::new(name, source, spec.template_syntax) {
            Ok(template) => checks.push(Check { name, source, template, longest: None, total_segments: 0, failure: None }),
            Err(error) => report.findings.push(of_error(&error, FindingCode::SyntaxError, name, error.message())),
        }
    }

    let values = CampaignValues::of(spec);
    let mut known: BTreeSet<String> = columns.iter().map(|column| (*column).to_owned()).chain(values.known.iter().cloned()).collect();
    let mut count = 0;
    for contact in contacts {
        count += 1;
        for name in contact.variables.keys() {
            if !known.contains(name) {
                known.insert(name.clone());
            }
        }
        checks.iter_mut().for_each(|check| check.row(TemplateInput::new(&values).contact(contact), Some(count)));
    }
    if count == 0 {
        // The caller told us every column, so a value for each of them may be assumed to exist.
        let values = CampaignValues { known: known.clone(), ..values.clone() };
        checks.iter_mut().for_each(|check| check.row(TemplateInput::new(&values), None));
    }

    // Before anything is imported nobody can say which columns there will be.
    let told = count > 0 || !known.is_empty();
    variables(&checks, &known, told, &values, &mut report.findings);
    steps(spec, &sources, &mut report.findings);
    let messages = sms_templates(spec);
    for check in checks {
        if let Some((error, failed)) = &check.failure {
            // A brace template that names an unknown variable fails for that reason; it has been said already.
            let said = report.findings.iter().any(|finding| {
                finding.code == FindingCode::UnknownVariable
                    && finding.severity == Severity::Error
                    && finding.template.as_deref() == Some(check.name)
            });
            if !said {
                let message = if count == 0 {
                    error.message().to_owned()
                } else {
                    format!("fails for {failed} of {count} contacts: {}", error.message())
                };
                report.findings.push(of_error(error, FindingCode::RenderError, check.name, &message));
            }
        }
        if messages.contains(check.name) {
            check.message(sms_price, &mut report);
        }
    }
    report.findings.sort_by(|left, right| {
        (right.severity.cmp(&left.severity))
            .then_with(|| (&left.template, left.line, left.column).cmp(&(&right.template, right.line, right.column)))
    });
    report
}

enum Compiled {
    Jinja(Box<JinjaTemplate>),
    Brace(BraceTemplate),
}

impl Compiled {
    fn new(name: &str, source: &str, syntax: TemplateSyntax) -> Result<Self, Error> {
        Ok(match syntax {
            TemplateSyntax::Jinja => Self::Jinja(Box::new(JinjaTemplate::compile(name, source)?)),
            TemplateSyntax::Brace => Self::Brace(BraceTemplate::compile(name, source)?),
        })
    }

    fn usages(&self) -> Vec<&Usage> {
        match self {
            Self::Jinja(template) => template.usages().collect(),
            Self::Brace(template) => template.usages().collect(),
        }
    }

    fn render(&self, input: TemplateInput<'_>) -> Result<String, Error> {
        match self {
            Self::Jinja(template) => template.render(input),
            Self::Brace(template) => template.render(input),
        }
    }
}

struct Check<'s> {
    name: &'s str,
    source: &'s str,
    template: Compiled,
    longest: Option<(Option<u64>, sms::Segments, String)>,
    total_segments: u64,
    /// The first error and how many contacts failed.
    failure: Option<(Error, u64)>,
}

impl Check<'_> {
    fn row(&mut self, input: TemplateInput<'_>, contact: Option<u64>) {
        match self.template.render(input) {
            Ok(text) => {
                let size = sms::segments(&text);
                self.total_segments += u64::from(size.segments);
                if self.longest.as_ref().is_none_or(|(_, longest, _)| (size.segments, size.units) > (longest.segments, longest.units)) {
                    self.longest = Some((contact, size, text));
                }
            }
            Err(error) => self.failure.get_or_insert((error, 0)).1 += 1,
        }
    }

    fn message(self, price: Option<Money>, report: &mut LintReport) {
        let Some((contact, size, text)) = self.longest else { return };
        let forced_by = sms::outside_gsm7(&text);
        let characters = text.chars().count();
        let mut find = |severity, code, line_column: Option<(usize, usize)>, message: String| {
            let (line, column) = line_column.unzip();
            report.findings.push(Finding { severity, code, template: Some(self.name.to_owned()), line, column, message });
        };
        if !forced_by.is_empty() {
            let characters: Vec<String> = forced_by.iter().take(10).map(|c| format!("{c:?} (U+{:04X})", u32::from(*c))).collect();
            let place = self.source.char_indices().find(|(_, c)| forced_by.contains(c)).map(|(offset, _)| position(self.source, offset));
            let whose = if place.is_some() { "in the template" } else { "in the contacts' values" };
            let message = format!("{} {whose} force UCS-2: 70 characters in one segment instead of 160", characters.join(", "));
            find(Severity::Warning, FindingCode::SmsUcs2, place, message);
        }
        if size.segments > 1 {
            let message =
                format!("the longest message takes {} segments ({} units of {})", size.segments, size.units, size.encoding.as_str());
            find(Severity::Info, FindingCode::SmsSegments, None, message);
        }
        if characters > SMS_CHARACTERS {
            let message = format!("the longest message has {characters} characters; providers accept {SMS_CHARACTERS}");
            find(Severity::Error, FindingCode::SmsTooLong, None, message);
        }
        let cost = |segments: u64| price.map(|price| Money(price.0.saturating_mul(i64::try_from(segments).unwrap_or(i64::MAX))));
        report.messages.push(MessageSize {
            template: self.name.to_owned(),
            contact,
            characters,
            encoding: size.encoding,
            units: size.units,
            segments: size.segments,
            cost: cost(u64::from(size.segments)),
            forced_by,
            total_segments: self.total_segments,
            total_cost: cost(self.total_segments),
        });
    }
}

fn of_error(error: &Error, code: FindingCode, template: &str, message: &str) -> Finding {
    let number = |key: &str| error.context().iter().find(|entry| entry.0 == key).and_then(|entry| entry.1.parse().ok());
    Finding {
        severity: Severity::Error,
        code,
        template: Some(template.to_owned()),
        line: number("line"),
        column: number("column"),
        message: message.to_owned(),
    }
}

/// Unknown variables, each at its first use in a template, and unused columns.
fn variables(checks: &[Check<'_>], known: &BTreeSet<String>, told: bool, values: &CampaignValues, findings: &mut Vec<Finding>) {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for check in checks {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for usage in check.template.usages() {
            let name = &*usage.name;
            used.insert(name);
            let exists = !told || known.contains(name) || values.fallback_values.contains_key(name) || SYSTEM_NAMES.contains(&name);
            if exists || !seen.insert(name) {
                continue;
            }
            let candidates = known.iter().map(String::as_str).chain(SYSTEM_NAMES);
            let hint = closest(name, candidates).map_or_else(String::new, |column| format!("; did you mean `{column}`?"));
            let (severity, effect) = match check.template {
                Compiled::Jinja(_) => (Severity::Warning, "renders to nothing unless it has a default"),
                Compiled::Brace(_) => (Severity::Error, "cannot be rendered"),
            };
            let (line, column) = position(check.source, usage.offset);
            findings.push(Finding {
                severity,
                code: FindingCode::UnknownVariable,
                template: Some(check.name.to_owned()),
                line: Some(line),
                column: Some(column),
                message: format!("there is no column `{name}`, so it {effect}{hint}"),
            });
        }
    }
    for column in known.iter().filter(|column| !used.contains(column.as_str()) && !SYSTEM_NAMES.contains(&column.as_str())) {
        findings.push(Finding {
            severity: Severity::Info,
            code: FindingCode::UnusedColumn,
            template: None,
            line: None,
            column: None,
            message: format!("no template uses the column `{column}`"),
        });
    }
}

fn steps(spec: &CampaignSpec, sources: &BTreeMap<&str, &str>, findings: &mut Vec<Finding>) {
    for (index, step) in spec.steps.iter().enumerate() {
        let Some(name) = step.template.as_deref().map(short_name).filter(|name| !sources.contains_key(name)) else { continue };
        let hint = closest(name, sources.keys().copied()).map_or_else(String::new, |other| format!("; did you mean `{other}`?"));
        findings.push(Finding {
            severity: Severity::Error,
            code: FindingCode::UnknownTemplate,
            template: Some(name.to_owned()),
            line: None,
            column: None,
            message: format!("step {} names the template `{name}`, which does not exist{hint}", index + 1),
        });
    }
}

/// Templates whose text goes out as SMS.
fn sms_templates(spec: &CampaignSpec) -> BTreeSet<&str> {
    let default = (spec.campaign_type != CampaignType::WhatsApp).then_some("sms_message");
    let of_steps = spec.steps.iter().filter(|step| step.channel == Channel::Sms).filter_map(|step| step.template.as_deref());
    default.into_iter().chain(of_steps.map(short_name)).collect()
}
