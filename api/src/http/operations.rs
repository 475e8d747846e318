//! What the API can do: one table, from which routes, authorisation, parameters, caching and /openapi.json follow.

use super::params::Param;
use super::{admin, commands, compat, docs, page, problems, proofs, reads, records, rules, stream};
use actix_web::Route;
use schemars::{Schema, SchemaGenerator};
use std::sync::LazyLock;

/// Who may do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Public,
    /// Whoever may read the account that the parameter of this name names.
    Account(&'static str),
    /// Venue and operator.
    Venue,
    /// An operator, on the admin listener.
    Operator,
    /// A key; which commands it may send is decided command by command.
    Commands,
    /// Anybody; what is asked for later needs a key.
    Stream,
}

/// Which listener serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Api,
    Admin,
    Both,
}

impl On {
    /// Does the listener of operators, or the other one, serve it?
    pub(crate) fn serves(self, admin: bool) -> bool {
        match self {
            Self::Both => true,
            Self::Api => !admin,
            Self::Admin => admin,
        }
    }
}

/// What it answers with.
#[derive(Clone, Copy)]
pub(crate) enum Answers {
    /// JSON of this schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// JSON of this schema, or CSV where the parameter `format` says so.
    JsonOrCsv(fn(&mut SchemaGenerator) -> Schema),
    /// Lines of JSON.
    Lines,
    /// A text of this type.
    Text(&'static str),
    /// A WebSocket.
    Upgrade,
    /// Answers to commands, in the form of the commands.
    Commands,
}

/// Something the API can do.
pub(crate) struct Operation {
    /// `GET` (and `HEAD`) or `POST`.
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) on: On,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) answers: Answers,
    /// Problems that only this answers with, beside those of any request.
    pub(crate) problems: &'static [super::problem::Kind],
    /// The same request at the same sequence number has the same answer.
    pub(crate) steady: bool,
    /// Is it the same for whoever asks?
    pub(crate) alike: bool,
    pub(crate) serve: fn() -> Route,
}

impl Operation {
    /// A public read of the API.
    pub(crate) const fn read(
        path: &'static str,
        tag: &'static str,
        summary: &'static str,
        answers: Answers,
        serve: fn() -> Route,
    ) -> Self {
        Self {
            method: "GET",
            path,
            access: Access::Public,
            on: On::Api,
            tag,
            summary,
            params: &[],
            answers,
            problems: &[],
            steady: true,
            alike: true,
            serve,
        }
    }

    /// With parameters.
    pub(crate) const fn with(self, params: &'static [Param]) -> Self {
        Self { params, ..self }
    }

    /// For some only.
    pub(crate) const fn of(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// On another listener.
    pub(crate) const fn on(self, on: On) -> Self {
        Self { on, ..self }
    }

    /// With problems of its own.
    pub(crate) const fn or(self, problems: &'static [super::problem::Kind]) -> Self {
        Self { problems, ..self }
    }

    /// Whose answer depends on who asks.
    pub(crate) const fn personal(self) -> Self {
        Self { alike: false, ..self }
    }

    /// May one answer serve everybody while nothing happens?
    pub(crate) fn is_shared(&self) -> bool {
        self.steady && self.alike && self.access == Access::Public
    }

    /// Whose answer is another each time.
    pub(crate) const fn fleeting(self) -> Self {
        Self { steady: false, ..self }
    }

    /// That sends something.
    pub(crate) const fn post(self) -> Self {
        Self { method: "POST", steady: false, ..self }
    }
}

/// Every operation, by area.
pub(crate) fn all() -> &'static [Operation] {
    static ALL: LazyLock<Vec<Operation>> = LazyLock::new(|| {
        let areas = [
            commands::operations(),
            reads::operations(),
            records::operations(),
            proofs::operations(),
            rules::operations(),
            stream::operations(),
            compat::operations(),
            docs::operations(),
            problems::operations(),
            page::operations(),
            admin::operations(),
        ];
        areas.into_iter().flatten().collect()
    });
    &ALL
}

/// The operations of one path.
pub(crate) fn at(path: &str) -> impl Iterator<Item = &'static Operation> + use<'_> {
    all().iter().filter(move |operation| operation.path == path)
}
