use super::*;
use crate::demo::path::BarOrder;

/// Every command of the listing is one that the engine reads, and the population's figures are on its grids.
#[test]
fn the_listing_is_made_of_commands_the_engine_reads() {
    let tape = Tape::october().unwrap();
    let grid = Grid::new(&tape, None, BarOrder::Olhc);
    let listing = Listing::new(&tape, 200);
    let population = Population::new(&listing, 200, 1);
    let script = Script::new(&tape, &grid, &listing, &population, Decimal::new(1, 2));
    assert_eq!((grid.ticks(), grid.step_ms), (1_200, 4_000));
    for contract in &listing.contracts {
        let text = script.list_market(contract).to_string();
        let read = backstop_engine::command::Envelope::read(&text);
        assert!(read.is_ok(), "{read:?}: {text}");
    }
    assert!(script.seeds.iter().all(|seed| *seed > Decimal::ZERO));
}

#[test]
fn no_market_may_draw_more_than_half_the_fund_and_each_a_tenth() {
    let tape = Tape::october().unwrap();
    let grid = Grid::new(&tape, None, BarOrder::Olhc);
    let listing = Listing::new(&tape, 200);
    let population = Population::new(&listing, 200, 1);
    let script = Script::new(&tape, &grid, &listing, &population, Decimal::new(1, 2));
    let cap = |symbol: &str| {
        let contract = listing.contracts.iter().find(|contract| contract.symbol == symbol).unwrap();
        script.draw_cap(contract, Decimal::from(1_000))
    };
    assert_eq!((cap("BTCUSDT"), cap("INJUSDT")), (Decimal::from(500), Decimal::from(100)));
}

#[test]
fn a_gap_has_no_price() {
    let bar = Bar { open: Decimal::ONE, high: Decimal::TWO, low: Decimal::ONE, close: Decimal::TWO };
    let tape = Tape::october().unwrap();
    let grid = Grid::new(&tape, None, BarOrder::Olhc);
    let listing = Listing::new(&tape, 200);
    let population = Population::new(&listing, 200, 1);
    let script = Script::new(&tape, &grid, &listing, &population, Decimal::new(1, 2));
    let contract = &listing.contracts[0];
    let bars = [None, Some(bar)];
    assert_eq!(script.price(&bars, 0, contract), None);
    assert_eq!(script.price(&bars, grid.per_bar, contract), Some(Decimal::ONE));
    assert_eq!(script.price(&bars, grid.per_bar * 2, contract), None);
}
