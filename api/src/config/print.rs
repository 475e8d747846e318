//! What is in force, and where each value comes from.

use super::{Config, Unusable, layers};
use crate::cli;
use config::{Value, ValueKind};
use std::fmt;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(String),
    Environment,
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => formatter.write_str(path),
            Self::Environment => formatter.write_str("environment"),
            Self::Flag => formatter.write_str("flag"),
        }
    }
}

/// A name, its value as TOML, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) origin: Origin,
}

/// Everything that is in force, by name.
pub(crate) fn settings(flags: &cli::Settings) -> Result<Vec<Setting>, Unusable> {
    Config::load(flags)?;
    let given = flags.given();
    let mut found = Vec::new();
    for (name, value) in layers(flags)?.cache.into_table()? {
        flatten(name, value, &mut found);
    }
    for setting in &mut found {
        if let (Origin::File(shown), Some(path)) = (&mut setting.origin, &flags.config) {
            // As it was given, not as it was found.
            *shown = path.display().to_string();
        }
        if given.iter().any(|(name, _)| *name == setting.name) {
            setting.origin = Origin::Flag;
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn flatten(name: String, value: Value, into: &mut Vec<Setting>) {
    let origin = match value.origin() {
        None => Origin::Default,
        Some("the environment") => Origin::Environment,
        Some(path) => Origin::File(path.to_owned()),
    };
    match value.kind {
        ValueKind::Table(fields) => {
            for (field, value) in fields {
                flatten(format!("{name}.{field}"), value, into);
            }
        }
        ValueKind::Array(items) if !items.is_empty() => {
            for (place, value) in items.into_iter().enumerate() {
                flatten(format!("{name}[{place}]"), value, into);
            }
        }
        ValueKind::Array(_) => into.push(Setting { name, value: "[]".to_owned(), origin }),
        // Flags and the environment bring numbers as texts.
        ValueKind::String(text) if text.parse::<u64>().is_ok() || text.parse::<bool>().is_ok() => {
            into.push(Setting { name, value: text, origin });
        }
        ValueKind::String(text) => into.push(Setting { name, value: format!("{text:?}"), origin }),
        other => into.push(Setting { name, value: other.to_string(), origin }),
    }
}
