//! Random sources and values: no panic, no output over the limit, every error with its place.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use campaign_core::testkit::fuzz;
use proptest::prelude::*;

/// Pieces that reach far into the parser when they are put together at random.
fn piece() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "{#",
        "#}",
        "{",
        "}",
        "{{name}}",
        "{name}",
        "name",
        "items",
        "loop",
        "loop.index",
        "|",
        "upper",
        "title_case",
        "date",
        "number",
        "currency",
        "join",
        "length",
        "int",
        "float",
        "round",
        "truncate",
        "replace",
        "plural",
        "default",
        "first_name",
        "phone_format",
        "(",
        ")",
        "[",
        "]",
        ",",
        ".",
        "'x'",
        "\"%Y\"",
        "1",
        "2.5",
        "-1",
        "99999999999999999999",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "~",
        "==",
        "<",
        "in",
        "is",
        "not",
        "and",
        "or",
        "defined",
        "divisibleby",
        "if",
        "elif",
        "else",
        "endif",
        "for",
        "i in items",
        "endfor",
        "set",
        "=",
        "macro",
        "raw",
        "{% for i in items %}",
        "{% endfor %}",
        "{% if name %}",
        "{% endif %}",
        "{{ items|join(name) }}",
        "{{ name|",
        "{{ 3 * ",
        "\n",
        " ",
        "é",
        "😀",
    ];
    prop_oneof![8 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => "\\PC{0,5}", 1 => any::<char>().prop_map(String::from)]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,20}",
        Just("[1, \"b\", [3], {\"c\": null}]".to_owned()),
        Just("{\"index\": \"x\"}".to_owned()),
        Just("2024-02-15T09:00:00Z".to_owned()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks(pieces in prop::collection::vec(piece(), 0..30), name in value(), items in value(), fallback in value()) {
        let source = pieces.concat();
        fuzz::template(&format!("name={name}\nitems={items}\nloop={items}\n?city={fallback}\n\n{source}"));
    }
}
