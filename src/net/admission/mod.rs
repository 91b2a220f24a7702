//! Who is listened to, and how much goes to addresses that anybody may have forged.
//!
//! Two questions are asked here, for every transport, and answered without I/O: may this datagram be
//! read ([`Admission::admit`]), and may that one be sent (the [`Allowance`] of the message layer).
//!
//! - **Blocked** addresses are not read and get nothing.
//! - **Budgets** are of datagrams: of each source (an IPv4 address or an IPv6 /64, which is what one
//!   customer of a provider has), and of all unproven addresses together.
//! - **Proof** is of an address with its port. Until it has repeated something random that was sent
//!   there, it gets `amplification` bytes for each of its own. Everything that goes there counts, our
//!   requests and retransmissions included.
//! - **Sessions** of DTLS belong to whoever has their keys, and get what they ask for, until one comes from
//!   another address (RFC 9146 section 6): from then on it is an address without proof and without grace,
//!   and of the proofs only an answer counts to what was sent there.
//! - **Grace.** A device that was silent for longer than a proof lasts, or whose registration is older
//!   than this process, has paid for nothing, and yet is to be asked: it may get `grace_bytes` once for
//!   each proof that it has given, and then once in the time that a proof lasts; or once, when it was
//!   never heard. An address that was heard and has never proven anything gets none.
//! - **Restarts.** Of a proof of the time before, as far as it is stored, counts what is left of its time.
//!
//! Everything that is remembered is in tables of bounded size. To forget an address only takes bytes
//! away from it; it takes as many datagrams of strangers as a table has places, and those of proven
//! addresses have a table of their own, which strangers cannot fill.

mod bucket;
mod counters;
mod echo;
mod recent;

#[cfg(test)]
mod moving_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::coap::{Allowance, Peer};
use crate::config;
use crate::domain::{Place, SessionId, Unreachable, unmapped};

use self::bucket::{Bucket, Rate};
pub use self::counters::AdmissionCounters;
use self::echo::Echoes;
use self::recent::Recent;

/// The books on all sources. Time is passed in.
#[derive(Debug)]
pub struct Admission {
    settings: config::Admission,
    counters: AdmissionCounters,
    echoes: Echoes,
    /// Addresses that have proven themselves once, lately or long ago.
    proven: Recent<Place, Source>,
    /// Addresses that never have.
    strangers: Recent<Place, Source>,
    /// Budgets of sources, by the bits of [`origin`].
    origins: Recent<u128, Bucket>,
    /// Until when the address that was asked for last is proven: it is asked for several times in a row.
    last: Option<(SocketAddr, Option<Instant>)>,
    /// Sessions that have come from another address and not answered from there yet; no more than there
    /// are sessions.
    moved: HashMap<SessionId, Moved>,
    /// How often one has.
    moves: u64,
    source_rate: Option<Rate>,
    /// What is read of all unproven addresses together.
    incoming: Option<(Rate, Bucket)>,
    /// What is sent to them.
    outgoing: Option<(Rate, Bucket)>,
    complaint: Complaint,
}

/// Why a datagram is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `admission.block` names its source.
    #[error("the address is blocked (admission.block)")]
    Blocked,
    /// Its source has sent too many.
    #[error("too many from one source (admission.source_datagrams_per_s)")]
    Source,
    /// Unproven addresses together have sent too many.
    #[error("too many from unproven addresses (admission.unproven_datagrams_per_s)")]
    Total,
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    /// Bytes that it may get.
    credit: usize,
    proven_until: Option<Instant>,
    /// From when on it may get some without having paid for them.
    grace_from: Option<Instant>,
}

/// A session at an address that its peer may have or not (RFC 9146 section 6).
#[derive(Clone, Copy, Debug)]
struct Moved {
    /// Bytes that may go there.
    credit: usize,
    /// Bytes that each of our datagrams has beside its message.
    overhead: usize,
    /// A number of its own for each move: what was sent there the time before may have been sent again to
    /// where it was in between.
    stay: u64,
}

/// Drops are told of once a minute, however many there are.
#[derive(Debug, Default)]
struct Complaint {
    dropped: u64,
    next: Option<Instant>,
}

