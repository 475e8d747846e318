//! The commands that change rules: at once, planned, held back, or carried out when their time has come.

use super::{Command, ListAsset, ListMarket, flatten, list};
use crate::decode::{Fields, Malformed};
use crate::money::Money;
use crate::reject::Code;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use smol_str::SmolStr;

/// A change of the rules, as `list_asset`, `list_market` or `set_injection_line` would make it.
///
/// Its binary form in the journal is the place of the variant and the fields in their order, as that of [`Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RuleChange {
    /// A settlement asset.
    ListAsset(ListAsset),
    /// A contract, or new rules for one.
    ListMarket(Box<ListMarket>),
    /// Capital the venue commits before ADL.
    SetInjectionLine {
        /// Of which fund.
        asset: SmolStr,
        /// Up to how much.
        limit: Money,
    },
}

impl RuleChange {
    /// The command that makes the change at once.
    pub fn into_command(self) -> Command {
        match self {
            Self::ListAsset(list) => Command::ListAsset(list),
            Self::ListMarket(list) => Command::ListMarket(list),
            Self::SetInjectionLine { asset, limit } => Command::SetInjectionLine { asset, limit },
        }
    }

    /// The `type` of that command.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ListAsset(_) => "list_asset",
            Self::ListMarket(_) => "list_market",
            Self::SetInjectionLine { .. } => "set_injection_line",
        }
    }

    /// That command as a JSON object, absent fields left out.
    pub fn to_value(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("type".to_owned(), self.kind().into());
        // A command is plain data: it can always be written.
        if let Ok(Value::Object(body)) = serde_json::to_value(self) {
            body.into_iter().for_each(|(_, body)| flatten(body, &mut fields));
        }
        Value::Object(fields)
    }
}

/// A JSON object with its `type`, like any command; in binary the change itself.
#[allow(clippy::borrowed_box, reason = "the form serde asks for")]
pub(super) fn change_object<S: Serializer>(change: &Box<RuleChange>, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() { change.to_value().serialize(serializer) } else { change.serialize(serializer) }
}

/// Left out of JSON when nobody is named.
pub(super) fn by_name<S: Serializer>(by: &SmolStr, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() && by.is_empty() { serializer.serialize_none() } else { by.serialize(serializer) }
}

/// Which of the three.
#[derive(Clone, Copy)]
enum Kind {
    Asset,
    Market,
    Line,
}

pub(super) fn read_change(f: &mut Fields<'_>) -> Result<Box<RuleChange>, Malformed> {
    let mut inner = f.object("change")?.ok_or_else(|| f.bad(Code::MissingField, "change"))?;
    let kinds = [("list_asset", Kind::Asset), ("list_market", Kind::Market), ("set_injection_line", Kind::Line)];
    let change = match inner.word("type", &kinds)? {
        Kind::Asset => RuleChange::ListAsset(list::read_asset(&mut inner)?),
        Kind::Market => RuleChange::ListMarket(Box::new(list::read_market(&mut inner)?)),
        Kind::Line => {
            let (asset, limit) = read_line(&mut inner)?;
            RuleChange::SetInjectionLine { asset, limit }
        }
    };
    inner.finish()?;
    Ok(Box::new(change))
}

/// The fields of `set_injection_line`.
pub(super) fn read_line(f: &mut Fields<'_>) -> Result<(SmolStr, Money), Malformed> {
    let asset = f.name("asset")?;
    let limit = f.signed_opt("limit")?.ok_or_else(|| f.bad(Code::MissingField, "limit"))?;
    if limit.is_negative() {
        return Err(f.bad(Code::OutOfRange, "limit"));
    }
    Ok((asset, limit))
}

/// Who asks for it; nobody when it is not said.
pub(super) fn read_by(f: &mut Fields<'_>) -> Result<SmolStr, Malformed> {
    Ok(f.name_opt("by")?.unwrap_or_default())
}
