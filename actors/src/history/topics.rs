//! What streams go on after: the events of topics, and what came before on one.

use super::about::Topic;
use super::pages::{Item, merged, one_more};
use super::reader::{Reader, number};
use super::{HistoryError, integer};
use rusqlite::{OptionalExtension, ToSql, params_from_iter};

/// One way to find the events of a topic: by a type, by the account, or by passing over all others.
struct Way<'a> {
    clause: &'static str,
    first: Option<&'a str>,
}

fn ways(topic: &Topic) -> Vec<Way<'_>> {
    if let Some(account) = &topic.account {
        return vec![Way { clause: "INDEXED BY events_of_account WHERE account = ?3", first: Some(account) }];
    }
    if topic.types.is_empty() {
        return vec![Way { clause: "WHERE ?3 IS NULL", first: None }];
    }
    let by_type = |kind| Way { clause: "INDEXED BY events_of_type WHERE type = ?3", first: Some(kind) };
    topic.types.iter().map(|kind| by_type(kind.as_str())).collect()
}

/// What else must hold. Types are compared again only where another index is used.
const REST: &str = "(?4 IS NULL OR type IN (SELECT value FROM json_each(?4)))
    AND (?5 IS NULL OR market = ?5) AND (?6 IS NULL OR asset = ?6)";

impl Reader {
    /// Events of any of the topics after a number, in order: one past the limit where there are more.
    pub(super) fn events(&self, topics: &[Topic], after: u64, limit: usize) -> Result<Vec<Item>, HistoryError> {
        let mut lists = Vec::new();
        for topic in topics {
            for way in ways(topic) {
                let sql = format!(
                    "SELECT event, body FROM events {} AND event > ?1 AND {REST} ORDER BY event LIMIT ?2",
                    way.clause
                );
                lists.push(self.along(&sql, topic, &way, &integer(after), &one_more(limit))?);
            }
        }
        Ok(merged(lists, limit))
    }

    fn along(
        &self,
        sql: &str,
        topic: &Topic,
        way: &Way<'_>,
        bound: &dyn ToSql,
        limit: &dyn ToSql,
    ) -> Result<Vec<Item>, HistoryError> {
        let types = other_types(topic);
        let given: [&dyn ToSql; 6] = [bound, limit, &way.first, &types, &topic.market, &topic.asset];
        self.bodies(sql, given)
    }

    /// The number of the last event of a topic before another.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn previous(&self, topic: &Topic, before: u64) -> Result<Option<u64>, HistoryError> {
        let (mut last, types) = (None, other_types(topic));
        for way in ways(topic) {
            let sql = format!(
                "SELECT event FROM events {} AND event < ?1 AND {REST} ORDER BY event DESC LIMIT ?2",
                way.clause
            );
            let (before, one) = (integer(before), 1);
            let given: [&dyn ToSql; 6] = [&before, &one, &way.first, &types, &topic.market, &topic.asset];
            let mut statement = self.db.prepare_cached(&sql)?;
            let found = statement.query_row(params_from_iter(given), |row| number(row, 0)).optional()?;
            last = last.max(found);
        }
        Ok(last)
    }
}

/// Types that the index does not choose by, as a JSON list.
fn other_types(topic: &Topic) -> Option<String> {
    let chosen = topic.account.is_none() || topic.types.is_empty();
    (!chosen).then(|| serde_json::to_string(&topic.types).unwrap_or_default())
}
