//! The shapes of answers, for /openapi.json.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

macro_rules! objects {
    ($($name:ident)*) => {
        $(pub(super) fn $name(_: &mut SchemaGenerator) -> Schema { json_schema!({ "type": "object" }) })*
    };
}

objects! { account positions markets mark fund ledger daily liquidations adl conservation status taken command }

/// The answers to commands.
pub(super) fn answers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array" })
}

/// What is taken at the place of a command: one, or whatever is then refused there.
pub(super) fn taken_as_command() -> Value {
    json!({ "anyOf": [{ "$ref": "#/components/schemas/Command" }, { "description": "Whatever else is refused in its place." }] })
}
