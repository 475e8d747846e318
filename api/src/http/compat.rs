//! Views in the words of Binance and Bybit: reads that clients made for those venues understand after their base URL is
//! changed to `<base>/compat/binance` or `<base>/compat/bybit`.
//!
//! In: the same questions to the state and the history as under `/v1`. Out: answers and refusals in the form of the venue.
//! Parameters that a view does not know are ignored. They are not in /openapi.json, and no command can be sent here.
//!
//! What no view of the state tells is left empty or stands in for, as documented where it is written: the funding estimate
//! (empty), and the initial margin and leverage of a position (those of its tier).

mod access;
mod answers;
mod binance;
mod bybit;
mod forced;
mod holdings;
mod pools;
mod positions;
mod refusals;
mod symbols;

pub(super) use access::caller;
pub(super) use refusals::told;

use super::openapi;
use super::operations::{Access, Answers, Operation};
use actix_web::Route;

/// In whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Venue {
    Binance,
    Bybit,
}

impl Venue {
    /// In whose words a path is; none outside of these views.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (venue, _) = path.strip_prefix("/compat/")?.split_once('/')?;
        match venue {
            "binance" => Some(Self::Binance),
            "bybit" => Some(Self::Bybit),
            _ => None,
        }
    }
}

pub(super) fn operations() -> Vec<Operation> {
    [binance::operations(), holdings::operations(), bybit::operations(), positions::operations()]
        .into_iter()
        .flatten()
        .collect()
}

/// A view for anybody.
fn view(path: &'static str, serve: fn() -> Route) -> Operation {
    Operation::read(path, "compat", "", Answers::Json(openapi::any_object), serve).fleeting()
}

/// A view of one account: which, is found out by its handler, see [`access::Asked::account`].
fn own(path: &'static str, serve: fn() -> Route) -> Operation {
    view(path, serve).of(Access::Account("account"))
}
