//! JSON and Python values.

use crate::errors;
use campaign_core::wire::Object;
use campaign_core::{Error, Kind};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple, PyType};
use serde_json::{Number, Value};

/// Nested deeper, a value is refused instead of exhausting the stack.
const DEEPEST: u32 = 64;

/// A JSON value as Python has it.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => whole.into_pyobject(py)?.into_any(),
            (None, Some(whole)) => whole.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64().unwrap_or(f64::NAN)).into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(object) => dict(py, object)?.into_any(),
    })
}

/// A JSON object as a dict.
pub(crate) fn dict<'py>(py: Python<'py>, object: &Object) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in object {
        dict.set_item(key, to_python(py, value)?)?;
    }
    Ok(dict)
}

/// A Python value as JSON: what JSON has, and dates, enums, decimals, paths, ids and numbers of numpy as the text or number they are.
/// What is neither is refused with an `InvalidError` that names the place, never the value.
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    nested(value, 0).map_err(|refused| refused.raise(value.py()))
}

/// Arguments by name as a JSON object.
pub(crate) fn object(value: &Bound<'_, PyAny>) -> PyResult<Object> {
    match to_json(value)? {
        Value::Object(object) => Ok(object),
        _ => Err(errors::invalid(value.py(), "a mapping is wanted here")),
    }
}

/// Why a value is no JSON, and where in it.
struct Refused {
    /// What is wrong, or what the value's own code raised.
    why: Result<String, PyErr>,
    /// The keys and positions that lead there, innermost first.
    place: Vec<String>,
}

impl Refused {
    fn new(why: impl Into<String>) -> Self {
        Self { why: Ok(why.into()), place: Vec::new() }
    }

    /// Found under this key. A key may be a phone number, which no error shows.
    fn under(mut self, key: &str) -> Self {
        let digits = key.bytes().filter(u8::is_ascii_digit).count();
        self.place.push(if digits < 6 { key.to_owned() } else { "…".to_owned() });
        self
    }

    fn raise(mut self, py: Python<'_>) -> PyErr {
        let why = match self.why {
            Ok(why) => why,
            // What the value's own code raises is not ours to hide: an interrupt ends the program as it should.
            Err(own) if !own.is_instance_of::<PyException>(py) => return own,
            Err(own) => {
                let error = errors::invalid(py, "a value cannot be read");
                error.set_cause(py, Some(own));
                return error;
            }
        };
        self.place.reverse();
        let mut error = Error::new(Kind::Invalid, why);
        if !self.place.is_empty() {
            error = error.with("field", self.place.join("."));
        }
        errors::raise(py, &error)
    }
}

impl From<PyErr> for Refused {
    fn from(own: PyErr) -> Self {
        Self { why: Err(own), place: Vec::new() }
    }
}

impl From<pyo3::CastError<'_, '_>> for Refused {
    fn from(_: pyo3::CastError<'_, '_>) -> Self {
        Self::new("the value is of the wrong kind")
    }
}

fn nested(value: &Bound<'_, PyAny>, depth: u32) -> Result<Value, Refused> {
    if depth > DEEPEST {
        return Err(Refused::new("the value is nested too deeply"));
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return chars(text).map(Value::String);
    }
    if value.is_instance_of::<PyInt>() {
        return match (value.extract::<i64>(), value.extract::<u64>()) {
            (Ok(whole), _) => Ok(Value::from(whole)),
            (_, Ok(whole)) => Ok(Value::from(whole)),
            _ => Err(Refused::new("a whole number has more than 64 bits; give it as a text")),
        };
    }
    if value.is_instance_of::<PyFloat>() {
        return number(value.extract()?);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        // Copied, because a value's own code may change the dict while it is walked through.
        return members(dict.items().iter().map(Ok), depth);
    }
    if let Ok(mapping) = value.cast::<PyMapping>() {
        return members(mapping.items()?.iter().map(Ok), depth);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return items(value, depth);
    }
    plain(value, depth)
}

fn chars(text: &Bound<'_, PyString>) -> Result<String, Refused> {
    text.to_str().map(str::to_owned).map_err(|_| Refused::new("a text has half of a surrogate pair, which no other program can read"))
}

fn members<'py>(pairs: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>, depth: u32) -> Result<Value, Refused> {
    let mut object = Object::new();
    for pair in pairs {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
        let key = name(&key)?;
        let value = nested(&value, depth + 1).map_err(|refused| refused.under(&key))?;
        object.insert(key, value);
    }
    Ok(Value::Object(object))
}

fn items(value: &Bound<'_, PyAny>, depth: u32) -> Result<Value, Refused> {
    let mut out = Vec::new();
    for item in value.try_iter()? {
        let item = nested(&item?, depth + 1).map_err(|refused| refused.under(&out.len().to_string()))?;
        out.push(item);
    }
    Ok(Value::Array(out))
}

/// Not a number, as a budget or a limit, would pass for "none was given".
fn number(value: f64) -> Result<Value, Refused> {
    Number::from_f64(value).map(Value::Number).ok_or_else(|| Refused::new("a number must be finite"))
}

fn name(key: &Bound<'_, PyAny>) -> Result<String, Refused> {
    match key.cast::<PyString>() {
        Ok(text) => chars(text),
        Err(_) => match nested(key, DEEPEST) {
            Ok(Value::String(text)) => Ok(text),
            Ok(Value::Number(number)) => Ok(number.to_string()),
            Err(own @ Refused { why: Err(_), .. }) => Err(own),
            _ => Err(Refused::new("the keys of a mapping must be texts")),
        },
    }
}

/// Everything that is not a type of JSON.
fn plain(value: &Bound<'_, PyAny>, depth: u32) -> Result<Value, Refused> {
    // A class has the methods of its instances, and calling them there says nothing.
    let has = |name: &str| if value.is_instance_of::<PyType>() { Ok(false) } else { value.hasattr(name) };
    if has("_json")? {
        return nested(&value.call_method0("_json")?, depth + 1);
    }
    if has("isoformat")? {
        let text: String = value.call_method0("isoformat")?.extract()?;
        // How pandas says that a moment is missing.
        return Ok(if text == "NaT" { Value::Null } else { Value::String(text) });
    }
    if has("total_seconds")? {
        return number(value.call_method0("total_seconds")?.extract()?);
    }
    if has("dtype")? {
        // Arrays and columns are lists of scalars; a scalar says what it is, and a moment of numpy would say a bare number.
        return match (value.getattr_opt("ndim")?.map(|ndim| ndim.extract()).transpose()?, has("item")?) {
            (Some(0_usize), true) if value.getattr("dtype")?.getattr_opt("kind")?.is_some_and(|kind| kind.eq("M").unwrap_or(false)) => {
                let text = chars(&value.str()?)?;
                Ok(if text == "NaT" { Value::Null } else { Value::String(text) })
            }
            (Some(0_usize), true) => nested(&value.call_method0("item")?, depth + 1),
            _ => items(value, depth),
        };
    }
    if has("as_integer_ratio")? {
        return number(value.extract()?);
    }
    if has("__fspath__")? || has("int")? && has("hex")? {
        return chars(&value.str()?).map(Value::String);
    }
    if has("value")? && has("name")? {
        return nested(&value.getattr("value")?, depth + 1);
    }
    if has("__iter__")? && !has("decode")? {
        return items(value, depth);
    }
    let kind = value.get_type().name()?;
    Err(Refused::new(format!("a value of type {kind} cannot be stored; use texts, numbers, booleans, lists and dicts")))
}
