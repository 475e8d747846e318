//! Reads back from the daemon what happened, over its public reads only.

use super::DemoError;
use super::client::Client;
use super::figure::Figure;
use super::report::{AdlReport, AssetReport, ConservationReport, Input, Report, Setup, Timing};
use super::script::Script;
use serde::Deserialize;
use serde_json::Value;

/// The fund of one asset now.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Fund {
    /// What it holds.
    pub(super) balance: Figure,
    /// Of it promised to open liquidations.
    #[serde(default)]
    pub(super) reserved: Figure,
    /// Claims it has not paid.
    #[serde(default)]
    pub(super) liability: Figure,
}

/// One line of the fund's ledger.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Entry {
    /// When.
    pub(super) time: u64,
    /// Why.
    pub(super) reason: String,
    /// In (+) or out (−).
    pub(super) amount: Figure,
}

/// One liquidation.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Liquidation {
    /// The settlement asset.
    pub(super) asset: String,
    /// When it began.
    pub(super) started: u64,
    /// How it ended, if it did.
    #[serde(default)]
    pub(super) outcome: Option<String>,
    /// Notional that was liquidated.
    #[serde(default)]
    pub(super) notional: Figure,
    /// Fee taken.
    #[serde(default)]
    pub(super) fee: Figure,
    /// Surplus over the bankruptcy price.
    #[serde(default)]
    pub(super) surplus: Figure,
    /// Loss beyond it.
    #[serde(default)]
    pub(super) shortfall: Figure,
}

/// A trigger of ADL, or one position cut by it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Adl {
    /// `adl_triggered` or `deleveraged`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// When.
    pub(super) time: u64,
    /// The market.
    pub(super) market: String,
    /// The side that is cut.
    #[serde(default)]
    pub(super) side: String,
    /// Contracts.
    #[serde(default)]
    pub(super) quantity: Figure,
    /// Why it was triggered.
    #[serde(default)]
    pub(super) reason: String,
    /// Unrealised profit of the side that is ranked, when triggered.
    #[serde(default)]
    pub(super) profit: Figure,
    /// Who was cut.
    #[serde(default)]
    pub(super) account: String,
    /// At which price.
    #[serde(default)]
    pub(super) price: Figure,
    /// Profit realised by the cut.
    #[serde(default)]
    pub(super) realised_pnl: Figure,
    /// Did the daemon rank it as hedged?
    #[serde(default)]
    pub(super) hedged: bool,
}

#[derive(Deserialize)]
struct Conservation {
    assets: Vec<AssetError>,
    markets: Vec<MarketError>,
}

#[derive(Deserialize)]
struct AssetError {
    asset: String,
    error: Figure,
}

#[derive(Deserialize)]
struct MarketError {
    market: String,
    error: Figure,
}

/// Everything the report needs.
///
/// # Errors
/// [`DemoError::Client`] when the daemon does not answer as agreed.
pub(super) fn gather(
    client: &mut Client,
    input: Input,
    script: &Script<'_>,
    setup: Setup,
) -> Result<Report, DemoError> {
    let mut liquidations: Vec<Liquidation> = Vec::new();
    client.each("/v1/liquidations", |item| liquidations.push(item))?;
    let mut adl: Vec<Adl> = Vec::new();
    client.each("/v1/adl", |item: Adl| adl.push(item))?;
    for event in &mut adl {
        event.hedged |= event.kind == "deleveraged" && script.population.is_hedged(&event.account);
    }
    let mut assets = Vec::new();
    for asset in &script.listing.assets {
        let fund: Fund = client.get(&format!("/v1/fund/{}", asset.name))?;
        let mut ledger: Vec<Entry> = Vec::new();
        client.each(&format!("/v1/fund/{}/ledger", asset.name), |item| ledger.push(item))?;
        let of_asset: Vec<&Liquidation> = liquidations.iter().filter(|item| item.asset == asset.name).collect();
        let cuts: Vec<(&Adl, Figure)> = adl
            .iter()
            .filter(|event| event.kind == "deleveraged")
            .filter_map(|event| Some((event, notional_in(event, script, &asset.name)?)))
            .collect();
        assets.push(AssetReport::new(&asset.name, asset.usd > 1.0, &fund, &ledger, &of_asset, &cuts));
    }
    let markets = script.listing.contracts.iter().filter_map(|contract| {
        let asset = script.listing.assets.get(contract.asset)?;
        let of_market: Vec<&Adl> = adl.iter().filter(|event| event.market == contract.symbol).collect();
        (!of_market.is_empty()).then(|| AdlReport::new(&contract.symbol, &asset.name, contract.inverse, &of_market))
    });
    let status = client.status()?;
    let conservation: Conservation = client.get("/v1/conservation")?;
    Ok(Report {
        note: super::report::NOTE,
        input,
        population: script.population.summary(script.listing),
        setup,
        assets,
        adl: markets.collect(),
        conservation: ConservationReport {
            assets: conservation.assets.into_iter().map(|item| (item.asset, item.error)).collect(),
            markets: conservation.markets.into_iter().map(|item| (item.market, item.error)).collect(),
        },
        commands: client.sent,
        refused: super::report::refusals(&client.refused),
        state_hash: match status.state_hash {
            Value::String(hash) => hash,
            other => other.to_string(),
        },
        timing: Timing::default(),
    })
}

/// The notional of a cut, when it is settled in this asset.
fn notional_in(event: &Adl, script: &Script<'_>, asset: &str) -> Option<Figure> {
    let contract = script.listing.contracts.iter().find(|contract| contract.symbol == event.market)?;
    let settled = script.listing.assets.get(contract.asset)?;
    (settled.name == asset).then(|| super::report::cut_notional(event, contract.inverse))
}
