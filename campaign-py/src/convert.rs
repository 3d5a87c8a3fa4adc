//! JSON and Python values.

use crate::errors;
use campaign_core::wire::Object;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString};
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
pub(crate) fn to_json(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    nested(value, 0)
}

/// Arguments by name as a JSON object.
pub(crate) fn object(value: &Bound<'_, PyAny>) -> PyResult<Object> {
    match nested(value, 0)? {
        Value::Object(object) => Ok(object),
        _ => Err(PyTypeError::new_err("a mapping is wanted here")),
    }
}

fn nested(value: &Bound<'_, PyAny>, depth: u32) -> PyResult<Value> {
    if depth > DEEPEST {
        return Err(errors::invalid(value.py(), "the value is nested too deeply"));
    }
    if value.is_none() {
        return Ok(Value::Null);
    }
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Value::Bool(value.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::String(text.to_str()?.to_owned()));
    }
    if value.is_instance_of::<PyInt>() {
        return match (value.extract::<i64>(), value.extract::<u64>()) {
            (Ok(whole), _) => Ok(Value::from(whole)),
            (_, Ok(whole)) => Ok(Value::from(whole)),
            _ => Err(PyValueError::new_err("a whole number has more than 64 bits")),
        };
    }
    if value.is_instance_of::<PyFloat>() {
        return number(value.extract()?);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        let mut object = Object::new();
        for (key, value) in dict {
            object.insert(name(&key)?, nested(&value, depth + 1)?);
        }
        return Ok(Value::Object(object));
    }
    if let Ok(mapping) = value.cast::<PyMapping>() {
        let mut object = Object::new();
        for pair in mapping.items()? {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
            object.insert(name(&key)?, nested(&value, depth + 1)?);
        }
        return Ok(Value::Object(object));
    }
    plain(value, depth)
}

fn number(value: f64) -> PyResult<Value> {
    // What is not a number in a table means that the cell is empty.
    Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
}

fn name(key: &Bound<'_, PyAny>) -> PyResult<String> {
    match key.cast::<PyString>() {
        Ok(text) => Ok(text.to_str()?.to_owned()),
        Err(_) => match nested(key, DEEPEST)? {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(PyTypeError::new_err("the keys of a mapping must be texts")),
        },
    }
}

/// Everything that is not a type of JSON.
fn plain(value: &Bound<'_, PyAny>, depth: u32) -> PyResult<Value> {
    let has = |name: &str| value.hasattr(name);
    if has("_json")? {
        return nested(&value.call_method0("_json")?, depth + 1);
    }
    if has("isoformat")? {
        return Ok(Value::String(value.call_method0("isoformat")?.extract()?));
    }
    if has("total_seconds")? {
        return number(value.call_method0("total_seconds")?.extract()?);
    }
    if has("item")? && has("dtype")? {
        return nested(&value.call_method0("item")?, depth + 1);
    }
    if has("as_integer_ratio")? {
        return number(value.extract()?);
    }
    if has("__fspath__")? || has("int")? && has("hex")? {
        return Ok(Value::String(value.str()?.to_str()?.to_owned()));
    }
    if has("value")? && has("name")? {
        return nested(&value.getattr("value")?, depth + 1);
    }
    if has("__iter__")? && !has("decode")? {
        let items = value.try_iter()?.map(|item| nested(&item?, depth + 1));
        return items.collect::<PyResult<Vec<_>>>().map(Value::Array);
    }
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!("a value of type {kind} cannot be stored; use texts, numbers, booleans, lists and dicts")))
}
