//! What the producers send. Every command follows from seed, producer and number, so it can be written again after any
//! crash. Some are refused on purpose: a refusal is an outcome too, and is kept like one.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Markets of the venue.
const MARKETS: u64 = 3;
/// Accounts of each producer.
const ACCOUNTS: u64 = 40;

/// Draws; the same seed gives the same.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// Of a seed and what it is for.
    pub(super) fn new(seed: u64, purpose: u64, place: u64) -> Self {
        let mut key = [0; 32];
        for (part, value) in key.chunks_mut(8).zip([seed, purpose, place]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Below a bound.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    /// From one to another, both included.
    pub(super) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }
}

/// The venue: an asset, markets with every way to be liquidated, and a fund that is not endless.
pub(super) fn listing() -> Vec<String> {
    let mut lines = vec![r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned()];
    let rules = [
        r#""liquidation":{"fee_rate":"0.005"}"#,
        r#""liquidation":{"reduce":{"fraction":"0.3"},"residual":"takeover","surplus":{"fund_share":"0.5"}},"venue":{"embedded":{"depth_per_bp":"500","recovery_ms":60000}}"#,
        r#""liquidation":{"reduce":"tier_step"},"adl":{"policy":"pro_rata"}"#,
    ];
    for (market, rules) in rules.iter().enumerate() {
        lines.push(format!(
            r#"{{"type":"list_market","market":"M{market}","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{{"notional_limit":"5000","initial_rate":"0.02","maintenance_rate":"0.01"}},{{"initial_rate":"0.1","maintenance_rate":"0.05"}}],"oracle":{{"stale_after_ms":86400000}},{rules}}}"#
        ));
    }
    lines.push(r#"{"type":"fund_credit","asset":"USDT","source":"seed_capital","amount":"20000"}"#.to_owned());
    lines.push(r#"{"type":"set_injection_line","asset":"USDT","limit":"5000"}"#.to_owned());
    lines
}

/// A price in tenths: a slow wave, with a crash now and then.
fn price(draw: &mut Draw, number: u64) -> u64 {
    let phase = number % 600;
    let wave = if phase < 300 { phase } else { 600 - phase };
    let crash = if draw.below(200) == 0 { 900 } else { 0 };
    9_000 + wave * 5 + draw.below(20) - crash
}

fn tenths(figure: u64) -> String {
    format!("{}.{}", figure / 10, figure % 10)
}

/// Command `number` of a producer, with both.
pub(super) fn command(seed: u64, producer: u64, number: u64) -> String {
    let mut draw = Draw::new(seed, producer + 1, number);
    let draw = &mut draw;
    let mine = |draw: &mut Draw| format!("p{producer}-{}", draw.below(ACCOUNTS));
    let anyone = |draw: &mut Draw| format!("p{}-{}", draw.below(producer + 2), draw.below(ACCOUNTS));
    let market = draw.below(MARKETS);
    let body = match draw.below(100) {
        // Every account is endowed before anything else is likely to meet it.
        _ if number <= ACCOUNTS => {
            format!(r#""type":"deposit","account":"p{producer}-{}","asset":"USDT","amount":"1000""#, number - 1)
        }
        0..20 => {
            format!(r#""type":"deposit","account":"{}","asset":"USDT","amount":"{}""#, mine(draw), draw.within(1, 300))
        }
        20..35 => {
            format!(r#""type":"withdraw","account":"{}","asset":"USDT","amount":"{}""#, mine(draw), draw.within(1, 30))
        }
        // More than there is: refused with a place in the journal.
        35..41 => format!(r#""type":"withdraw","account":"{}","asset":"USDT","amount":"900000000""#, mine(draw)),
        // Nothing of the kind: refused before it has a place, yet its number is taken.
        41..44 => format!(r#""type":"deposit","account":"{}","asset":"NONE","amount":"1""#, mine(draw)),
        44..74 => {
            let (buyer, seller) = (mine(draw), anyone(draw));
            let (price, lots) = (tenths(price(draw, number)), draw.within(1, 900));
            format!(
                r#""type":"fill","market":"M{market}","price":"{price}","quantity":"0.{lots:03}","buyer":"{buyer}","seller":"{seller}","trade":"t{producer}-{number}""#
            )
        }
        74..90 => {
            let price = tenths(price(draw, number));
            format!(r#""type":"price","market":"M{market}","source":"s{producer}","price":"{price}""#)
        }
        90..92 => r#""type":"tick""#.to_owned(),
        92..95 => format!(
            r#""type":"fund_credit","asset":"USDT","source":"trading_fee_share","amount":"{}""#,
            draw.within(1, 50)
        ),
        95..97 => format!(
            r#""type":"set_leverage","account":"{}","market":"M{market}","leverage":"{}""#,
            mine(draw),
            draw.within(1, 60)
        ),
        97..99 => format!(
            r#""type":"reserve_margin","account":"{}","market":"M{market}","amount":"5","order":"o{producer}-{number}""#,
            mine(draw)
        ),
        _ => format!(r#""type":"set_margin_mode","account":"{}","market":"M{market}","mode":"isolated""#, mine(draw)),
    };
    numbered(&format!("{{{body}}}"), &format!("p{producer}"), number)
}

/// A command with its producer and number.
pub(super) fn numbered(command: &str, producer: &str, number: u64) -> String {
    let open = command.strip_suffix('}').unwrap_or(command);
    format!(r#"{open},"producer":"{producer}","number":{number}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstop_engine::command::Envelope;

    #[test]
    fn every_command_can_be_read_and_is_the_same_again() {
        for number in 1..2_000 {
            let text = command(7, number % 4, number);
            assert!(Envelope::read(&text).is_ok(), "{text}");
            assert_eq!(text, command(7, number % 4, number));
        }
        for line in listing() {
            assert!(Envelope::read(&numbered(&line, "control", 1)).is_ok(), "{line}");
        }
    }
}
