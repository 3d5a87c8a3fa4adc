//! Between the shell's JSON and the engine's types, where `campaign_core::wire` does not do it already.

use campaign_core::contact::Owner;
use campaign_core::id::{CampaignId, ListId};
use campaign_core::wire::Object;
use campaign_core::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The arguments of a call.
pub(crate) struct Arguments(pub(crate) Object);

impl Arguments {
    /// Takes one of them; null is the same as none.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T> {
        read(name, self.0.remove(name).unwrap_or(Value::Null))
    }

    /// Takes the object that holds optional arguments.
    pub(crate) fn object(&mut self, name: &'static str) -> Result<Object> {
        Ok(self.take::<Option<Object>>(name)?.unwrap_or_default())
    }

    /// The campaign or the contact list that is meant.
    pub(crate) fn owner(&mut self) -> Result<Owner> {
        match self.take::<Option<i64>>("list_id")? {
            Some(list) => Ok(Owner::List(ListId(list))),
            None => Ok(Owner::Campaign(CampaignId(self.take("campaign_id")?))),
        }
    }
}

/// Reads a value; an error names the field and never what is in it.
pub(crate) fn read<T: DeserializeOwned>(name: &'static str, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::invalid(name, format!("the argument does not fit: {}", without_values(&error))))
}

/// What a reader of JSON complains about, without the value that it found: that may be anybody's.
pub(crate) fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(['"', '`']) {
        Some((before, _)) if !text.starts_with("missing field") && !text.starts_with("unknown") => before.trim_end().to_owned(),
        _ => text,
    }
}
