//! How many requests are taken: by address, and by key.

use super::problem::{Kind, Problem};
use crate::config::Limits;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

/// Requests after which those who have been away are forgotten.
const SWEEP: usize = 65_536;

struct Limiter<K: Hash + Eq + Clone> {
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    checked: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(per_second: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(per_second).zip(NonZeroU32::new(burst));
        let limiter = quota.map(|(rate, burst)| RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)));
        Self { limiter, checked: AtomicUsize::new(0) }
    }

    fn check(&self, key: &K, whose: &str) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        if self.checked.fetch_add(1, Ordering::Relaxed) >= SWEEP {
            self.checked.store(0, Ordering::Relaxed);
            limiter.retain_recent();
        }
        limiter.check_key(key).map_err(|early| {
            let wait = early.wait_time_from(DefaultClock::default().now());
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            Problem::later(Kind::RateLimited, format!("too many requests of this {whose}"), ms.max(1))
        })
    }
}

struct Open {
    address: Limiter<IpAddr>,
    key: Limiter<String>,
    limits: Limits,
}

/// The limits in force. Cheap to clone; what is replaced is replaced for all clones.
#[derive(Clone)]
pub(crate) struct Doors(Arc<RwLock<Arc<Open>>>);

fn open(limits: &Limits) -> Arc<Open> {
    Arc::new(Open {
        address: Limiter::new(limits.address_per_second, limits.address_burst),
        key: Limiter::new(limits.key_per_second, limits.key_burst),
        limits: limits.clone(),
    })
}

impl Doors {
    /// With these limits.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Arc::new(RwLock::new(open(limits))))
    }

    /// Takes the limits of a new reading of the configuration; everybody starts afresh.
    pub(crate) fn reload(&self, limits: &Limits) {
        if let Ok(mut doors) = self.0.write() {
            *doors = open(limits);
        }
    }

    fn now(&self) -> Arc<Open> {
        self.0.read().map_or_else(|poisoned| poisoned.into_inner().clone(), |doors| doors.clone())
    }

    /// A request of this address.
    ///
    /// # Errors
    /// [`Kind::RateLimited`].
    pub(super) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        let (open, address) = (self.now(), address.to_canonical());
        if address.is_loopback() && !open.limits.loopback {
            return Ok(());
        }
        // Whoever has one address of the sixth version has 2^64 of them.
        let address = match address {
            IpAddr::V6(long) => IpAddr::V6((u128::from(long) >> 64 << 64).into()),
            short => short,
        };
        open.address.check(&address, "address")
    }

    /// A request with this key; none without one.
    ///
    /// # Errors
    /// [`Kind::RateLimited`].
    pub(super) fn key(&self, key: &str) -> Result<(), Problem> {
        if key.is_empty() { Ok(()) } else { self.now().key.check(&key.to_owned(), "key") }
    }

    /// Longest that somebody waits for a sequence number.
    pub(super) fn wait_ms(&self) -> u64 {
        self.now().limits.wait_ms
    }

    /// Longest that a body may take to come.
    pub(super) fn body_ms(&self) -> u64 {
        self.now().limits.body_ms
    }
}
