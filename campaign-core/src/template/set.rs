//! All templates of a campaign.

use super::{CampaignValues, Template, TemplateInput, compile};
use crate::campaign::{CampaignSpec, TemplateSyntax};
use crate::contact::{NewContact, Variables};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name without the `_template` that some APIs append.
pub(super) fn short_name(name: &str) -> &str {
    name.strip_suffix("_template").filter(|short| !short.is_empty()).unwrap_or(name)
}

/// The sources of a spec by their short names; the voicemail settings' own message goes before a template of its name.
pub(super) fn sources(spec: &CampaignSpec) -> BTreeMap<&str, &str> {
    let mut sources: BTreeMap<&str, &str> = spec.templates.iter().map(|(name, source)| (short_name(name), source.as_str())).collect();
    if let Some(message) = &spec.voicemail.voicemail_message {
        sources.insert("voicemail_message", message);
    }
    sources
}

/// The compiled templates of a campaign with its fallbacks. Made once per version of the spec; cheap to clone.
///
/// Names with and without `_template` mean the same: `welcome_message_template` is `welcome_message`.
///
/// ```
/// use campaign_core::campaign::CampaignSpec;
/// use campaign_core::contact::Variables;
/// use campaign_core::template::TemplateSet;
///
/// let spec = CampaignSpec::sms("Reminders").template("sms_message", "Hi {{ name|title_case }}!").build()?;
/// let set = TemplateSet::compile(&spec)?;
/// # let contact = serde_json::from_str(r#"{"phone": "+15551234567", "name": "john smith", "zones": ""}"#).unwrap();
/// assert_eq!(set.render("sms_message", &contact, &Variables::new())?, "Hi John Smith!");
/// # Ok::<(), campaign_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TemplateSet {
    templates: Arc<BTreeMap<String, Arc<dyn Template>>>,
    values: Arc<CampaignValues>,
}

impl TemplateSet {
    /// Compiles every template of a spec.
    ///
    /// # Errors
    /// [`crate::Kind::Template`] for the first one that does not compile; [`super::lint()`] finds all of them.
    pub fn compile(spec: &CampaignSpec) -> Result<Self> {
        let templates = sources(spec)
            .into_iter()
            .map(|(name, source)| Ok((name.to_owned(), compile(name, source, spec.template_syntax)?)))
            .collect::<Result<_>>()?;
        Ok(Self { templates: Arc::new(templates), values: Arc::new(CampaignValues::of(spec)) })
    }

    /// With a template of one's own in place of, or beside, those of the spec.
    #[must_use]
    pub fn with(mut self, name: &str, template: Arc<dyn Template>) -> Self {
        Arc::make_mut(&mut self.templates).insert(short_name(name).to_owned(), template);
        self
    }

    /// The names of the templates, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.templates.keys().map(String::as_str)
    }

    /// The template of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Template>> {
        self.templates.get(short_name(name))
    }

    /// What the campaign contributes: fallbacks and the assistant's name.
    pub fn values(&self) -> &CampaignValues {
        &self.values
    }

    /// Renders one template for a contact. `extra` are values of this one rendering (`attempt_number`, ...) and go before the contact's.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`] without such a template, [`crate::Kind::Template`] when it fails.
    pub fn render(&self, name: &str, contact: &NewContact, extra: &Variables) -> Result<String> {
        let template = self.get(name).ok_or_else(|| Error::not_found("template", format_args!("`{name}`")))?;
        template.render(TemplateInput::new(&self.values).contact(contact).values(extra))
    }

    /// Renders all of them for a contact, by name.
    ///
    /// # Errors
    /// [`crate::Kind::Template`] for the first that fails.
    pub fn render_all(&self, contact: &NewContact, extra: &Variables) -> Result<BTreeMap<String, String>> {
        let input = TemplateInput::new(&self.values).contact(contact).values(extra);
        self.templates.iter().map(|(name, template)| Ok((name.clone(), template.render(input)?))).collect()
    }
}

/// Renders a source with plain values, without a campaign.
///
/// `fallback_values` are those of a campaign; the system defaults hold as well.
///
/// # Errors
/// [`crate::Kind::Template`] with line and column.
pub fn preview(source: &str, syntax: TemplateSyntax, values: &Variables, fallback_values: &BTreeMap<String, String>) -> Result<String> {
    let campaign = CampaignValues { fallback_values: fallback_values.clone(), ..CampaignValues::default() };
    compile("preview", source, syntax)?.render(TemplateInput::new(&campaign).values(values))
}