impl Admission {
    /// Books on nobody. `key` must be random and secret: whoever knows it can prove any address.
    pub fn new(
        settings: &config::Admission,
        counters: AdmissionCounters,
        key: [u8; 32],
        now: Instant,
    ) -> Self {
        let total = |per_second| {
            let rate = Rate::new(per_second, per_second)?;
            Some((rate, Bucket::full(rate, now)))
        };
        Self {
            echoes: Echoes::new(key, now, Duration::from_secs(settings.proof_s)),
            proven: Recent::new(settings.max_sources),
            strangers: Recent::new(settings.max_sources),
            origins: Recent::new(settings.max_sources),
            last: None,
            moved: HashMap::new(),
            moves: 0,
            source_rate: Rate::new(
                settings.source_datagrams_per_s,
                settings.source_burst_datagrams,
            ),
            incoming: total(settings.unproven_datagrams_per_s),
            outgoing: total(settings.unproven_bytes_per_s),
            complaint: Complaint::default(),
            settings: settings.clone(),
            counters,
        }
    }

    /// Whether a datagram of this length is read. `known`: the address belongs to a session that has
    /// proven it, or the datagram names one.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn admit(
        &mut self,
        now: Instant,
        address: SocketAddr,
        bytes: usize,
        known: bool,
    ) -> Result<(), Refused> {
        let verdict = self.judge(now, unmapped(address), known);
        if let Err(refused) = verdict {
            match refused {
                Refused::Blocked => &self.counters.refused_blocked,
                Refused::Source => &self.counters.refused_source,
                Refused::Total => &self.counters.refused_total,
            }
            .inc();
            self.counters.refused_bytes.inc_by(bytes as u64);
            self.complaint.make(now, address, refused);
        }
        verdict
    }

    /// The same for a datagram on plain UDP, where an address is known that has proven itself.
    ///
    /// # Errors
    /// Says why it is not read.
    pub fn admit_plain(
        &mut self,
        now: Instant,
        address: SocketAddr,
        bytes: usize,
    ) -> Result<(), Refused> {
        let known = self.incoming.is_some() && self.is_proven(now, unmapped(address));
        self.admit(now, address, bytes, known)
    }

    /// The address has repeated something random that only it was sent.
    pub fn proven(&mut self, now: Instant, address: SocketAddr) {
        let address = unmapped(address);
        let until = now.checked_add(Duration::from_secs(self.settings.proof_s));
        self.last = Some((address, until));
        if let Some(source) = self.proven.get(Place(address)) {
            if source.proven_until.is_none_or(|until| until <= now) {
                self.counters.proofs.inc();
            }
            source.proven_until = until;
            source.grace_from = until;
            return;
        }
        self.counters.proofs.inc();
        let mut source = self.strangers.remove(Place(address)).unwrap_or_default();
        source.proven_until = until;
        source.grace_from = until;
        self.proven.get_or_insert_with(Place(address), || source);
        self.show();
    }

    /// The address did so this long ago, before these books were begun: what is left of the time that a proof
    /// lasts counts.
    pub fn was_proven(&mut self, now: Instant, address: SocketAddr, ago: Duration) {
        let left = Duration::from_secs(self.settings.proof_s).saturating_sub(ago);
        if left.is_zero() {
            return;
        }
        self.last = None;
        let place = Place(unmapped(address));
        let source = self.proven.get_or_insert_with(place, Source::default);
        source.proven_until = source.proven_until.max(now.checked_add(left));
        source.grace_from = source.proven_until;
        self.show();
    }

    fn judge(&mut self, now: Instant, address: SocketAddr, known: bool) -> Result<(), Refused> {
        if self.is_blocked(address.ip()) {
            return Err(Refused::Blocked);
        }
        if let Some(rate) = self.source_rate {
            let bucket = self
                .origins
                .get_or_insert_with(origin(address.ip()).to_bits(), || Bucket::full(rate, now));
            let has_room = bucket.take(rate, now, 1.0);
            self.counters.origins.set(size(self.origins.len()));
            if !has_room {
                return Err(Refused::Source);
            }
        }
        if let Some((rate, bucket)) = self.incoming.as_mut().filter(|_| !known)
            && !bucket.take(*rate, now, 1.0)
        {
            return Err(Refused::Total);
        }
        Ok(())
    }

    /// True when `admission.block` names the address.
    fn is_blocked(&self, address: IpAddr) -> bool {
        self.settings
            .block
            .iter()
            .any(|network| network.contains(address))
    }

    fn is_proven(&mut self, now: Instant, address: SocketAddr) -> bool {
        let until = match self.last {
            Some((last, until)) if last == address => until,
            _ => {
                let source = self.proven.get(Place(address));
                let until = source.and_then(|source| source.proven_until);
                self.last = Some((address, until));
                until
            }
        };
        until.is_some_and(|until| now < until)
    }

    /// A datagram of a session has come. Whoever sends it holds its keys; where the session was made the
    /// address is proven with it, where it has moved to it is not.
    pub(super) fn heard(&mut self, now: Instant, peer: Peer, bytes: usize) {
        let amplification = self.settings.amplification as usize;
        match peer
            .session
            .and_then(|session| self.moved.get_mut(&session))
        {
            Some(moved) => {
                let paid = bytes.saturating_mul(amplification);
                moved.credit = moved.credit.saturating_add(paid);
            }
            None => self.proven(now, peer.address),
        }
    }

    /// A session has come from another address, by a datagram of so many bytes. Ours have so many more than
    /// their message.
    pub(super) fn moved(&mut self, peer: Peer, bytes: usize, overhead: usize) {
        let Some(session) = peer.session else { return };
        if self.settings.amplification == 0 {
            return;
        }
        // Also where the address is proven: it may be that of somebody else.
        let credit = bytes.saturating_mul(self.settings.amplification as usize);
        self.moves = self.moves.saturating_add(1);
        let moved = Moved {
            credit,
            overhead,
            stay: self.moves,
        };
        self.moved.insert(session, moved);
    }

    /// A session is over.
    pub(super) fn over(&mut self, peer: Peer) {
        if let Some(session) = peer.session {
            self.moved.remove(&session);
        }
    }

    /// Whether the peer of a session has shown that it is where it was seen last.
    pub(super) fn is_where_it_was_seen(&self, peer: Peer) -> bool {
        self.moved_to(peer).is_none()
    }

    fn moved_to(&self, peer: Peer) -> Option<&Moved> {
        self.moved.get(&peer.session?)
    }

    /// See [`Allowance::stay`]; 0 where nothing has moved.
    fn stay(&self, peer: Peer) -> u64 {
        self.moved_to(peer).map_or(0, |moved| moved.stay)
    }

    /// The peer has repeated something random that only it was sent where it is now.
    fn answered(&mut self, now: Instant, peer: Peer) {
        match peer.session {
            None => self.proven(now, peer.address),
            Some(session) => {
                if self.moved.remove(&session).is_some() {
                    self.proven(now, peer.address);
                }
            }
        }
    }

    /// Whether there is a limit on what a peer gets. One with a session of DTLS holds its keys, so there is
    /// none unless it has moved; what a handshake sends is counted where it is made, see
    /// [`Admission::room_to_call`].
    fn is_limited(&mut self, now: Instant, peer: Peer) -> bool {
        if peer.is_secure() {
            return self.moved_to(peer).is_some();
        }
        self.settings.amplification > 0 && !self.is_proven(now, peer.address)
    }

    fn find(&mut self, address: SocketAddr) -> Option<&mut Source> {
        match self.proven.get(Place(address)) {
            Some(source) => Some(source),
            None => self.strangers.get(Place(address)),
        }
    }

    /// The bytes that a message to a limited peer may have.
    fn credit(&mut self, peer: Peer) -> usize {
        match self.moved_to(peer) {
            Some(moved) => moved.credit.saturating_sub(moved.overhead),
            None => self.find(peer.address).map_or(0, |source| source.credit),
        }
    }

    fn spend(&mut self, peer: Peer, bytes: usize) {
        let moved = peer
            .session
            .and_then(|session| self.moved.get_mut(&session));
        if let Some(moved) = moved {
            moved.credit = moved.credit.saturating_sub(bytes + moved.overhead);
        } else if let Some(source) = self.find(peer.address) {
            source.credit = source.credit.saturating_sub(bytes);
        }
    }

    fn received(&mut self, now: Instant, peer: Peer, bytes: usize) {
        // Of a session whole datagrams count, see `heard`.
        if peer.is_secure() || !self.is_limited(now, peer) {
            return;
        }
        let paid = bytes.saturating_mul(self.settings.amplification as usize);
        let place = Place(peer.address);
        let source = match self.proven.get(place) {
            Some(source) => source,
            None => self.strangers.get_or_insert_with(place, Source::default),
        };
        source.credit = source.credit.saturating_add(paid);
        self.show();
    }

    fn room(&mut self, now: Instant, peer: Peer) -> Option<usize> {
        self.is_limited(now, peer).then(|| self.credit(peer))
    }

    fn room_to_ask(&mut self, now: Instant, peer: Peer) -> Option<usize> {
        if self.is_blocked(peer.address.ip()) {
            return Some(0);
        }
        if !self.is_limited(now, peer) {
            return None;
        }
        if peer.is_secure() {
            return Some(self.credit(peer));
        }
        let grace = self.settings.grace_bytes;
        let again = now.checked_add(Duration::from_secs(self.settings.proof_s));
        let granted = match self.find(peer.address) {
            None => {
                let source = Source {
                    credit: grace,
                    ..Source::default()
                };
                self.strangers
                    .get_or_insert_with(Place(peer.address), || source);
                self.show();
                true
            }
            Some(source) => {
                let is_due = source.grace_from.is_some_and(|from| from <= now);
                let granted = is_due && source.credit < grace;
                if granted {
                    source.credit = grace;
                    source.grace_from = again;
                }
                granted
            }
        };
        if granted {
            self.counters.graces.inc();
        }
        Some(self.credit(peer))
    }

    /// How much may go to an address with which a handshake is begun, until it has sent something:
    /// `None` when it is proven. What is given is paid for at once, whether or not all of it is sent.
    ///
    /// # Errors
    /// It is blocked, or may not even get the first datagram, which is of `hello` bytes.
    pub(super) fn room_to_call(
        &mut self,
        now: Instant,
        address: SocketAddr,
        hello: usize,
    ) -> Result<Option<usize>, Unreachable> {
        let peer = Peer::udp(address);
        if self.is_blocked(address.ip()) {
            self.counters.unsent_blocked.inc();
            return Err(Unreachable::Blocked);
        }
        let Some(room) = self.room_to_ask(now, peer) else {
            return Ok(None);
        };
        if room < hello {
            self.counters.unsent_unproven.inc();
            return Err(Unreachable::Unproven);
        }
        if self.take(now, peer, room) {
            Ok(Some(room))
        } else {
            Err(Unreachable::Unproven)
        }
    }

    fn take(&mut self, now: Instant, peer: Peer, bytes: usize) -> bool {
        if self.is_blocked(peer.address.ip()) {
            self.counters.unsent_blocked.inc();
            return false;
        }
        if !self.is_limited(now, peer) {
            return true;
        }
        if self.credit(peer) < bytes {
            self.counters.unsent_unproven.inc();
            return false;
        }
        if let Some((rate, bucket)) = &mut self.outgoing
            && !bucket.take(*rate, now, bytes as f64)
        {
            self.counters.unsent_total.inc();
            return false;
        }
        self.spend(peer, bytes);
        true
    }

    fn show(&self) {
        self.counters.proven.set(size(self.proven.len()));
        self.counters.unproven.set(size(self.strangers.len()));
        self.counters.origins.set(size(self.origins.len()));
    }
}

