//! The templates of a campaign over its contacts, and what lint says about them.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "a test may panic, print and measure")]

use campaign_core::Kind;
use campaign_core::campaign::{CampaignSpec, CampaignType, Condition, Step, TemplateSyntax};
use campaign_core::contact::{NewContact, Variables};
use campaign_core::id::Money;
use campaign_core::outcome::Channel;
use campaign_core::template::{FindingCode, Severity, Template, TemplateInput, TemplateSet, lint, sms::Encoding};
use serde_json::json;
use std::sync::Arc;

fn contact(fields: serde_json::Value) -> NewContact {
    let mut contact = json!({"phone": "+15551234567", "zones": ""});
    contact.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(contact).unwrap()
}

fn spec(templates: &[(&str, &str)]) -> CampaignSpec {
    CampaignSpec {
        templates: templates.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect(),
        ..CampaignSpec::default()
    }
}

#[test]
fn a_contact_is_rendered_with_everything_it_has() {
    let mut spec = spec(&[
        ("welcome_message_template", "Hi {{name}}, {{assistant_name}} here, {{phone|phone_format}}, {{city}}, attempt {{attempt_number}}."),
        ("agenda", "{{assistant_name|default('x')}} {{company}} {{email}}"),
    ]);
    spec.assistant_name = Some("Sarah".to_owned());
    spec.fallback_values.insert("company".to_owned(), "our firm".to_owned());
    spec.voicemail.voicemail_message = Some("Call us, {{first_name}}".to_owned());
    let set = TemplateSet::compile(&spec).unwrap();
    assert_eq!(set.names().collect::<Vec<_>>(), ["agenda", "voicemail_message", "welcome_message"]);
    let ann = contact(json!({"name": "Ann Lee", "email": "a@b.c", "variables": {"city": "Oslo", "company": "Ann Ltd"}}));
    let extra = json!({"attempt_number": 2}).as_object().unwrap().clone();
    for name in ["welcome_message", "welcome_message_template"] {
        assert_eq!(set.render(name, &ann, &extra).unwrap(), "Hi Ann Lee, Sarah here, (555) 123-4567, Oslo, attempt 2.");
    }
    let all = set.render_all(&ann, &extra).unwrap();
    assert_eq!(all["agenda"], "Sarah Ann Ltd a@b.c");
    assert_eq!(all["voicemail_message"], "Call us, Ann");
    let nobody = set.render_all(&contact(json!({})), &Variables::new()).unwrap();
    assert_eq!(nobody["agenda"], "Sarah our firm ");
    assert_eq!(nobody["voicemail_message"], "Call us, there");
    assert_eq!(set.render("none", &ann, &extra).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(set.get("welcome_message").unwrap().variables(), ["assistant_name", "attempt_number", "city", "name", "phone"]);
}

#[test]
fn values_of_one_rendering_go_first() {
    let set = TemplateSet::compile(&spec(&[("m", "{{name}} {{city}}")])).unwrap();
    let extra = json!({"name": "Bob", "city": ""}).as_object().unwrap().clone();
    assert_eq!(set.render("m", &contact(json!({"name": "Ann", "variables": {"city": "Oslo"}})), &extra).unwrap(), "Bob Oslo");
}

#[test]
fn a_template_of_ones_own_plugs_in() {
    struct Shout;
    impl Template for Shout {
        fn render(&self, input: TemplateInput<'_>) -> campaign_core::Result<String> {
            Ok(input.value("name").map_or_else(|| input.fallback("name").into(), |name| name.text()).to_uppercase())
        }
        fn variables(&self) -> Vec<String> {
            vec!["name".to_owned()]
        }
    }
    let set = TemplateSet::compile(&spec(&[])).unwrap().with("welcome_message_template", Arc::new(Shout));
    assert_eq!(set.render("welcome_message", &contact(json!({"name": "Ann"})), &Variables::new()).unwrap(), "ANN");
    assert_eq!(set.render("welcome_message", &contact(json!({})), &Variables::new()).unwrap(), "THERE");
}

#[test]
fn errors_name_the_template_and_no_value() {
    let error = TemplateSet::compile(&spec(&[("agenda", "a\nb {{ name | }}")])).err().unwrap();
    assert_eq!(error.kind(), Kind::Template);
    assert!(error.to_string().contains("template agenda, line 2, column"), "{error}");
    let set = TemplateSet::compile(&spec(&[("m", "{{ 1 // secret|int }} {{ 7 in secret|int }}")])).unwrap();
    let error = set.render("m", &contact(json!({"variables": {"secret": "0"}})), &Variables::new()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret: "), "{error:?}");
    let long = "s3cret".repeat(10_000);
    let error = TemplateSet::compile(&spec(&[("m", "{{ note }}")])).unwrap().render(
        "m",
        &contact(json!({"variables": {"note": long}})),
        &Variables::new(),
    );
    let error = error.unwrap_err();
    assert!(error.to_string().contains("`note`") && !format!("{error:?}").contains("s3cret"), "{error:?}");
}

#[test]
fn brace_knows_the_columns_of_the_campaign() {
    let mut spec = spec(&[("m", "{name} {city}")]);
    spec.template_syntax = TemplateSyntax::Brace;
    let render = |spec: &CampaignSpec| TemplateSet::compile(spec).unwrap().render("m", &contact(json!({"name": "Ann"})), &Variables::new());
    assert!(render(&spec).unwrap_err().to_string().contains("`city`"));
    spec.available_variables.insert("city".to_owned(), "City".to_owned());
    assert_eq!(render(&spec).unwrap(), "Ann ");
}

#[test]
fn lint_finds_what_is_wrong() {
    let mut spec = spec(&[
        ("sms_message", "Hi {{name}},\nyour apointment: {{ apointment_date }}. {{ nothing_like_it }}"),
        ("agenda", "Hi {{ name"),
        ("broken", "{% if 1 // count|int %}{% endif %}{{ count }}"),
    ]);
    spec.campaign_type = CampaignType::Mixed;
    let step = |template: &str| Step {
        channel: Channel::Sms,
        template: Some(template.to_owned()),
        delay_minutes: 0,
        next_day_at: None,
        when: Condition::default(),
        max_attempts: None,
    };
    spec.steps = vec![step("sms_message_template"), step("sms_mesage")];
    let contacts = [contact(json!({"name": "Ann", "variables": {"count": 0}})), contact(json!({"name": "Bob", "variables": {"count": 1}}))];
    let report = lint(&spec, &["appointment_date", "city", "count"], &contacts, None);
    assert!(!report.is_ok());
    let found: Vec<_> = report.findings.iter().map(|f| (f.severity, f.code, f.template.as_deref(), f.line)).collect();
    assert_eq!(
        found,
        [
            (Severity::Error, FindingCode::SyntaxError, Some("agenda"), Some(1)),
            (Severity::Error, FindingCode::RenderError, Some("broken"), Some(1)),
            (Severity::Error, FindingCode::UnknownTemplate, Some("sms_mesage"), None),
            (Severity::Warning, FindingCode::UnknownVariable, Some("sms_message"), Some(2)),
            (Severity::Warning, FindingCode::UnknownVariable, Some("sms_message"), Some(2)),
            (Severity::Info, FindingCode::UnusedColumn, None, None),
            (Severity::Info, FindingCode::UnusedColumn, None, None),
        ]
    );
    assert!(report.findings[1].message.contains("1 of 2 contacts"), "{}", report.findings[1].message);
    assert!(report.findings[2].message.contains("did you mean `sms_message`"));
    assert!(report.findings[3].message.contains("did you mean `appointment_date`"));
    assert_eq!(report.findings[3].column, Some(21));
    assert!(!report.findings[4].message.contains("did you mean"));
    assert_eq!(serde_json::to_value(&report).unwrap()["findings"][3]["code"], "unknown_variable");
}

#[test]
fn lint_prices_the_longest_message() {
    let mut campaign = spec(&[("sms_message", "Hi {{name}}")]);
    campaign.campaign_type = CampaignType::Sms;
    let contacts = [
        contact(json!({"name": "Ann"})),
        contact(json!({"name": "a".repeat(158)})),
        contact(json!({"name": format!("François {}", "a".repeat(130))})),
    ];
    let report = lint(&campaign, &[], &contacts, Some(Money::from_units(0.01)));
    let [message] = &report.messages[..] else { panic!("{report:?}") };
    assert_eq!((message.contact, message.encoding, message.segments, message.units), (Some(3), Encoding::Ucs2, 3, 142));
    assert_eq!(
        (message.total_segments, message.cost, message.total_cost),
        (6, Some(Money::from_units(0.03)), Some(Money::from_units(0.06)))
    );
    assert_eq!(message.forced_by, ['ç']);
    assert!(report.is_ok());
    let finding = report.findings.iter().find(|finding| finding.code == FindingCode::SmsUcs2).unwrap();
    assert!(finding.message.contains("U+00E7") && finding.line.is_none(), "{finding:?}");

    let typographic = spec(&[("sms_message", "Hi {{name}},\nwe’re here")]);
    let report = lint(&typographic, &[], &contacts[..1], None);
    let finding = report.findings.iter().find(|finding| finding.code == FindingCode::SmsUcs2).unwrap();
    assert_eq!((finding.line, finding.column), (Some(2), Some(3)));

    let alone = lint(&typographic, &["name"], [], None);
    assert_eq!((alone.messages[0].contact, alone.messages[0].characters), (None, 20));
}

/// Prints its speed; `cargo test --release --test template_set speed -- --nocapture` gives the figure that counts.
#[test]
fn speed_of_the_same_text_for_many() {
    let set = TemplateSet::compile(&spec(&[(
        "m",
        "Hi {{name|title_case}}, this is {{assistant_name}} from {{company|upper}}. {{phone|phone_format}}: {{appointment_date}} at {{time|default('noon')}}, {{city}}.",
    )]))
    .unwrap();
    let variables = json!({"appointment_date": "February 15th", "city": "Oslo", "time": "9:00"});
    let contact = contact(json!({"name": "john smith", "company": "Acme", "variables": variables}));
    let rounds = if cfg!(debug_assertions) { 20_000 } else { 500_000 };
    let started = std::time::Instant::now();
    for _ in 0..rounds {
        let text = set.render("m", &contact, &Variables::new()).unwrap();
        assert_eq!(text, "Hi John Smith, this is your assistant from ACME. (555) 123-4567: February 15th at 9:00, Oslo.");
    }
    println!("{:.0} renderings per second", f64::from(rounds) / started.elapsed().as_secs_f64());
}
