//! How often somebody may fail to log in: per login name and per address, by `governor`.
//!
//! An attempt is counted before the password is looked at, so that attempts at the same time count
//! too, and taken back when it succeeds: only failures are left.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::config::Web;

use super::tokens::hash;

/// Names and addresses that are remembered at once.
const MAX_KEYS: usize = 20_000;

/// The limit of failed logins.
#[derive(Debug)]
pub struct LoginLimits {
    limiter: RateLimiter<Key, Attempts, DefaultClock, NoOpMiddleware>,
    attempts: Attempts,
    clock: DefaultClock,
    started: <DefaultClock as governor::clock::Clock>::Instant,
    /// What one attempt costs.
    cost: Nanos,
}

/// How often an address may do something an hour.
#[derive(Debug)]
pub struct HourlyLimit {
    /// Nothing: never.
    limits: Option<LoginLimits>,
}

impl HourlyLimit {
    /// So often.
    pub fn new(times: u32) -> Self {
        let hour = Duration::from_secs(3600);
        let limits = NonZeroU32::new(times).map(|times| LoginLimits::per(times, hour));
        Self { limits }
    }

    /// Counts one, and says whether it is still within the limit.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.limits.as_ref().is_some_and(|limits| {
            limits.make_room();
            limits.limiter.check_key(&address_key(address)).is_ok()
        })
    }
}

/// Who tries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// A login name, hashed: it may be long, and it may be a password typed into the wrong field.
    Name(Vec<u8>),
    /// An address; of IPv6 the first 64 bits, since the rest is the client's choice.
    Address(IpAddr),
}

impl LoginLimits {
    /// Limits of these settings.
    pub fn new(web: &Web) -> Self {
        let attempts = NonZeroU32::new(web.login_attempts).unwrap_or(NonZeroU32::MIN);
        Self::per(attempts, Duration::from_secs(web.login_window_s.max(1)))
    }

    /// Those of one-time codes: as many, but failures count for an hour at least.
    pub fn of_codes(web: &Web) -> Self {
        let attempts = NonZeroU32::new(web.login_attempts).unwrap_or(NonZeroU32::MIN);
        Self::per(attempts, Duration::from_secs(web.login_window_s.max(3600)))
    }

    /// So many in this time.
    fn per(attempts: NonZeroU32, window: Duration) -> Self {
        let cost = window / attempts.get();
        let quota = Quota::with_period(cost)
            .unwrap_or_else(|| Quota::per_second(attempts))
            .allow_burst(attempts);
        let clock = DefaultClock::default();
        let store = Attempts::default();
        let started = clock.now();
        Self {
            limiter: RateLimiter::new(quota, store.clone(), clock.clone()),
            attempts: store,
            clock,
            started,
            cost: Nanos::from(cost),
        }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// How long to wait.
    pub fn attempt(&self, name: &str, address: IpAddr) -> Result<(), Duration> {
        self.make_room();
        for key in keys(name, address) {
            if let Err(until) = self.limiter.check_key(&key) {
                return Err(until.wait_time_from(self.clock.now()));
            }
        }
        Ok(())
    }

    fn make_room(&self) {
        let now = self.clock.now().duration_since(self.started);
        self.attempts.make_room(now);
    }

    /// Takes an attempt back that was counted and succeeded.
    pub fn succeeded(&self, name: &str, address: IpAddr) {
        for key in keys(name, address) {
            self.attempts.take_back(&key, self.cost);
        }
    }
}

/// The address first: one that is over its limit must not count against the name.
fn keys(name: &str, address: IpAddr) -> [Key; 2] {
    [address_key(address), Key::Name(hash(name))]
}

fn address_key(address: IpAddr) -> Key {
    let address = match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    };
    Key::Address(address)
}

/// The state of the limiter: per key the theoretical arrival time of the next attempt (GCRA).
#[derive(Clone, Debug, Default)]
struct Attempts(Arc<Mutex<HashMap<Key, Nanos>>>);

impl Attempts {
    fn take_back(&self, key: &Key, cost: Nanos) {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = arrivals.get_mut(key) {
            *arrival = arrival.saturating_sub(cost);
        }
    }

    /// Forgets what no longer counts once the table is full; if all of it counts, any.
    fn make_room(&self, now: Nanos) {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() < MAX_KEYS {
            return;
        }
        arrivals.retain(|_, arrival| *arrival > now);
        if arrivals.len() >= MAX_KEYS {
            let some: Vec<Key> = arrivals.keys().take(MAX_KEYS / 10).cloned().collect();
            for key in some {
                arrivals.remove(&key);
            }
        }
    }
}

impl StateStore for Attempts {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (decision, arrival) = f(arrivals.get(key).copied())?;
        arrivals.insert(key.clone(), arrival);
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn limits(attempts: u32) -> LoginLimits {
        let mut web = Settings::defaults().web;
        web.login_attempts = attempts;
        LoginLimits::new(&web)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn failures_count_per_name_and_per_address() {
        let limits = limits(3);
        for host in 1..=3 {
            assert_eq!(limits.attempt("alice", address(host)), Ok(()));
        }
        let wait = limits.attempt("alice", address(4)).expect_err("too many");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(100));
        assert_eq!(limits.attempt("bob", address(5)), Ok(()), "another name");

        for name in ["carol", "dave", "erin"] {
            assert_eq!(limits.attempt(name, address(9)), Ok(()));
        }
        assert!(limits.attempt("frank", address(9)).is_err());
    }

    #[test]
    fn successes_do_not_count() {
        let limits = limits(2);
        for _ in 0..20 {
            assert_eq!(limits.attempt("alice", address(1)), Ok(()));
            limits.succeeded("alice", address(1));
        }
    }

    #[test]
    fn an_hourly_limit_is_of_each_address_and_nothing_is_nothing() {
        let limit = HourlyLimit::new(2);
        let allowed = [1, 1, 1, 2].map(|host| limit.allows(address(host)));
        assert_eq!(allowed, [true, true, false, true]);
        assert!(!HourlyLimit::new(0).allows(address(1)));
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let limits = limits(2);
        for host in ["2001:db8::1", "2001:db8::2"] {
            let name = format!("user of {host}");
            assert_eq!(limits.attempt(&name, host.parse().expect("v6")), Ok(()));
        }
        let third = "2001:db8::ffff:3".parse().expect("v6");
        assert!(limits.attempt("another", third).is_err());
    }

    #[test]
    fn the_table_is_bounded() {
        let limits = limits(5);
        for number in 0..MAX_KEYS as u32 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            let _ = limits.attempt(&format!("name {number}"), address);
        }
        assert!(limits.attempts.0.lock().expect("a lock").len() <= MAX_KEYS + 1);
    }
}
