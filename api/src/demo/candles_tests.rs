use super::*;
use crate::demo::files::parse;

fn d(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn read(text: &str, named: &str) -> Result<Vec<Candle>, String> {
    let mut candles = Vec::new();
    parse(text.as_bytes(), "day.csv", named, &mut candles).map_err(|error| error.to_string())?;
    Ok(candles)
}

#[test]
fn october_has_ten_contracts_in_sixteen_bars_with_both_prices() {
    let tape = Tape::october().unwrap();
    assert_eq!((tape.tracks.len(), tape.bars, tape.bar_ms), (10, 16, 300_000));
    assert!(tape.tracks.iter().all(|track| track.index.iter().all(Option::is_some)));
    let bitcoin = tape.tracks.iter().find(|track| track.symbol == "BTCUSDT").unwrap();
    assert_eq!(bitcoin.opening(), Some(d("116970.1")), "the perpetual's own price");
    let low = |bars: &[Option<Bar>]| bars.iter().flatten().map(|bar| bar.low).min().unwrap();
    assert!(low(bitcoin.last.as_ref().unwrap()) < low(&bitcoin.index));
}

#[test]
fn a_named_header_may_stand_in_any_order() {
    let candles = read("symbol,ts,volume,open,high,low,close\nABC,60000,2,1,3,0.5,2\n", "").unwrap();
    let bar = Bar { open: d("1"), high: d("3"), low: d("0.5"), close: d("2") };
    assert_eq!(candles, [Candle { start: 60_000, symbol: "ABC".to_owned(), bar: Some(bar), volume: 2.0 }]);
}

#[test]
fn bars_that_are_stamped_at_their_end_are_moved_to_their_start() {
    let header = "ts,symbol,open,high,low,close,trades,volume,vwap,lastSize,turnover,homeNotional,foreignNotional";
    let text = format!(
        "{header}\n120000,XBTUSD,7929.5,7900,7890,7895,3,10,,,0,0,0\n180000,XBTUSD,7895,7895,7895,7895,0,0,,,0,0,0\n"
    );
    let candles = read(&text, "").unwrap();
    assert_eq!(candles.first().unwrap().start, 60_000);
    assert_eq!(candles.first().unwrap().bar.unwrap().open, d("7929.5"), "the close before, outside low and high");
    assert_eq!(candles.get(1).unwrap().bar, None, "nothing traded, nothing observed");
}

#[test]
fn klines_take_their_symbol_from_the_file_and_may_count_in_microseconds() {
    let rows = "1621382400000,1,2,0.5,1.5,10,1621382459999,15,7,5,7,0\n";
    let micro = "1735689600000000,1,2,0.5,1.5,10,1735689659999999,15,7,5,7,0\n";
    let header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,a,b,ignore\n";
    for (text, start) in [
        (rows.to_owned(), 1_621_382_400_000),
        (format!("{header}{rows}"), 1_621_382_400_000),
        (micro.to_owned(), 1_735_689_600_000),
    ] {
        let candles = read(&text, "BTCUSDT").unwrap();
        assert_eq!(candles.len(), 1);
        assert_eq!((candles[0].start, candles[0].symbol.as_str()), (start, "BTCUSDT"));
        assert!(candles[0].bar.is_some());
    }
}

#[test]
fn scientific_notation_and_float_noise_are_read() {
    let candles =
        read("ts,symbol,open,high,low,close,volume\n0,ALGOBTC,3.58e-05,3.58e-05,3.5e-05,3.5e-05,0.1\n", "").unwrap();
    assert_eq!(candles[0].bar.unwrap().open, d("0.0000358"));
    assert_eq!(files::price("1.39580000000000001"), Some(d("1.3958")));
}

#[test]
fn every_fault_names_file_and_line() {
    let header = "ts,symbol,open,high,low,close,volume\n0,A,1,1,1,1,1\n";
    for (text, wanted) in [
        ("", "day.csv:1: the file is empty"),
        ("a,b\n1,2\n", "day.csv:1: the header has no column ts"),
        ("ts,symbol,open,high,low,close\n", "day.csv:1: the header has no column volume"),
        (&format!("{header}x,A,1,1,1,1,1\n"), "day.csv:3: not a time in Unix milliseconds: \"x\""),
        (&format!("{header}1,A B,1,1,1,1,1\n"), "day.csv:3: not the name of a contract: \"A B\""),
        (&format!("{header}1,A,0,1,1,1,1\n"), "day.csv:3: not a price above zero: \"0\""),
        (&format!("{header}1,A,1,NaN,1,1,1\n"), "day.csv:3: not a price above zero: \"NaN\""),
        (&format!("{header}1,A,1,1,2,1,1\n"), "day.csv:3: low 2, close 1 and high 1 are out of order"),
        (&format!("{header}1,A,1,1,1,1,-1\n"), "day.csv:3: not a volume: \"-1\""),
        (&format!("{header}1,A,1,1\n"), "day.csv:3: column 5 is missing"),
    ] {
        assert_eq!(read(text, ""), Err(wanted.to_owned()));
    }
}

#[test]
fn a_missing_bar_is_a_gap_and_a_market_without_trades_is_left_out() {
    let text =
        "ts,symbol,open,high,low,close,volume\n0,A,1,1,1,1,1\n60000,A,1,1,1,1,1\n180000,A,2,2,2,2,1\n0,B,1,1,1,1,0\n";
    let tape = Tape::align(read(text, "").unwrap()).unwrap();
    assert_eq!((tape.bars, tape.bar_ms, tape.tracks.len()), (4, 60_000, 1));
    let seen: Vec<bool> = tape.tracks[0].index.iter().map(Option::is_some).collect();
    assert_eq!(seen, [true, true, false, true]);
}

#[test]
fn the_worst_hour_is_found() {
    let mut text = String::from("ts,symbol,open,high,low,close,volume\n");
    for minute in 0..5_760_u64 {
        let price = if minute < 4_000 { 100 } else { 60 };
        text.push_str(&format!("{},A,{price},{price},{price},{price},1\n", minute * 60_000));
    }
    let tape = Tape::align(read(&text, "").unwrap()).unwrap().around_the_worst_hour();
    assert_eq!(tape.bars, 28 * 60);
    let fall = tape.tracks[0].index.iter().position(|bar| bar.unwrap().close == d("60")).unwrap();
    assert_eq!(fall, 15 * 60 - 1);
    assert_eq!(tape.start, (4_000 - 15 * 60 + 1) * 60_000);
}

#[test]
fn recorded_days_can_be_read_where_they_are() {
    let Some(folder) = std::env::var_os("BACKSTOP_DATA").map(PathBuf::from) else { return };
    let crash = folder.join("crash_2021_05_19_binance_spot_1m/binance_spot_usdt_1m_2021-05-17_20.csv.gz");
    let tape = Tape::read(&[crash]).unwrap();
    assert_eq!((tape.tracks.len(), tape.bar_ms), (29, 60_000));
    let inverse = folder.join("bitmex_xbtusd_1m/bitmex_xbtusd_1m_2020-03-10_14.csv.gz");
    let tape = Tape::read(&[inverse]).unwrap().around_the_worst_hour();
    let gaps = tape.tracks[0].index.iter().filter(|bar| bar.is_none()).count();
    assert!(gaps > 10, "the stalls of 13 March: {gaps}");
}
