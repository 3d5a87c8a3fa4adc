//! The fields of a page are those of the OpenAPI document, and of the answers its examples got.

use super::page::{Endpoints, Field, Page, Place};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What the pages describe as a whole: below these paths an operation without a page is an error.
const NOT_DESCRIBED: &[&str] = &["/health", "/ready", "/metrics", "/webhooks/"];

/// The OpenAPI document.
pub struct Document(pub Value);

/// Properties of a body, with those that must be given.
#[derive(Default)]
struct Properties {
    schemas: BTreeMap<String, Value>,
    required: BTreeSet<String>,
}

impl Document {
    /// The operations that the pages have to describe.
    pub fn operations(&self) -> BTreeSet<(String, String)> {
        let ours = |path: &str| !NOT_DESCRIBED.iter().any(|start| path.starts_with(start));
        let paths = self.0["paths"].as_object().expect("paths");
        paths
            .iter()
            .filter(|(path, _)| ours(path))
            .flat_map(|(path, item)| {
                item.as_object().into_iter().flat_map(Map::keys).map(move |method| (method.to_uppercase(), path.clone()))
            })
            .filter(|(method, _)| method != "PARAMETERS")
            .collect()
    }

    /// An operation and the path template it has, from a method and the path of a request or a template.
    pub fn operation(&self, method: &str, path: &str) -> Option<(String, &Value)> {
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        let fits = |template: &str| {
            let (ours, theirs): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), template.split('/').collect());
            ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(ours, theirs)| theirs.starts_with('{') || ours == theirs)
        };
        let paths = self.0["paths"].as_object()?;
        let mut found: Vec<(&String, &Value)> = paths.iter().filter(|(template, _)| fits(template)).collect();
        found.sort_by_key(|(template, _)| template.matches('{').count());
        let (template, item) = found.first()?;
        Some(((*template).clone(), item.get(method.to_lowercase())?))
    }

    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().and_then(|target| target.strip_prefix('#')) {
            Some(pointer) => self.resolve(self.0.pointer(pointer).expect("a reference leads somewhere")),
            None => schema,
        }
    }

    /// The properties of an object, of its parts, and of its alternatives that are objects.
    fn properties(&self, schema: &Value, into: &mut Properties) {
        let schema = self.resolve(schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            into.schemas.entry(name.clone()).or_insert_with(|| property.clone());
        }
        into.required.extend(schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)));
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.properties(part, into);
        }
        for part in ["oneOf", "anyOf"].iter().flat_map(|word| schema[*word].as_array().into_iter().flatten()) {
            let mut alternative = Properties::default();
            self.properties(part, &mut alternative);
            for (name, schema) in alternative.schemas {
                into.schemas.entry(name).or_insert(schema);
            }
        }
    }

    /// The types a schema allows, in the pages' words; null is left out.
    fn kinds(&self, schema: &Value) -> BTreeSet<String> {
        let schema = self.resolve(schema);
        let mut kinds = BTreeSet::new();
        let names: Vec<&str> = match &schema["type"] {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        for name in names {
            match name {
                "null" => {}
                "array" => kinds.extend(self.kinds(&schema["items"]).into_iter().map(|kind| format!("{kind}[]"))),
                "string" if schema["format"] == "binary" => drop(kinds.insert("file".to_owned())),
                name => drop(kinds.insert(name.to_owned())),
            }
        }
        for part in ["allOf", "oneOf", "anyOf"].iter().flat_map(|word| schema[*word].as_array().into_iter().flatten()) {
            kinds.extend(self.kinds(part));
        }
        kinds
    }

    /// Bodies of an operation, whatever their form.
    fn bodies<'a>(&'a self, operation: &'a Value) -> impl Iterator<Item = &'a Value> {
        operation["requestBody"]["content"].as_object().into_iter().flat_map(Map::values).map(|content| &content["schema"])
    }
}

fn kinds_of(field: &Field) -> BTreeSet<String> {
    field.kind.split(" | ").filter(|kind| *kind != "null").map(str::to_owned).collect()
}

