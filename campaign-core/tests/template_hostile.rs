//! Hostile templates end in an error or a bounded text, within a memory limit the operating system enforces.
//!
//! The test runs itself again in a child process under `ulimit -v`, so that a template that does exhaust memory kills the child
//! and fails the test instead of the machine.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use campaign_core::campaign::TemplateSyntax;
use campaign_core::contact::Variables;
use campaign_core::template::{limits, preview};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Address space of the child in KiB: the binary, its threads' stacks and some tens of megabytes of heap.
const MEMORY_KIB: u64 = 256 * 1024;
/// Processor seconds of the child for all templates together.
const SECONDS: u64 = 60;

fn hostile() -> Vec<(&'static str, String)> {
    let long = "x".repeat(limits::VALUE_BYTES - 1);
    let big = |text: &str, times: usize| text.repeat(times);
    vec![
        ("doubling", format!("{{% set a = 'xxxxxxxxxxxxxxxx' %}}{}{{{{ a }}}}", big("{% set a = a ~ a %}", 24))),
        ("doubling in with", format!("{}{{{{ a }}}}", big("{% with a = a ~ a %}", 40))),
        ("set block", "{% set a %}{% for i in items %}{{ long }}{% endfor %}{% endset %}".to_owned()),
        ("repeat a text", "{{ 'x' * 10000000000 }}".to_owned()),
        ("repeat a text from the left", "{{ 10000000000 * long }}".to_owned()),
        ("repeat a constant in a condition", "{% if 'x' * 10000000000 %}{% endif %}".to_owned()),
        ("repeat a list", "{{ ([1] * 10000000000)|length }}".to_owned()),
        ("repeat through a variable named loop", "{{ loop.index * 10000000000 }}".to_owned()),
        ("repeat through a loop over loop", "{% for loop in items %}{{ loop.index * 10000000000 }}{% endfor %}".to_owned()),
        ("range", "{% for i in range(1000000000) %}{{ long }}{% endfor %}".to_owned()),
        ("nested loops", "{% for a in items %}{% for b in items %}{% for c in items %}{% for d in items %}{{ long|length }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}".to_owned()),
        ("loops that write nothing", "{% for a in items %}{% for b in items %}{% for c in items %}{% endfor %}{% endfor %}{% endfor %}".to_owned()),
        ("loops that write a lot", "{% for a in items %}{% for b in items %}{{ long }}{% endfor %}{% endfor %}".to_owned()),
        ("loops over raw text", format!("{{% for a in items %}}{{% for b in items %}}{}{{% endfor %}}{{% endfor %}}", big("x", 60_000))),
        ("recursive loop", "{% for a in items recursive %}{{ loop(items) }}{% endfor %}".to_owned()),
        ("macro", "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}".to_owned()),
        ("call", "{% call a() %}{% endcall %}".to_owned()),
        ("include itself", "{% include 'template' %}".to_owned()),
        ("extend itself", "{% extends 'template' %}".to_owned()),
        ("blocks", "{% block a %}{{ self.a() }}{% endblock %}".to_owned()),
        ("filter block", "{% filter upper %}x{% endfilter %}".to_owned()),
        ("namespace", "{% set ns = namespace(a='x') %}".to_owned()),
        ("do", "{% do items.append(1) %}".to_owned()),
        ("replace", "{{ long|replace('x', long) }}".to_owned()),
        ("replace with nothing", "{{ long|replace('', long) }}".to_owned()),
        ("replace again and again", format!("{{{{ long{} }}}}", big("|replace('x','xx')", 30))),
        ("join with a long text", "{{ items|join(long) }}".to_owned()),
        ("join in a loop", "{% for a in items %}{% for b in items %}{% if (items|join(', '))|length > 5 %}{% endif %}{% endfor %}{% endfor %}".to_owned()),
        ("many joined texts", format!("{{{{ long{} }}}}", big(" ~ long", 100))),
        ("the most joined texts, compared in a loop", format!("{{% for a in items %}}{{% for b in items %}}{{% if long{} == 'x' %}}{{% endif %}}{{% endfor %}}{{% endfor %}}", big(" ~ long", limits::JOINED_TEXTS))),
        ("title case in a loop", "{% for a in items %}{% for b in items %}{% if long|title_case|upper|lower|title_case == 'x' %}{% endif %}{% endfor %}{% endfor %}".to_owned()),
        ("letters that grow", "{{ sharp|upper|lower|upper }}".to_owned()),
        ("long chain of filters", format!("{{{{ name{} }}}}", big("|upper", 9000))),
        ("long chain of attributes", format!("{{{{ name{} }}}}", big(".a", 20_000))),
        ("long chain of items", format!("{{{{ name{} }}}}", big("[0]", 20_000))),
        ("long chain of tests", format!("{{{{ name{} }}}}", big(" is none", 7000))),
        ("long sum", format!("{{{{ 1{} }}}}", big("+1", 20_000))),
        ("long and", format!("{{{{ 1{} }}}}", big(" and 1", 10_000))),
        ("long choice", format!("{{{{ 1{} }}}}", big(" if 1 else 1", 5_000))),
        ("long comparison", format!("{{{{ 1{} }}}}", big(" < 1", 15_000))),
        ("many nots", format!("{{{{ {}1 }}}}", big("not ", 15_000))),
        ("many minuses", format!("{{{{ {}1 }}}}", big("-", 60_000))),
        ("many parentheses", format!("{{{{ {}1{} }}}}", big("(", 30_000), big(")", 30_000))),
        ("many brackets", format!("{{{{ {}1{} }}}}", big("[", 30_000), big("]", 30_000))),
        ("many strings", format!("{{{{ {} }}}}", big("'x'", 20_000))),
        ("many elifs", format!("{{% if a %}}{}{{% endif %}}", big("{% elif a %}", 5_000))),
        ("as many elifs as allowed", format!("{{% if a %}}{}{{% endif %}}", big("{% elif a %}", limits::STATEMENTS - 2))),
        ("many ifs", format!("{}{}", big("{% if 1 %}", 3_000), big("{% endif %}", 3_000))),
        ("as many ifs as the parser nests", format!("{}{}", big("{% if 1 %}", 140), big("{% endif %}", 140))),
        ("the longest tag", format!("{{{{ {}1 }}}}", big("-", limits::TAG_TOKENS - 3))),
        ("the longest chain", format!("{{{{ name{} }}}}", big("|upper", limits::TAG_TOKENS / 2 - 2))),
        ("many tags", big("{{a}}", 13_000)),
        ("wide date format", format!("{{{{ '2024-02-15T09:00:00Z'|date('{}') }}}}", big("%255d", 20))),
        ("wider date format", format!("{{{{ '2024-02-15'|date('{}') }}}}", big("%255d", 5_000))),
        ("digits", "{{ 5|number(4000000000) }}{{ 1e300|round(4000000000) }}{{ 5|currency('USD') }}".to_owned()),
        ("overflow", "{{ 9223372036854775807 * 9223372036854775807 * 9223372036854775807 }}".to_owned()),
        ("truncate to the largest", "{{ long|truncate(18446744073709551615) }}".to_owned()),
        ("deep value", "{{ deep }}{{ deep == deep }}".to_owned()),
        ("long value", format!("{{{{ longer }}}}{long}")),
        ("source", big("x", limits::SOURCE_BYTES + 1)),
        ("braces", big("{", limits::SOURCE_BYTES)),
    ]
}

