//! Texts made from templates. Pure; rendering never does I/O.

use crate::contact::Variables;
use crate::error::Result;

/// What a template sees: the contact's own values, and what an undefined name renders to.
#[derive(Debug, Clone, Copy)]
pub struct TemplateInput<'a> {
    /// Values of the contact (and of the engine: `phone_number`, `attempt_number`, ...).
    pub values: &'a Variables,
    /// What a name without a value renders to: the campaign's `fallback_values`, then the system defaults.
    pub fallbacks: &'a std::collections::BTreeMap<String, String>,
}

/// A text with holes. Compiled once, rendered for every contact.
pub trait Template: Send + Sync + 'static {
    /// Fills the holes.
    ///
    /// # Errors
    /// [`crate::Kind::Template`] with the template's name and the line.
    fn render(&self, input: TemplateInput<'_>) -> Result<String>;

    /// Names of the variables it uses, sorted, without those it defines itself.
    fn variables(&self) -> Vec<String>;
}
