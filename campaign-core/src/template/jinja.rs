//! The Jinja syntax, through minijinja.

use super::{Fault, Given, Template, TemplateInput, Usage, filters, guard, limits};
use crate::error::Result;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use std::fmt;
use std::io;
use std::sync::{Arc, LazyLock};

/// A template in the Jinja syntax; see the [module](super) for what it may use.
pub struct JinjaTemplate {
    name: String,
    source: Arc<str>,
    environment: Environment<'static>,
    usages: Vec<Usage>,
    /// The variables, sorted: a rendering looks up these and nothing else.
    names: Arc<[Box<str>]>,
}

/// The one template of its environment.
const ENTRY: &str = "template";

/// Filters, tests and settings are the same for every template; an environment is cloned cheaply.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_debug(false);
    environment.set_fuel(Some(limits::STEPS));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    filters::register(&mut environment);
    environment
});

impl JinjaTemplate {
    /// Compiles a template; `name` is used in errors.
    ///
    /// # Errors
    /// [`crate::Kind::Template`] for a syntax error, for anything that is not on the allow-list, and for a template over its limits.
    pub fn compile(name: &str, source: &str) -> Result<Self> {
        Self::build(name, source).map_err(|fault| fault.into_error(name, source))
    }

    fn build(name: &str, source: &str) -> Result<Self, Fault> {
        let usages = guard::check(source)?;
        let mut environment = ENVIRONMENT.clone();
        environment.add_template_owned(ENTRY, source.to_owned()).map_err(|error| guard::fault_of(&error, source))?;
        let mut names: Vec<Box<str>> = usages.iter().map(|usage| usage.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(Self { name: name.to_owned(), source: source.into(), environment, usages, names: names.into() })
    }

    pub(super) fn usages(&self) -> impl Iterator<Item = &Usage> {
        self.usages.iter()
    }

    fn fill(&self, input: TemplateInput<'_>) -> Result<String, Fault> {
        let values = self.names.iter().map(|name| self.value(input, name)).collect::<Result<Vec<_>, _>>()?;
        let scope = Value::from_object(Scope { names: self.names.clone(), values });
        let template = self.environment.get_template(ENTRY).map_err(|error| guard::fault_of(&error, &self.source))?;
        let mut output = Capped { text: Vec::with_capacity(self.source.len() + 64), full: false };
        match template.render_captured_to(scope, &mut output) {
            // Everything the engine writes are whole strings, so the conversion loses nothing.
            Ok(_) => Ok(String::from_utf8(output.text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
            Err(error) => {
                let message = if output.full { format!("the text is longer than {} bytes", limits::OUTPUT_BYTES) } else { explain(&error) };
                Err(Fault::new(guard::offset_of(&error, &self.source), message))
            }
        }
    }

    fn value(&self, input: TemplateInput<'_>, name: &str) -> Result<Value, Fault> {
        let Some(given) = input.value(name) else {
            return Ok(Value::from_object(Missing(input.fallback(name).into())));
        };
        let mut budget = limits::VALUE_BYTES;
        let value = match given {
            Given::Text(text) => spend(&mut budget, text.len()).map(|()| Value::from(text)),
            Given::Json(json) => convert(json, &mut budget),
        };
        value.ok_or_else(|| {
            let offset = self.usages.iter().find(|usage| &*usage.name == name).map_or(0, |usage| usage.offset);
            Fault::new(offset, format!("the value of `{name}` is longer than {} bytes", limits::VALUE_BYTES))
        })
    }
}

impl Template for JinjaTemplate {
    fn render(&self, input: TemplateInput<'_>) -> Result<String> {
        self.fill(input).map_err(|fault| fault.into_error(&self.name, &self.source))
    }

    fn variables(&self) -> Vec<String> {
        self.names.iter().map(|name| name.to_string()).collect()
    }
}

fn spend(budget: &mut usize, bytes: usize) -> Option<()> {
    *budget = budget.checked_sub(bytes)?;
    Some(())
}

fn convert(json: &serde_json::Value, budget: &mut usize) -> Option<Value> {
    use serde_json::Value as Json;
    spend(budget, 1)?;
    Some(match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .or_else(|| number.as_f64().map(Value::from))
            .unwrap_or_default(),
        Json::String(text) => {
            spend(budget, text.len())?;
            Value::from(text.as_str())
        }
        Json::Array(items) => Value::from(items.iter().map(|item| convert(item, budget)).collect::<Option<Vec<_>>>()?),
        Json::Object(fields) => {
            let pairs = fields.iter().map(|(key, field)| {
                spend(budget, key.len())?;
                Some((key.as_str(), convert(field, budget)?))
            });
            Value::from_pairs(pairs.collect::<Option<Vec<_>>>()?)
        }
    })
}

/// The engine's own words may quote values, so only those of our filters are passed on.
fn explain(error: &minijinja::Error) -> String {
    if let Some(said) = std::error::Error::source(error).and_then(|source| source.downcast_ref::<filters::Said>()) {
        return said.0.to_string();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => format!("the template takes more than {} steps", limits::STEPS),
        ErrorKind::TooManyArguments => "too many arguments for this filter".to_owned(),
        ErrorKind::MissingArgument => "an argument is missing here".to_owned(),
        ErrorKind::InvalidOperation => "the values cannot be used this way here: not a list, not a pair, or a division by zero".to_owned(),
        kind => kind.to_string(),
    }
}

/// The variables of one rendering.
struct Scope {
    names: Arc<[Box<str>]>,
    values: Vec<Value>,
}

impl Object for Scope {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let index = self.names.binary_search_by(|name| (**name).cmp(key)).ok()?;
        self.values.get(index).cloned()
    }
}

/// Shows nothing: values of people stay out of logs.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("variables")
    }
}

/// A variable without a value. It is false, empty and not `defined`, and writes its fallback.
pub(super) struct Missing(pub(super) Box<str>);

impl Object for Missing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects the output and stops at the limit, so that a loop cannot write without end.
struct Capped {
    text: Vec<u8>,
    full: bool,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > limits::OUTPUT_BYTES {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
