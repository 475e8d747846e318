//! Liquidations a second: many accounts that one price puts under water, from the submission of price and tick to the
//! durable answer. Some fall short and the fund pays, some leave a surplus that it gets.

use super::Durable;
use super::contest::Contest;
use crate::Failed;
use crate::scratch::Scratch;
use crate::venue::{self, Kept};
use backstop_actors::history::{Filter, Look};
use backstop_actors::publisher::Read;
use backstop_actors::topology::Placement;
use backstop_engine::command::Envelope;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

/// As the table names it.
pub(super) const NAME: &str = "Backstop, in process, settled liquidations";

/// Every account is long one contract from 100 on a margin of 8 to 12; the other side can bear it.
fn setup(accounts: usize) -> Result<Vec<Envelope>, Failed> {
    let mut lines = vec![
        r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned(),
        r#"{"type":"list_market","market":"M","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{"initial_rate":"0.05","maintenance_rate":"0.03"}],"liquidation":{"fee_rate":"0.005"},"oracle":{"stale_after_ms":86400000}}"#.to_owned(),
        r#"{"type":"fund_credit","asset":"USDT","source":"seed_capital","amount":"10000000"}"#.to_owned(),
    ];
    for seller in 0..100 {
        lines.push(format!(r#"{{"type":"deposit","account":"s{seller}","asset":"USDT","amount":"1000000"}}"#));
    }
    for account in 0..accounts {
        // Bankrupt at 92 to 88: at 90 half of them fall short.
        let (whole, hundredths) = (8 + account % 4, account % 97);
        lines.push(format!(
            r#"{{"type":"deposit","account":"b{account}","asset":"USDT","amount":"{whole}.{hundredths:02}"}}"#
        ));
        lines.push(format!(
            r#"{{"type":"fill","market":"M","price":"100","quantity":"1","buyer":"b{account}","seller":"s{}","trade":"t{account}"}}"#,
            account % 100
        ));
    }
    lines.push(r#"{"type":"price","market":"M","source":"a","price":"100"}"#.to_owned());
    lines.push(r#"{"type":"tick"}"#.to_owned());
    Ok(lines.iter().map(|line| Envelope::read(line)).collect::<Result<_, _>>()?)
}

/// Enters it.
pub(super) fn enter(contest: &mut Contest, options: &Durable, dir: &Path) -> Result<(), Failed> {
    let (accounts, shards, dir) = (options.liquidations, usize::from(options.shards), dir.to_path_buf());
    let setup = Rc::new(setup(accounts)?);
    let fall = [r#"{"type":"price","market":"M","source":"a","price":"90"}"#, r#"{"type":"tick"}"#];
    let fall: Vec<Envelope> = fall.into_iter().map(Envelope::read).collect::<Result<_, _>>()?;
    let how = format!("{} accounts, one tick", crate::figures::grouped(accounts as f64));
    contest.enter(NAME, how, move || {
        let scratch = Scratch::new(Some(&dir), "liquidations")?;
        venue::with(Kept::new(scratch.path())?, shards, Placement::Spread, &setup, async |topology| {
            let started = Instant::now();
            venue::all_taken(&topology.gateway.submit(venue::reads(&fall)).await?)?;
            let took = started.elapsed().as_secs_f64();
            let look = Look::Liquidations(Filter::default());
            let (_, items, _) = topology.publisher.read(Read { look, after: 0, limit: accounts + 1 }).await??;
            let settled: usize =
                items.iter().map(|item| item.body.get().matches(r#""type":"liquidation_settled""#).count()).sum();
            if settled < accounts {
                return Err(format!("{settled} of {accounts} liquidations settled").into());
            }
            Ok(settled as f64 / took)
        })
    });
    Ok(())
}