fn values() -> Variables {
    let mut deep = serde_json::json!([]);
    for _ in 0..500 {
        deep = serde_json::json!([deep]);
    }
    let long = "x".repeat(limits::VALUE_BYTES - 1);
    let values = serde_json::json!({
        "items": vec![1; 10_000],
        "loop": { "index": "x".repeat(1000) },
        "sharp": "ß".repeat(limits::VALUE_BYTES / 2),
        "longer": format!("{long}{long}"),
        "long": long,
        "deep": deep,
    });
    values.as_object().unwrap().clone()
}

#[test]
fn hostile_templates_stay_within_bounds() {
    if std::env::var_os("CAMPAIGN_HOSTILE_CHILD").is_some() {
        return child();
    }
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -v {MEMORY_KIB} && ulimit -t {SECONDS} && exec \"$0\" --exact hostile_templates_stay_within_bounds --nocapture"
        ))
        .arg(binary)
        .env("CAMPAIGN_HOSTILE_CHILD", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rfind(|line| line.starts_with("at ")).unwrap_or("before the first");
    assert!(output.status.success(), "ended {} {last}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("at ")).count(), hostile().len(), "{said}");
}

/// The limit is real: without it the test above would prove nothing.
#[test]
fn the_child_cannot_take_more_than_its_memory() {
    if std::env::var_os("CAMPAIGN_HOSTILE_CHILD").is_some() {
        let bytes = usize::try_from(MEMORY_KIB * 1024).unwrap();
        std::process::exit(if Vec::<u8>::new().try_reserve_exact(bytes).is_ok() { 0 } else { 7 });
    }
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {MEMORY_KIB} && exec \"$0\" --exact the_child_cannot_take_more_than_its_memory"))
        .arg(std::env::current_exe().unwrap())
        .env("CAMPAIGN_HOSTILE_CHILD", "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}

fn child() {
    let values = values();
    let fallbacks = BTreeMap::new();
    for (name, source) in hostile() {
        println!("at {name}");
        for syntax in [TemplateSyntax::Jinja, TemplateSyntax::Brace] {
            if let Ok(text) = preview(&source, syntax, &values, &fallbacks) {
                assert!(text.len() <= limits::OUTPUT_BYTES, "{name}");
            }
        }
    }
}
