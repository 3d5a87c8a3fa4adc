//! What must hold for every template and all values: it ends in a text below the limit or in an error that names its place.

use crate::campaign::{CampaignSpec, TemplateSyntax};
use crate::contact::Variables;
use crate::template::{limits, lint, preview, sms};
use std::collections::BTreeMap;

/// Renders and checks a template. The input's lines before the first empty one are `name=value` (a fallback after `?`); what follows
/// is the template.
///
/// # Panics
/// When something does not hold.
pub fn template(input: &str) {
    let (values, source) = input.split_once("\n\n").unwrap_or(("", input));
    let mut variables = Variables::new();
    let mut fallbacks = BTreeMap::new();
    for (name, value) in values.lines().filter_map(|line| line.split_once('=')) {
        let json = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        match name.strip_prefix('?') {
            Some(name) => drop(fallbacks.insert(name.to_owned(), value.to_owned())),
            None => drop(variables.insert(name.to_owned(), json)),
        }
    }
    for syntax in [TemplateSyntax::Jinja, TemplateSyntax::Brace] {
        match preview(source, syntax, &variables, &fallbacks) {
            Ok(text) => {
                assert!(text.len() <= limits::OUTPUT_BYTES);
                let size = sms::segments(&text);
                assert_eq!(size.segments == 0, text.is_empty());
                assert_eq!(sms::outside_gsm7(&text).is_empty(), size.encoding == sms::Encoding::Gsm7);
            }
            Err(error) => {
                let place = |key| error.context().iter().any(|entry| entry.0 == key && entry.1.parse::<usize>().is_ok_and(|at| at >= 1));
                assert!(place("line") && place("column"), "{error}");
            }
        }
        let spec = CampaignSpec {
            templates: [("sms_message".to_owned(), source.to_owned())].into(),
            template_syntax: syntax,
            fallback_values: fallbacks.clone(),
            ..CampaignSpec::default()
        };
        lint(&spec, &["name"], [], None);
    }
}
