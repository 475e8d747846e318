//! What an event is about: by this it is found again, and by this a stream is told apart from another, live or resumed.

use backstop_engine::event::{Event, Fact};
use serde_json::Value;
use std::borrow::Cow;

/// The type of an event, and what it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// Its type, as it is written.
    pub kind: Cow<'a, str>,
    /// The market.
    pub market: Option<Cow<'a, str>>,
    /// The settlement asset.
    pub asset: Option<Cow<'a, str>>,
    /// The account.
    pub account: Option<Cow<'a, str>>,
    /// The liquidation.
    pub liquidation: Option<u64>,
}

fn some(text: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(text))
}

impl<'a> About<'a> {
    /// Of an event.
    pub fn of(event: &'a Event) -> Self {
        match &event.fact {
            Fact::MarkUpdated { market, .. } => Self::of_market("mark_updated", market),
            Fact::LiquidationStarted { liquidation, account, asset, market, .. } => Self {
                kind: Cow::Borrowed("liquidation_started"),
                market: market.as_deref().map(Cow::Borrowed),
                asset: some(asset),
                account: some(&account.0),
                liquidation: Some(liquidation.0),
            },
            Fact::LiquidationOrder { liquidation, market, .. } => {
                Self { liquidation: Some(liquidation.0), ..Self::of_market("liquidation_order", market) }
            }
            Fact::LiquidationSettled { liquidation, account, market, .. } => Self {
                account: some(&account.0),
                liquidation: Some(liquidation.0),
                ..Self::of_market("liquidation_settled", market)
            },
            Fact::LiquidationEnded { liquidation, account, asset, .. } => Self {
                asset: some(asset),
                account: some(&account.0),
                ..Self::of_liquidation("liquidation_ended", liquidation.0)
            },
            Fact::TakenOver { liquidation, account, market, .. } => Self {
                account: some(&account.0),
                liquidation: Some(liquidation.0),
                ..Self::of_market("taken_over", market)
            },
            Fact::Coverage { liquidation, .. } => Self::of_liquidation("coverage", liquidation.0),
            Fact::Claim { liquidation, .. } => Self::of_liquidation("claim", liquidation.0),
            Fact::FundEntry(entry) => Self {
                kind: Cow::Borrowed("fund_entry"),
                market: entry.market.as_deref().map(Cow::Borrowed),
                asset: some(&entry.asset),
                account: entry.account.as_ref().map(|account| Cow::Borrowed(account.0.as_str())),
                liquidation: entry.liquidation.map(|liquidation| liquidation.0),
            },
            Fact::AdlTriggered { market, liquidation, .. } => {
                Self { liquidation: Some(liquidation.0), ..Self::of_market("adl_triggered", market) }
            }
            Fact::Deleveraged(cut) => Self {
                account: some(&cut.account.0),
                liquidation: Some(cut.liquidation.0),
                ..Self::of_market("deleveraged", &cut.market)
            },
            Fact::AccountUpdated { account, asset } => Self {
                kind: Cow::Borrowed("account_updated"),
                asset: some(&asset.asset),
                account: some(&account.0),
                ..Self::default()
            },
            Fact::PositionUpdated { account, position } => {
                Self { account: some(&account.0), ..Self::of_market("position_updated", &position.market) }
            }
            Fact::Rejected { .. } => Self { kind: Cow::Borrowed("rejected"), ..Self::default() },
            // The rest is rare enough to be read off what is shown of it.
            fact => Self::read(&serde_json::to_value(fact).unwrap_or_default()),
        }
    }

    fn of_market(kind: &'static str, market: &'a str) -> Self {
        Self { kind: Cow::Borrowed(kind), market: some(market), ..Self::default() }
    }

    fn of_liquidation(kind: &'static str, liquidation: u64) -> Self {
        Self { kind: Cow::Borrowed(kind), liquidation: Some(liquidation), ..Self::default() }
    }

    fn read(fact: &Value) -> Self {
        let text = |name: &str| fact.get(name).and_then(Value::as_str).map(|text| Cow::Owned(text.to_owned()));
        Self {
            kind: text("type").unwrap_or_default(),
            market: text("market"),
            asset: text("asset"),
            account: text("account"),
            liquidation: fact.get("liquidation").and_then(Value::as_u64),
        }
    }

    /// Is it kept? What a reader asks the state for, and what changed nothing, is not.
    pub fn is_kept(&self) -> bool {
        !matches!(&*self.kind, "mark_updated" | "account_updated" | "position_updated" | "rejected")
    }
}

/// What a stream is about: events of some types, of an account, of a market, of an asset; what is named must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topic {
    /// Of these types; of any where none is named.
    pub types: Vec<String>,
    /// Of this account.
    pub account: Option<String>,
    /// Of this market.
    pub market: Option<String>,
    /// Of this asset.
    pub asset: Option<String>,
}

impl Topic {
    /// Is the event one of this topic?
    pub fn holds(&self, about: &About<'_>) -> bool {
        let same = |wanted: &Option<String>, found: &Option<Cow<'_, str>>| {
            wanted.as_deref().is_none_or(|wanted| found.as_deref() == Some(wanted))
        };
        (self.types.is_empty() || self.types.iter().any(|kind| *kind == about.kind))
            && same(&self.account, &about.account)
            && same(&self.market, &about.market)
            && same(&self.asset, &about.asset)
    }
}
