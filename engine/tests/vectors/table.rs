//! The table of README.md: which vectors are not tested as they stand, and why.

use crate::case::folder;

/// What a row says of its vectors.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Backstop has no such rule: nothing computes it.
    NotOurs,
    /// Backstop has the rule and gives another number, on purpose.
    Differs,
}

/// A row.
#[derive(Debug)]
pub(crate) struct Row {
    /// An id, or the beginning of some, ending in `*`.
    pub(crate) vectors: String,
    pub(crate) kind: Kind,
    /// What the vector says, where it differs.
    pub(crate) vector: String,
    /// What the engine gives, where it differs.
    pub(crate) engine: String,
}

impl Row {
    /// Is it about this vector?
    pub(crate) fn covers(&self, id: &str) -> bool {
        match self.vectors.strip_suffix('*') {
            Some(beginning) => id.starts_with(beginning),
            None => self.vectors == id,
        }
    }
}

/// The rows of the one table.
pub(crate) fn read() -> Vec<Row> {
    let text = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    assert_eq!(lines.next(), Some("| vectors | | they say | Backstop says | why |"), "the head of the table");
    assert!(lines.next().is_some_and(|line| line.starts_with("|--")), "the rule below it");
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [vectors, kind, vector, engine, why] = cells.as_slice() else { panic!("not five cells: {line}") };
    assert!(!why.is_empty(), "no reason: {line}");
    let kind = match *kind {
        "not ours" => Kind::NotOurs,
        "differs" => Kind::Differs,
        other => panic!("{other}: {line}"),
    };
    let row = Row {
        vectors: vectors.trim_matches('`').to_owned(),
        kind,
        vector: (*vector).to_owned(),
        engine: (*engine).to_owned(),
    };
    assert_eq!(row.kind == Kind::NotOurs, row.vector.is_empty() && row.engine.is_empty(), "{line}");
    row
}
