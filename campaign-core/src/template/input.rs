//! Where the values of a rendering come from, in their order of precedence.

use crate::campaign::CampaignSpec;
use crate::contact::{NewContact, Variables};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Names every contact has, with or without a value, and those the system fills.
pub(super) const SYSTEM_NAMES: [&str; 12] = [
    "assistant_name",
    "attempt_number",
    "company",
    "company_name",
    "customer_name",
    "email",
    "first_name",
    "full_name",
    "last_name",
    "name",
    "phone",
    "phone_number",
];

/// What a campaign contributes to its templates. Made once, used for every contact.
#[derive(Debug, Clone, Default)]
pub struct CampaignValues {
    /// The name of the assistant, the variable `assistant_name`.
    pub assistant_name: Option<String>,
    /// What a variable without a value renders to.
    pub fallback_values: BTreeMap<String, String>,
    /// Names known to exist although a contact may not have them, so that the brace syntax does not refuse them.
    pub known: BTreeSet<String>,
}

impl CampaignValues {
    /// Those of this spec.
    pub fn of(spec: &CampaignSpec) -> Self {
        Self {
            assistant_name: spec.assistant_name.clone(),
            fallback_values: spec.fallback_values.clone(),
            known: spec.available_variables.keys().cloned().collect(),
        }
    }

    /// What `name` renders to without a value: the campaign's fallback, else the system default, else the empty string.
    pub fn fallback(&self, name: &str) -> &str {
        let person = person_field(name);
        let given = |name: &str| self.fallback_values.get(name).filter(|text| !text.trim().is_empty());
        given(name).or_else(|| given(person)).map_or_else(
            || match person {
                "assistant_name" => "your assistant",
                "company" => "our company",
                "name" | "first_name" => "there",
                _ => "",
            },
            String::as_str,
        )
    }
}

/// The field of a person that a name stands for: `customer_name` is the `name`, `company_name` the `company`, `phone` the `phone_number`.
fn person_field(name: &str) -> &str {
    match name {
        "customer_name" | "full_name" => "name",
        "company_name" => "company",
        "phone" => "phone_number",
        other => other,
    }
}

/// The value of a variable: never blank.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// A text, for example the contact's name.
    Text(&'a str),
    /// A value from the contact's variables or from the caller.
    Json(&'a Value),
}

impl<'a> Given<'a> {
    /// As text: strings as they are, everything else as JSON.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Json(Value::String(text)) => Cow::Borrowed(text),
            Self::Json(value) => Cow::Owned(value.to_string()),
        }
    }

    fn of_text(text: &'a str) -> Option<Self> {
        (!text.trim().is_empty()).then_some(Self::Text(text))
    }

    fn of_json(value: &'a Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::String(text) => Self::of_text(text),
            value => Some(Self::Json(value)),
        }
    }
}

/// What a template sees. Three references; cheap to copy.
#[derive(Clone, Copy)]
pub struct TemplateInput<'a> {
    campaign: &'a CampaignValues,
    contact: Option<&'a NewContact>,
    values: Option<&'a Variables>,
}

impl<'a> TemplateInput<'a> {
    /// Without a contact: everything renders to its fallback.
    pub fn new(campaign: &'a CampaignValues) -> Self {
        Self { campaign, contact: None, values: None }
    }

    /// With the contact the text is for.
    #[must_use]
    pub fn contact(self, contact: &'a NewContact) -> Self {
        Self { contact: Some(contact), ..self }
    }

    /// With values for this one rendering, such as `attempt_number`; they go before the contact's own.
    #[must_use]
    pub fn values(self, values: &'a Variables) -> Self {
        Self { values: Some(values), ..self }
    }

    /// The value of a variable. `None` when there is none or it is blank; then [`fallback`](Self::fallback) is what to write.
    ///
    /// `first_name` and `last_name` come from the columns of that name, else from the first word of `name` and the rest.
    pub fn value(&self, name: &str) -> Option<Given<'a>> {
        let given = |from: Option<&'a Variables>, name: &str| from.and_then(|values| values.get(name)).and_then(Given::of_json);
        let variables = self.contact.map(|contact| &contact.variables);
        let person = person_field(name);
        given(self.values, name)
            .or_else(|| self.person(name))
            .or_else(|| given(variables, name))
            .or_else(|| if person == name { None } else { given(self.values, person).or_else(|| self.person(person)) })
            .or_else(|| self.part_of_name(name))
            .or_else(|| if name == "assistant_name" { self.campaign.assistant_name.as_deref().and_then(Given::of_text) } else { None })
    }

    /// What to write when there is no value.
    pub fn fallback(&self, name: &str) -> &'a str {
        self.campaign.fallback(name)
    }

    /// Whether anything has heard of this name: the caller, the contact (even when blank), the campaign or the system.
    pub fn knows(&self, name: &str) -> bool {
        SYSTEM_NAMES.contains(&name)
            || self.values.is_some_and(|values| values.contains_key(name))
            || self.contact.is_some_and(|contact| contact.variables.contains_key(name))
            || self.campaign.fallback_values.contains_key(name)
            || self.campaign.known.contains(name)
    }

    fn person(&self, name: &str) -> Option<Given<'a>> {
        let contact = self.contact?;
        match name {
            "name" => contact.name.as_deref(),
            "email" => contact.email.as_deref(),
            "company" => contact.company.as_deref(),
            "phone" | "phone_number" => Some(contact.phone.as_str()),
            _ => None,
        }
        .and_then(Given::of_text)
    }

    fn part_of_name(&self, name: &str) -> Option<Given<'a>> {
        let first = match name {
            "first_name" => true,
            "last_name" => false,
            _ => return None,
        };
        let full = match self.value("name")? {
            Given::Text(text) => text,
            Given::Json(value) => value.as_str()?,
        }
        .trim();
        let (head, rest) = full.split_once(char::is_whitespace).unwrap_or((full, ""));
        Given::of_text(if first { head } else { rest.trim() })
    }
}
