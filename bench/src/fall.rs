//! A market whose price jumps down and up again. Before each jump accounts that nobody has seen before take the wrong side
//! on a thin margin; it puts all of them under water. The market makers on the other side are in profit throughout. Of
//! four such accounts three fall short. The fund has what the fourth leaves, so most of them are settled by deleveraging.

/// Market makers of each side.
pub(crate) const MAKERS: usize = 50;
/// The market.
pub(crate) const MARKET: &str = "FALL";

/// Between these it jumps.
const HIGH: usize = 100;
const LOW: usize = 90;

/// Market and market makers; the asset is listed.
pub(crate) fn setup() -> String {
    let mut lines = format!(
        r#"{{"type":"list_market","market":"{MARKET}","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{{"initial_rate":"0.05","maintenance_rate":"0.03"}}],"oracle":{{"stale_after_ms":86400000}}}}"#
    ) + "\n";
    for maker in (0..MAKERS).flat_map(|place| [maker(true, place), maker(false, place)]) {
        lines += &format!(r#"{{"type":"deposit","account":"{maker}","asset":"USDT","amount":"10000000"}}"#);
        lines += "\n";
    }
    lines
}

/// A market maker: one that sells before the price falls, or one that buys before it rises.
pub(crate) fn maker(falls: bool, place: usize) -> String {
    format!("{}-{}", if falls { "seller" } else { "buyer" }, place % MAKERS)
}

/// The accounts that a jump puts under water, and their positions. The first jump goes down.
pub(crate) fn positions(jump: u64, accounts: usize) -> String {
    let (falls, mut lines) = (falls(jump), String::new());
    for place in 0..accounts {
        let (account, maker) = (format!("thin-{jump}-{place}"), maker(falls, place));
        let (whole, hundredths) = (7 + place % 4, place * 13 % 97);
        let (buyer, seller, price) = if falls { (&account, &maker, HIGH) } else { (&maker, &account, LOW) };
        lines += &format!(
            r#"{{"type":"deposit","account":"{account}","asset":"USDT","amount":"{whole}.{hundredths:02}"}}
{{"type":"fill","market":"{MARKET}","price":"{price}","quantity":"1","buyer":"{buyer}","seller":"{seller}","trade":"{account}"}}
"#
        );
    }
    lines
}

/// The jump.
pub(crate) fn jump(jump: u64) -> String {
    let price = if falls(jump) { LOW } else { HIGH };
    format!(
        r#"{{"type":"price","market":"{MARKET}","source":"a","price":"{price}"}}
{{"type":"tick"}}
"#
    )
}

fn falls(jump: u64) -> bool {
    jump.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstop_engine::command::Envelope;

    #[test]
    fn every_line_is_a_command() {
        for text in [setup(), positions(0, 9), jump(0), positions(1, 9), jump(1)] {
            text.lines().for_each(|line| drop(Envelope::read(line).unwrap()));
        }
    }

    #[test]
    fn it_falls_and_rises_in_turn() {
        assert!(jump(0).contains("\"90\"") && jump(1).contains("\"100\""));
        assert!(positions(0, 1).contains(r#""seller":"seller-0""#));
        assert!(positions(1, 1).contains(r#""buyer":"buyer-0""#));
    }
}
