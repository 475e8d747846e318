//! A crash in three markets, small enough to know every figure of.
//!
//! alice (long bitcoin) falls 1000 short and the fund holds 500: it pays for a half, carol is deleveraged for the other.
//! dave (long ether) falls 500 short and nothing is left: erin is deleveraged for all of it. frank (isolated, long
//! solana) is sold above his bankruptcy price: his fee and his surplus are the fund's first money afterwards.

#![allow(dead_code, reason = "each test file uses its part")]

/// Listed, endowed, positions open, first marks; nobody is under water.
pub(crate) const OPENED: &str = r#"
{"type":"list_asset","asset":"USDT","scale":6}
{"type":"list_asset","asset":"BTC","scale":8}
{"type":"list_market","market":"BTC-USDT","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.005"}],"oracle":{"min_sources":2,"stale_after_ms":604800000}}
{"type":"list_market","market":"ETH-USDT","kind":"linear","asset":"USDT","tick_size":"0.01","lot_size":"0.01","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.005"}],"oracle":{"stale_after_ms":604800000}}
{"type":"list_market","market":"SOL-USDT","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"1","tiers":[{"initial_rate":"0.1","maintenance_rate":"0.005"}],"oracle":{"stale_after_ms":604800000},"liquidation":{"fee_rate":"0.001"}}
{"type":"fund_credit","asset":"USDT","source":"seed_capital","amount":"400"}
{"type":"fund_credit","asset":"USDT","source":"trading_fee_share","amount":"60"}
{"type":"fund_credit","asset":"USDT","source":"injection","amount":"40"}
{"type":"fund_credit","asset":"BTC","source":"seed_capital","amount":"1.5"}
{"type":"deposit","account":"alice","asset":"USDT","amount":"5000"}
{"type":"deposit","account":"bob","asset":"USDT","amount":"100000"}
{"type":"deposit","account":"carol","asset":"USDT","amount":"5000"}
{"type":"deposit","account":"dave","asset":"USDT","amount":"3000"}
{"type":"deposit","account":"erin","asset":"USDT","amount":"10000"}
{"type":"deposit","account":"frank","asset":"USDT","amount":"1000"}
{"type":"deposit","account":"grace","asset":"USDT","amount":"10000"}
{"type":"set_margin_mode","account":"frank","market":"SOL-USDT","mode":"isolated"}
{"type":"set_leverage","account":"frank","market":"SOL-USDT","leverage":"10"}
{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"0.5","buyer":"alice","seller":"bob","trade":"b1"}
{"type":"fill","market":"BTC-USDT","price":"50000","quantity":"0.5","buyer":"alice","seller":"carol","trade":"b2"}
{"type":"fill","market":"ETH-USDT","price":"3000","quantity":"10","buyer":"dave","seller":"erin","trade":"e1"}
{"type":"fill","market":"SOL-USDT","price":"100","quantity":"100","buyer":"frank","seller":"grace","trade":"s1"}
{"type":"price","market":"BTC-USDT","source":"a","price":"49000"}
{"type":"price","market":"BTC-USDT","source":"b","price":"49000"}
{"type":"price","market":"BTC-USDT","source":"c","price":"49000"}
{"type":"price","market":"BTC-USDT","source":"high","price":"51940"}
{"type":"price","market":"BTC-USDT","source":"wild","price":"60000"}
{"type":"price","market":"ETH-USDT","source":"a","price":"3000"}
{"type":"price","market":"SOL-USDT","source":"a","price":"100"}
{"type":"tick"}
"#;

/// The fall.
pub(crate) const FALLEN: &str = r#"
{"type":"price","market":"BTC-USDT","source":"a","price":"44000"}
{"type":"price","market":"BTC-USDT","source":"b","price":"44000"}
{"type":"price","market":"BTC-USDT","source":"c","price":"44000"}
{"type":"price","market":"ETH-USDT","source":"a","price":"2650"}
{"type":"price","market":"SOL-USDT","source":"a","price":"90.4"}
{"type":"tick"}
"#;

/// Everybody in it.
pub(crate) const ACCOUNTS: [&str; 7] = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"];