/// Checks the parameters and bodies of a group of operations.
pub fn check_inputs(page: &Page, endpoints: &Endpoints, document: &Document) {
    for (method, path) in &endpoints.operations {
        let place = page.at(endpoints.line);
        let Some((template, operation)) = document.operation(method, path) else { panic!("{place}: there is no {method} {path}") };
        assert_eq!(&template, path, "{place}: the path is written otherwise");
        let mut wanted: BTreeMap<(&str, String), (BTreeSet<String>, bool)> = BTreeMap::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let place = if parameter["in"] == "path" { "path" } else { "query" };
            let name = parameter["name"].as_str().expect("a name").to_owned();
            wanted.insert((place, name), (document.kinds(&parameter["schema"]), parameter["required"] == true));
        }
        let mut body = Properties::default();
        document.bodies(operation).for_each(|schema| document.properties(schema, &mut body));
        let several = document.bodies(operation).count() > 1;
        for (name, schema) in &body.schemas {
            // A form and JSON do not need the same.
            wanted.insert(("body", name.clone()), (document.kinds(schema), body.required.contains(name) && !several));
        }
        let inputs = endpoints.fields.iter().filter(|field| matches!(field.place, Place::Path | Place::Query | Place::Body));
        for field in inputs.filter(|field| field.path.len() == 1) {
            let place = match field.place {
                Place::Path => "path",
                Place::Query => "query",
                _ => "body",
            };
            let name = &field.path[0];
            let Some((kinds, required)) = wanted.remove(&(place, name.clone())) else {
                panic!("{}: {method} {path} has no {place} field {name}", page.at(field.line))
            };
            assert_eq!(kinds_of(field), kinds, "{}: the type of {name} in {method} {path}", page.at(field.line));
            assert_eq!(field.required, required, "{}: whether {name} is required in {method} {path}", page.at(field.line));
        }
        assert!(wanted.is_empty(), "{place}: {method} {path} has more fields: {:?}", wanted.keys().collect::<Vec<_>>());
        for field in endpoints.fields.iter().filter(|field| field.place == Place::Body && field.path.len() > 1) {
            let mut schema = Value::Object(Map::from_iter([("allOf".to_owned(), document.bodies(operation).cloned().collect())]));
            let mut kinds = BTreeSet::new();
            for name in &field.path {
                let mut properties = Properties::default();
                document.properties(&schema, &mut properties);
                let Some(below) = properties.schemas.remove(name) else {
                    panic!("{}: {method} {path} has no {name} there", page.at(field.line))
                };
                kinds = document.kinds(&below);
                // A list is described by its items.
                schema = Some(document.resolve(&below)["items"].clone()).filter(Value::is_object).unwrap_or(below);
            }
            assert_eq!(kinds_of(field), kinds, "{}: the type of {:?}", page.at(field.line), field.path);
        }
    }
}

/// Checks the documented fields of an answer against one that came. `known` are those that another page describes.
pub fn check_answer(page: &Page, endpoints: &Endpoints, answer: &Value, known: &BTreeSet<String>) {
    let fields: Vec<&Field> = endpoints.fields.iter().filter(|field| field.place == Place::Response).collect();
    if fields.is_empty() {
        return;
    }
    for field in &fields {
        let children: BTreeSet<&String> = fields
            .iter()
            .filter(|child| child.path.len() == field.path.len() + 1 && child.path.starts_with(&field.path))
            .filter_map(|child| child.path.last())
            .collect();
        for value in values(answer, &field.path) {
            // An object is described as a whole or not at all.
            for key in objects(value).filter(|_| !children.is_empty()).flat_map(Map::keys) {
                let place = page.at(field.line);
                assert!(children.contains(key), "{place}: {} has {key}, which is not described", field.path.join("."));
            }
            let found = match value {
                Value::Null => "null".to_owned(),
                Value::Bool(_) => "boolean".to_owned(),
                Value::Number(number) if number.is_f64() => "number".to_owned(),
                Value::Number(_) => "integer".to_owned(),
                Value::String(_) => "string".to_owned(),
                Value::Object(_) => "object".to_owned(),
                Value::Array(_) => "[]".to_owned(),
            };
            let fits = field
                .kind
                .split(" | ")
                .any(|kind| kind == found || kind == "number" && found == "integer" || found == "[]" && kind.ends_with("[]"));
            assert!(fits, "{}: {} is documented as {} and came as {found}", page.at(field.line), field.path.join("."), field.kind);
        }
    }
    for field in fields.iter().filter(|field| field.path.len() == 1 && field.required) {
        assert!(answer.get(&field.path[0]).is_some(), "{}: {} is not always there", page.at(field.line), field.path[0]);
    }
    // Answers about a campaign are its object, which has a page of its own, and more.
    let is_campaign = answer.get("campaign_type").is_some();
    let top: BTreeSet<&String> = fields.iter().filter(|field| field.path.len() == 1).map(|field| &field.path[0]).collect();
    for key in answer.as_object().into_iter().flat_map(Map::keys) {
        assert!(
            top.contains(key) || is_campaign && known.contains(key),
            "{}: the answer has {key}, which is not described",
            page.at(endpoints.line)
        );
    }
}

/// The values at a path; lists stand for their items.
fn values<'a>(answer: &'a Value, path: &[String]) -> Vec<&'a Value> {
    path.iter().fold(vec![answer], |values, name| {
        values.into_iter().flat_map(|value| objects(value).filter_map(|object| object.get(name)).collect::<Vec<_>>()).collect()
    })
}

/// A value as an object, or its items.
fn objects(value: &Value) -> impl Iterator<Item = &Map<String, Value>> {
    let items = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    items.iter().filter_map(Value::as_object)
}

/// Every described field of an answer has come in one of the answers.
pub fn check_seen(page: &Page, endpoints: &Endpoints, answers: &[&Value]) {
    for field in endpoints.fields.iter().filter(|field| field.place == Place::Response) {
        let seen = answers.iter().any(|answer| has(answer, &field.path));
        assert!(seen, "{}: no example shows {}", page.at(field.line), field.path.join("."));
    }
}

fn has(value: &Value, path: &[String]) -> bool {
    match (value, path) {
        (_, []) => true,
        (Value::Array(items), _) => items.iter().any(|item| has(item, path)),
        (_, [name, rest @ ..]) => value.get(name).is_some_and(|value| has(value, rest)),
    }
}
