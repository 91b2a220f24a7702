//! Who was refused: counted by reason, logged once per source and minute, and the last one of each
//! endpoint remembered for its page. In memory, bounded, shared by all threads.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::domain::{Denial, Denied, EndpointName, Peer, Shown, Timestamp};

/// Somebody was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The endpoint that it wanted to speak for, where that is one of ours: one that was seen
    /// before, or has credentials. What strangers call themselves is not remembered.
    pub endpoint: Option<EndpointName>,
    /// Who.
    pub peer: Peer,
    /// Why.
    pub reason: Denied,
    /// What it had proven nevertheless.
    pub shown: Option<Shown>,
}

/// What is known of those who were refused. Cheap to clone; every clone sees the same.
#[derive(Clone, Debug)]
pub struct Refusals {
    counters: Family<ReasonLabel, Counter>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    endpoints: Recent<EndpointName, Denial>,
    sources: Recent<IpAddr, Source>,
    /// When the current minute of the log began, and its lines so far.
    minute: Option<(Instant, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    logged_at: Instant,
    /// Refused since then without a line of their own.
    unlogged: u64,
}

/// The newest entries; the one that was not touched for longest makes room.
#[derive(Debug)]
struct Recent<K, V> {
    entries: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
    limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Refusals {
    /// Remembers the last refusal of at most `limit` endpoints, and as many sources.
    pub fn new(limit: usize) -> Self {
        Self {
            counters: Family::default(),
            known: Arc::new(Mutex::new(Known {
                endpoints: Recent::new(limit),
                sources: Recent::new(limit),
                minute: None,
            })),
        }
    }

    /// Counts, remembers and, once per source and minute, logs a refusal.
    pub fn note(&self, refused: Refused) {
        self.note_at(Instant::now(), Timestamp::system(), refused);
    }

    /// The last attempt to speak for an endpoint that was refused.
    pub fn last(&self, endpoint: &EndpointName) -> Option<Denial> {
        self.lock().endpoints.get(endpoint).cloned()
    }

    /// The endpoint is forgotten.
    pub fn forget(&self, endpoint: &EndpointName) {
        self.lock().endpoints.remove(endpoint);
    }

    /// How often somebody was refused for a reason.
    pub fn count(&self, reason: &Denied) -> u64 {
        self.counters.get_or_create(&label(reason)).get()
    }

    /// Names the counter for `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "flownexus_devices_refused",
            "Requests, notifications and handshakes of somebody who may not speak for a device, by reason",
            self.counters.clone(),
        );
    }

    /// True when it was logged.
    fn note_at(&self, now: Instant, wall: Timestamp, refused: Refused) -> bool {
        let Refused {
            endpoint,
            peer,
            reason,
            shown,
        } = refused;
        self.counters.get_or_create(&label(&reason)).inc();
        let mut known = self.lock();
        let unlogged = known.count_source(now, peer.address.ip());
        // Whose key is in the wrong device, or the right one under a wrong name, finds it on its own page.
        let owner = shown
            .as_ref()
            .filter(|_| reason == Denied::OtherEndpoint)
            .map(|shown| &shown.identity.endpoint);
        for endpoint in endpoint.iter().chain(owner) {
            let denial = Denial {
                at: wall,
                transport: peer.transport,
                address: peer.address,
                reason: reason.clone(),
                shown: shown.clone(),
            };
            known.endpoints.insert(endpoint.clone(), denial);
        }
        drop(known);
        let Some(unlogged) = unlogged else {
            return false;
        };
        let identity = shown.as_ref().map(|shown| &shown.identity);
        // Who has proven something is no stranger: what it calls itself may stand in the log.
        let wanted = shown.as_ref().and_then(|shown| shown.wanted.as_ref());
        let name = endpoint
            .as_ref()
            .or(wanted)
            .map_or("nobody we know", EndpointName::as_str);
        let with = identity.map_or_else(String::new, |identity| format!(" with {identity}"));
        tracing::warn!(%peer, endpoint.name = name, reason = reason.name(), unlogged,
            credential.endpoint = identity.map(|identity| identity.endpoint.as_str()),
            credential.kind = identity.map(|identity| identity.kind.name()),
            credential.label = identity.map(|identity| identity.label.as_str()),
            "Refused {peer} as {name}{with}: {reason} ({unlogged} more of its address since the last such line)");
        true
    }

    // Nothing panics while the lock is held, and a table half changed would only forget somebody.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How many refusals of a source had no line of their own, when this one is to have one.
    fn count_source(&mut self, now: Instant, source: IpAddr) -> Option<u64> {
        let before = self.sources.get(&source).copied();
        match before {
            Some(before) if now.saturating_duration_since(before.logged_at) < LOG_INTERVAL => {
                let unlogged = before.unlogged.saturating_add(1);
                let source_now = Source { unlogged, ..before };
                self.sources.insert(source, source_now);
                None
            }
            _ if !self.has_room_in_the_log(now) => None,
            _ => {
                let fresh = Source {
                    logged_at: now,
                    unlogged: 0,
                };
                self.sources.insert(source, fresh);
                Some(before.map_or(0, |before| before.unlogged))
            }
        }
    }
}

impl Known {
    /// However many sources there are, which may be made up, the log stays readable.
    fn has_room_in_the_log(&mut self, now: Instant) -> bool {
        let (began, lines) = self
            .minute
            .filter(|(began, _)| now.saturating_duration_since(*began) < LOG_INTERVAL)
            .unwrap_or((now, 0));
        let has_room = lines < LOG_LINES;
        self.minute = Some((began, lines.saturating_add(u32::from(has_room))));
        has_room
    }
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
            limit,
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    fn remove(&mut self, key: &K) {
        if let Some((at, _)) = self.entries.remove(key) {
            self.order.remove(&at);
        }
    }

    fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        while self.entries.len() >= self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let at = self.next;
        self.next = self.next.wrapping_add(1);
        self.order.insert(at, key.clone());
        self.entries.insert(key, (at, value));
    }
}

fn label(reason: &Denied) -> ReasonLabel {
    ReasonLabel {
        reason: reason.name(),
    }
}

/// Each source of refused attempts is logged once in this time…
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// …and all of them together with so many lines.
const LOG_LINES: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CredentialId, CredentialKind, Identity};

    fn name(text: &str) -> EndpointName {
        EndpointName::new(text).expect("a name")
    }

    fn from(last: u8, endpoint: Option<&str>) -> Refused {
        Refused {
            endpoint: endpoint.map(name),
            peer: Peer::udp(([192, 0, 2, last], 4000).into()),
            reason: Denied::HasCredentials,
            shown: None,
        }
    }

    /// Somebody with the key of `owner` who calls itself `wanted`.
    fn with_the_key_of(owner: &str, wanted: &str, endpoint: Option<&str>) -> Refused {
        let identity = Identity {
            anchor: None,
            endpoint: name(owner),
            others: Vec::new(),
            kind: CredentialKind::Psk,
            credential: Some(CredentialId(1)),
            label: format!("{owner}-key"),
        };
        Refused {
            reason: Denied::OtherEndpoint,
            shown: Some(Shown {
                identity: Arc::new(identity),
                wanted: Some(name(wanted)),
            }),
            ..from(1, endpoint)
        }
    }

    #[test]
    fn a_source_is_logged_once_in_a_minute_and_counted_always() {
        let refusals = Refusals::new(10);
        let (start, wall) = (Instant::now(), Timestamp::system());
        assert!(refusals.note_at(start, wall, from(1, None)));
        assert!(!refusals.note_at(start, wall, from(1, None)));
        assert!(refusals.note_at(start, wall, from(2, None)));
        let almost = start + LOG_INTERVAL - Duration::from_millis(1);
        assert!(!refusals.note_at(almost, wall, from(1, None)));
        assert!(refusals.note_at(start + LOG_INTERVAL, wall, from(1, None)));
        assert_eq!(refusals.count(&Denied::HasCredentials), 5);
        assert_eq!(refusals.count(&Denied::Stranger), 0);
    }

    #[test]
    fn made_up_sources_do_not_fill_the_log() {
        let refusals = Refusals::new(10);
        let (start, wall) = (Instant::now(), Timestamp::system());
        let logged = |at| {
            let sources = (0..=255_u8).map(|number| from(number, None));
            let lines = sources.filter(|refused| refusals.note_at(at, wall, refused.clone()));
            lines.count()
        };
        assert_eq!(logged(start), 100);
        assert_eq!(logged(start + LOG_INTERVAL), 100);
        assert_eq!(refusals.count(&Denied::HasCredentials), 512);
    }

    #[test]
    fn the_last_refusal_of_an_endpoint_is_remembered() {
        let refusals = Refusals::new(10);
        refusals.note(from(1, Some("thing")));
        refusals.note(Refused {
            reason: Denied::Handshake("wrong key".to_owned()),
            ..from(2, Some("thing"))
        });
        let last = refusals.last(&name("thing")).expect("remembered");
        assert_eq!(last.address.to_string(), "192.0.2.2:4000");
        assert_eq!(
            last.reason.to_string(),
            "the DTLS handshake failed: wrong key"
        );
        assert_eq!(refusals.last(&name("other")), None);
        refusals.forget(&name("thing"));
        assert_eq!(refusals.last(&name("thing")), None);
    }

    #[test]
    fn whose_key_was_used_for_another_endpoint_is_remembered_with_both() {
        let refusals = Refusals::new(10);
        refusals.note(with_the_key_of("thief", "thing", Some("thing")));
        for endpoint in ["thief", "thing"] {
            let last = refusals.last(&name(endpoint)).expect("remembered");
            assert_eq!(
                last.for_people(),
                "the credential is for another endpoint; it has the pre-shared key `thief-key` of \
                 `thief` and called itself `thing`"
            );
        }
        // One that was never seen has no place of its own.
        refusals.note(with_the_key_of("pump", "pumpp", None));
        assert!(refusals.last(&name("pump")).is_some());
        assert_eq!(refusals.last(&name("pumpp")), None);
        // Any other reason is no matter of the key.
        refusals.note(Refused {
            reason: Denied::RegisteredInPlain,
            ..with_the_key_of("valve", "tank", Some("tank"))
        });
        assert_eq!(refusals.last(&name("valve")), None);
        assert!(refusals.last(&name("tank")).is_some());
    }

    #[test]
    fn however_many_are_refused_the_tables_stay_small() {
        let refusals = Refusals::new(3);
        for number in 0..200_u8 {
            refusals.note(from(number, Some(&format!("thing-{number}"))));
        }
        let known = refusals.lock();
        assert_eq!(
            (known.endpoints.entries.len(), known.endpoints.order.len()),
            (3, 3)
        );
        assert_eq!(
            (known.sources.entries.len(), known.sources.order.len()),
            (3, 3)
        );
        drop(known);
        assert!(refusals.last(&name("thing-199")).is_some());
        assert!(refusals.last(&name("thing-100")).is_none());
    }
}
