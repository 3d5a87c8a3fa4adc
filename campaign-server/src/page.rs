//! The API page: the OpenAPI document as one page of HTML, without scripts and without anything from elsewhere.

use serde_json::Value;
use std::fmt::Write;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}\
code,pre{font:14px/1.4 ui-monospace,monospace}pre{background:#f5f6f8;padding:.8rem;overflow:auto;border-radius:6px}\
details{border:1px solid #d5d9de;border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}\
table{border-collapse:collapse;width:100%}td,th{border-bottom:1px solid #e4e7eb;padding:.3rem .5rem;text-align:left;vertical-align:top}\
b.m{display:inline-block;min-width:4.2rem}";

/// Renders the document.
pub(crate) fn render(document: &Value) -> String {
    let mut out = String::new();
    let info = &document["info"];
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title} {version}</h1><p>{description}</p>\
         <p>The same as a machine reads it: <a href=\"openapi.json\">openapi.json</a></p>",
        title = text(&info["title"]),
        version = text(&info["version"]),
        description = text(&info["description"]),
    );
    for tag in tags(document) {
        let _ = write!(out, "<h2>{}</h2>", escape(&tag));
        for (path, method, operation) in operations(document).filter(|(_, _, operation)| tag_of(operation) == tag) {
            self::operation(&mut out, document, path, method, operation);
        }
    }
    out.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let _ = write!(out, "<details id=\"{0}\"><summary><code>{0}</code></summary>", escape(name));
        self::schema(&mut out, schema);
        out.push_str("</details>");
    }
    out
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    document["paths"].as_object().into_iter().flatten().flat_map(|(path, item)| {
        let methods = ["get", "post", "put", "patch", "delete"];
        methods.into_iter().filter_map(move |method| Some((path.as_str(), method, item.get(method)?)))
    })
}

fn tag_of(operation: &Value) -> &str {
    operation["tags"][0].as_str().unwrap_or("other")
}

fn tags(document: &Value) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for (_, _, operation) in operations(document) {
        let tag = tag_of(operation).to_owned();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

fn operation(out: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        out,
        "<details><summary><b class=\"m\">{}</b> <code>{}</code> {}</summary><p>{}</p>",
        method.to_uppercase(),
        escape(path),
        text(&operation["summary"]),
        text(&operation["description"]),
    );
    if let Some(parameters) = operation["parameters"].as_array() {
        out.push_str("<table><tr><th>Parameter<th>In<th>Type<th>Meaning</tr>");
        for parameter in parameters {
            let _ = write!(
                out,
                "<tr><td><code>{}</code><td>{}<td>{}<td>{}</tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                kind(&parameter["schema"]),
                text(&parameter["description"]),
            );
        }
        out.push_str("</table>");
    }
    for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = write!(out, "<p>Body <code>{}</code>: {}</p>", escape(media), kind(&content["schema"]));
        example(out, document, content);
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let _ = write!(out, "<p><b>{}</b> {}", escape(status), text(&response["description"]));
        for content in response["content"].as_object().into_iter().flatten().map(|(_, content)| content) {
            let _ = write!(out, " {}</p>", kind(&content["schema"]));
            example(out, document, content);
        }
    }
    out.push_str("</details>");
}

fn example(out: &mut String, _document: &Value, content: &Value) {
    if let Some(example) = content.get("example") {
        let pretty = serde_json::to_string_pretty(example).unwrap_or_default();
        let _ = write!(out, "<pre>{}</pre>", escape(&pretty));
    }
}

fn schema(out: &mut String, schema: &Value) {
    let _ = write!(out, "<p>{}</p>", text(&schema["description"]));
    if let Some(properties) = schema["properties"].as_object() {
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        out.push_str("<table><tr><th>Field<th>Type<th>Meaning</tr>");
        for (name, property) in properties {
            let must = if required.contains(&name.as_str()) { " *" } else { "" };
            let _ =
                write!(out, "<tr><td><code>{}</code>{must}<td>{}<td>{}</tr>", escape(name), kind(property), text(&property["description"]));
        }
        out.push_str("</table>");
    } else {
        let _ = write!(out, "<p>{}</p>", kind(schema));
    }
}

/// A schema in a few words; a named one as a link.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()) {
        return format!("<a href=\"#{0}\">{0}</a>", escape(name));
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[key].as_array() {
            return parts.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    let plain = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    };
    let mut out = escape(&plain);
    if plain.starts_with("array") {
        let _ = write!(out, " of {}", kind(&schema["items"]));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().filter_map(Value::as_str).map(|value| format!("<code>{}</code>", escape(value))).collect();
        let _ = write!(out, ": {}", values.join(", "));
    }
    for (key, sign) in [("minimum", "&ge; "), ("maximum", "&le; ")] {
        if let Some(bound) = schema[key].as_f64() {
            let _ = write!(out, " {sign}{bound}");
        }
    }
    out
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_shows_every_operation_and_runs_nothing() {
        let html = render(&json!({
            "info": {"title": "T<script>", "version": "1"},
            "paths": {"/a/{id}": {"get": {"tags": ["one"], "summary": "Look", "responses": {"200": {"description": "Yes"}}}}},
            "components": {"schemas": {"S": {"properties": {"x": {"type": "integer", "minimum": 1}}, "required": ["x"]}}},
        }));
        assert!(html.contains("<code>/a/{id}</code> Look") && html.contains("integer &ge; 1") && html.contains("<code>x</code> *"));
        assert!(!html.contains("<script"));
    }
}
