//! Who asks: decides from a request's headers which key it comes with, and whether that key may do what is asked.
//!
//! In: headers, the body where one is signed, the clock. Out: a [`Caller`], or the problem. Secrets live in memory only, are
//! compared in constant time, and are never shown or logged.

mod credentials;
mod keys;
mod seen;

pub(crate) use credentials::{Credentials, KEY, NONCE, Pending, Presented, SIGNATURE, TIMESTAMP, WINDOW};
pub(crate) use keys::Keys;

use super::problem::{Kind, Problem};
use crate::config::Role;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use std::future::{Ready, ready};
use std::sync::Arc;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Anybody: public reads.
    Public,
    /// Somebody on this machine, while no key is configured: everything.
    Open,
    /// The holder of a key.
    Key(Arc<Holder>),
}

/// The holder of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) account: Option<String>,
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // The gate has found out; whom it does not know is anybody.
        ready(Ok(request.extensions().get::<Self>().cloned().unwrap_or(Self::Public)))
    }
}

impl Caller {
    /// As rule changes name it; empty without a key.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Key(holder) => &holder.id,
            Self::Open | Self::Public => "",
        }
    }

    fn role(&self) -> Option<Role> {
        match self {
            Self::Key(holder) => Some(holder.role),
            Self::Open | Self::Public => None,
        }
    }

    /// May it read this account?
    pub(crate) fn may_read(&self, account: &str) -> Result<(), Problem> {
        match self {
            Self::Open => Ok(()),
            Self::Public => Err(Problem::plain(Kind::MissingCredentials)),
            Self::Key(holder) => match holder.role {
                Role::Venue | Role::Operator => Ok(()),
                Role::Account if holder.account.as_deref() == Some(account) => Ok(()),
                Role::Account => Err(Problem::new(Kind::Forbidden, "this key reads its own account only")),
            },
        }
    }

    /// Is it one of these?
    pub(crate) fn is(&self, roles: &[Role]) -> bool {
        matches!(self, Self::Open) || self.role().is_some_and(|role| roles.contains(&role))
    }

    /// It must be one of these.
    pub(crate) fn must_be(&self, roles: &[Role]) -> Result<(), Problem> {
        match self {
            Self::Public => Err(Problem::plain(Kind::MissingCredentials)),
            _ if self.is(roles) => Ok(()),
            _ => Err(Problem::new(Kind::Forbidden, "a key of this role may not do this")),
        }
    }
}
