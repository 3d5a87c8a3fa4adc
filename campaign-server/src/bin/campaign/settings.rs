//! `campaign config`.

use crate::common::{Done, Session, environment, json_line, line, remark, table};
use campaign_server::config::{Configuration, KEYS};
use clap::Subcommand;
use serde_json::json;

/// Check the configuration, and list what it may hold.
#[derive(Subcommand)]
pub(crate) enum Settings {
    /// Print what file, environment and flags come to, each value with its source and no secret; every mistake at once.
    Check,
    /// List every key with its default, its environment variable and what it is.
    Keys,
}

impl Settings {
    pub(crate) fn run(&self, session: &Session) -> Done {
        match self {
            Self::Check => check(session),
            Self::Keys => keys(session),
        }
    }
}

fn check(session: &Session) -> Done {
    let strangers = Configuration::strangers(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()));
    for name in &strangers {
        remark(format!("campaign: {name} is set and means nothing to this command; `campaign config keys` lists what does"));
    }
    let configuration = Configuration::check(session.given(), &environment)?;
    let shown = configuration.shown();
    if session.json {
        let settings: Vec<_> = shown.iter().map(|(key, value, source)| json!({ "key": key, "value": value, "source": source })).collect();
        let file = configuration.file().map(|path| path.display().to_string());
        return json_line(&json!({ "file": file, "settings": settings, "strangers": strangers }));
    }
    let rows: Vec<Vec<String>> = shown.into_iter().map(|(key, value, source)| vec![key.to_owned(), value.to_string(), source]).collect();
    table(&["key", "value", "from"], &rows)
}

fn keys(session: &Session) -> Done {
    if session.json {
        let all = KEYS.iter().map(|key| json!({ "key": key.name, "variable": key.variable(), "usual_variables": key.usual_variables(), "default": key.default, "about": key.about }));
        return json_line(&all.collect());
    }
    KEYS.iter().try_for_each(|key| {
        let variables: Vec<String> = std::iter::once(key.variable()).chain(key.usual_variables().iter().map(ToString::to_string)).collect();
        line(format!("{} ({})", key.name, variables.join(", else ")))?;
        let default = if key.default.is_empty() { String::new() } else { format!(" Default: {}.", key.default) };
        line(format!("    {}{default}", key.about))
    })
}