fn size(entries: usize) -> i64 {
    i64::try_from(entries).unwrap_or(i64::MAX)
}

impl Complaint {
    fn make(&mut self, now: Instant, address: SocketAddr, refused: Refused) {
        self.dropped = self.dropped.saturating_add(1);
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        tracing::warn!(
            dropped = self.dropped,
            "Dropped {} datagrams since it was last said, the newest of {address}: {refused}",
            self.dropped
        );
        self.dropped = 0;
        self.next = now.checked_add(COMPLAINT_INTERVAL);
    }
}

/// The books of an arbiter, as its message layer sees them.
#[derive(Clone, Debug)]
pub(super) struct Shared(pub(super) Rc<RefCell<Admission>>);

impl Allowance for Shared {
    fn received(&mut self, now: Instant, peer: Peer, bytes: usize) {
        self.0.borrow_mut().received(now, peer, bytes);
    }

    fn room(&mut self, now: Instant, peer: Peer) -> Option<usize> {
        self.0.borrow_mut().room(now, peer)
    }

    fn room_to_ask(&mut self, now: Instant, peer: Peer) -> Option<usize> {
        self.0.borrow_mut().room_to_ask(now, peer)
    }

    fn take(&mut self, now: Instant, peer: Peer, bytes: usize) -> bool {
        self.0.borrow_mut().take(now, peer, bytes)
    }

    fn proven(&mut self, now: Instant, peer: Peer) {
        self.0.borrow_mut().answered(now, peer);
    }

    fn stay(&self, peer: Peer) -> u64 {
        self.0.borrow().stay(peer)
    }

    fn echo(&self, now: Instant, peer: Peer) -> Vec<u8> {
        let books = self.0.borrow();
        books.echoes.make(now, (peer.address, books.stay(peer)))
    }

    fn is_echo(&self, now: Instant, peer: Peer, value: &[u8]) -> bool {
        let books = self.0.borrow();
        let place = (peer.address, books.stay(peer));
        books.echoes.knows(now, place, value)
    }
}

/// Whose budget an address shares: an IPv4 address its own, an IPv6 address that of its /64.
pub(super) fn origin(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)),
    }
}

/// How often drops are told of.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);
