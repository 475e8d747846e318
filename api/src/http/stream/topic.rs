//! Topics: which events belong to which, and who may follow them.

use crate::config::Role;
use crate::http::auth::Caller;
use crate::http::problem::{Kind, Problem};
use backstop_actors::history;
use backstop_engine::id::AccountId;
use std::fmt;

/// Something that can be followed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// What moves the fund: entries, coverage, claims, what nobody backs.
    Fund,
    /// Every entry of its ledger.
    Ledger,
    /// Every liquidation, from start to end.
    Liquidations,
    /// Every deleveraging.
    Adl,
    /// Every mark.
    Marks,
    /// Whether prices can be trusted.
    MarketState,
    /// Liquidation orders, for the matching engine.
    Orders,
    /// Changes of rules: announced, vetoed, in force.
    Rules,
    /// What befalls one account: liquidations, cuts, entries of the fund; and a warning when its place in the queue of
    /// deleveraging changes class. Deposits and fills are the venue's to tell.
    Account(AccountId),
}

/// The public names of topics without an account.
const NAMED: [(&str, Topic); 8] = [
    ("fund", Topic::Fund),
    ("ledger", Topic::Ledger),
    ("liquidations", Topic::Liquidations),
    ("adl", Topic::Adl),
    ("marks", Topic::Marks),
    ("market_state", Topic::MarketState),
    ("orders", Topic::Orders),
    ("rules", Topic::Rules),
];

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => write!(formatter, "account:{account}"),
            named => formatter.write_str(NAMED.iter().find(|(_, topic)| topic == named).map_or("", |(name, _)| name)),
        }
    }
}

impl Topic {
    /// Reads a name.
    ///
    /// # Errors
    /// [`Kind::InvalidValue`].
    pub(super) fn read(name: &str) -> Result<Self, Problem> {
        if let Some(account) = name.strip_prefix("account:").filter(|account| crate::http::params::is_name(account)) {
            return Ok(Self::Account(AccountId(account.into())));
        }
        let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, topic)| topic.clone());
        named.ok_or_else(|| {
            let names: Vec<&str> = NAMED.iter().map(|(name, _)| *name).collect();
            let detail = format!("there is no topic {name:?}; there are {}, account:NAME", names.join(", "));
            Problem::new(Kind::InvalidValue, detail).field("topics")
        })
    }

    /// May this caller follow it?
    ///
    /// # Errors
    /// Who may.
    pub(super) fn allows(&self, caller: &Caller) -> Result<(), Problem> {
        match self {
            Self::Orders => caller.must_be(&[Role::Venue, Role::Operator]),
            Self::Account(account) => caller.may_read(&account.0),
            _ => Ok(()),
        }
    }

    /// Its events, as the history finds them again.
    pub(super) fn events(&self) -> history::Topic {
        let types: &[&str] = match self {
            Self::Fund => &["fund_entry", "coverage", "claim", "unbacked"],
            Self::Ledger => &["fund_entry"],
            Self::Liquidations => {
                &["liquidation_started", "liquidation_order", "liquidation_settled", "liquidation_ended", "taken_over"]
            }
            Self::Adl => &["adl_triggered", "deleveraged"],
            Self::Marks => &["mark_updated"],
            Self::MarketState => &["market_state"],
            Self::Orders => &["liquidation_order", "liquidation_settled", "liquidation_ended"],
            Self::Rules => &["rules_scheduled", "rules_vetoed", "rules_changed"],
            // Of every type.
            Self::Account(_) => &[],
        };
        let account = if let Self::Account(account) = self { Some(account.0.to_string()) } else { None };
        let types = types.iter().map(|kind| (*kind).to_owned()).collect();
        history::Topic { types, account, ..history::Topic::default() }
    }

    /// Are its events kept for ever? Marks are too many.
    pub(super) fn is_kept(&self) -> bool {
        *self != Self::Marks
    }
}
