//! JSON Schemas of what the types write that write themselves: figures and hashes are strings.

use crate::money::{Money, Notional, Price, Quantity, Rate};
use crate::rulebook::RulesHash;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! figures {
    ($($name:ident $text:literal;)*) => {
        $(impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$", "description": $text })
            }
        })*
    };
}

figures! {
    Money "An amount of a settlement asset: an exact decimal.";
    Notional "The size of a position in its settlement asset: an exact decimal.";
    Price "A price: an exact decimal.";
    Quantity "A number of contracts: an exact decimal, negative where it is short.";
    Rate "A fraction, not percent: an exact decimal.";
}

impl JsonSchema for RulesHash {
    fn schema_name() -> Cow<'static, str> {
        "RulesHash".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "description": "The hash of the rules." })
    }
}
