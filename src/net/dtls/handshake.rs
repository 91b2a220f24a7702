//! A thread that shakes hands: OpenSSL, datagrams in memory, a bounded number of peers at once, each
//! for a bounded time.
//!
//! Every datagram that belongs to no session comes here. A stranger's hello is answered with a
//! cookie, which costs no memory; only who returns it gets a connection object. What is finished goes
//! back to the sockets' arbiter with its connection.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslContext, SslStream};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::aead::Ciphers;
use super::alert::DECRYPT_ERROR;
use super::attempt::{Handshake, is_waiting};
use super::budget::{Budget, Verdict};
use super::context::Contexts;
use super::counters::Counters;
use super::ffi::{self, ListenScratch, Listened};
use super::hello::{Cookies, First, Hello, carried as hello_carried, fatal_alert};
use super::lanes::Lanes;
use super::outcome::{Established, Outcome};
use super::outlet::Outlet;
use super::pipe::Pipe;
use super::proof::{Findings, SharedFindings, Trust, findings_index};
use super::records::Records;
use super::refusal::Refusal;
use super::session::Carrier;
use super::shares::Shares;
use super::sieve::split_early;
use super::takeover::Takeover;
use crate::domain::{EndpointName, Identity, SessionId};
use crate::net::Carried;
use crate::security::PskKey;

/// What a thread is given.
#[derive(Debug)]
pub(super) enum Work {
    /// A datagram of no session.
    Datagram(SocketAddr, Vec<u8>),
    /// A session of ours with a device is wanted.
    Call(Call),
}

/// See [`Work::Call`].
#[derive(Debug)]
pub(super) struct Call {
    pub(super) address: SocketAddr,
    pub(super) session: SessionId,
    pub(super) endpoint: EndpointName,
    pub(super) psk: Option<(Identity, PskKey)>,
    /// Bytes that the address may get before it has sent any; without a limit when it is proven.
    pub(super) allowance: Option<usize>,
}

/// Limits and times of a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct HandshakeLimits {
    pub(super) max_handshakes: usize,
    /// What one peer can make the server keep before its handshake is finished.
    pub(super) kept_bytes: usize,
    pub(super) timeout: Duration,
    pub(super) first_retransmission: Duration,
    pub(super) mtu: u32,
    /// Bytes that an unproven address gets for each of its own, when it is called.
    pub(super) amplification: usize,
}

/// The thread's state.
pub(super) struct Handshakes {
    /// Where datagrams of ours go.
    outlet: Box<dyn Outlet>,
    contexts: Arc<ArcSwap<Contexts>>,
    trust: Arc<ArcSwap<Trust>>,
    limits: HandshakeLimits,
    counters: Counters,
    outcomes: mpsc::Sender<Outcome>,
    cookies: Cookies,
    scratch: ListenScratch,
    ciphers: Ciphers,
    under_way: HashMap<SocketAddr, Handshake>,
    due: BTreeSet<(Instant, SocketAddr)>,
    /// How many of them each source has.
    shares: Shares,
    /// Whose handshake has ended well a moment ago.
    established: HashMap<SocketAddr, Instant>,
    /// The same in order.
    returns: VecDeque<(Instant, SocketAddr)>,
}

impl Handshakes {
    pub(super) fn new(
        outlet: Box<dyn Outlet>,
        contexts: Arc<ArcSwap<Contexts>>,
        trust: Arc<ArcSwap<Trust>>,
        limits: HandshakeLimits,
        counters: Counters,
        outcomes: mpsc::Sender<Outcome>,
        now: Instant,
    ) -> Result<Self, ErrorStack> {
        Ok(Self {
            outlet,
            contexts,
            trust,
            limits,
            counters,
            outcomes,
            cookies: Cookies::new(now)?,
            scratch: ListenScratch::new()?,
            ciphers: Ciphers::default(),
            under_way: HashMap::new(),
            due: BTreeSet::new(),
            shares: Shares::default(),
            established: HashMap::new(),
            returns: VecDeque::new(),
        })
    }

    /// Works until the lanes are closed.
    pub(super) fn run(mut self, lanes: &Lanes<Work>) {
        loop {
            let now = Instant::now();
            let next = self.due.first().map(|(at, _)| *at);
            let wait = next.map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE));
            let Ok(work) = lanes.take(wait) else { return };
            let now = Instant::now();
            match work {
                Some(Work::Datagram(from, datagram)) => self.datagram(now, from, datagram),
                Some(Work::Call(call)) => self.call(now, call),
                None => {}
            }
            self.timeouts(now);
        }
    }

    pub(super) fn datagram(&mut self, now: Instant, from: SocketAddr, datagram: Vec<u8>) {
        match First::of(&datagram) {
            First::Hello(hello) => {
                let random = hello.random;
                let before = self.under_way.get(&from);
                if before
                    .is_some_and(|before| before.call.is_none() && before.client_random == random)
                {
                    return self.go_on(now, from, Some(datagram));
                }
                if self.cookies.are_of(from, hello.cookie) {
                    self.begin(now, from, random, datagram);
                } else {
                    self.ask_for_cookie(now, from, &hello);
                }
            }
            First::Named | First::Plain | First::Protected => {
                if self.under_way.contains_key(&from) {
                    self.go_on(now, from, Some(datagram));
                } else if self.established.contains_key(&from) {
                    self.tell(Outcome::Returned(from, datagram));
                } else {
                    self.counters.strays.inc();
                }
            }
            First::Foreign => self.refuse(from, false, Refusal::Foreign),
        }
    }

    fn ask_for_cookie(&mut self, now: Instant, from: SocketAddr, hello: &Hello<'_>) {
        if let Ok(cookie) = self.cookies.make(now, from) {
            self.counters.verify_requests.inc();
            self.send(from, &hello.verify_request(&cookie));
        }
    }

    /// A peer has shown its address: from here on it costs memory.
    fn begin(&mut self, now: Instant, from: SocketAddr, random: [u8; 32], datagram: Vec<u8>) {
        // The arbiter knows of one that is replaced, and is to hear of its end.
        let replaces = self.under_way.contains_key(&from);
        if !self.make_room(now, from) {
            return self.refuse(from, replaces, Refusal::TooManyHandshakes);
        }
        let (mut stream, findings) = match self.connection(&self.contexts.load().server, false) {
            Ok(made) => made,
            Err(error) => return self.refuse(from, replaces, Refusal::Protocol(error.to_string())),
        };
        let sequence = Records::of(&datagram)
            .next()
            .map_or(0, |first| first.sequence());
        let carried = hello_carried(&datagram);
        stream.get_mut().push(datagram);
        match ffi::listen(&mut stream, &mut self.scratch) {
            Listened::Accepted => {}
            Listened::Nothing | Listened::Broken => {
                // Not what it looked like; OpenSSL knows better.
                let why = "a broken ClientHello".to_owned();
                return self.refuse(from, replaces, Refusal::Protocol(why));
            }
        }
        self.counters.begun.inc();
        self.tell(Outcome::Begun(from));
        let deadline = now + self.limits.timeout;
        let handshake = Handshake {
            stream,
            findings,
            budget: Budget::new(self.limits.kept_bytes),
            client_random: random,
            begun: now,
            deadline,
            due: deadline,
            heard: now,
            has_protected: false,
            plain: sequence.saturating_add(1),
            alert: None,
            is_doubted: false,
            call: None,
            takeover: Takeover::default(),
            carried,
        };
        self.insert(now, from, handshake);
        self.go_on(now, from, None);
    }

    /// Begins a session of ours.
    pub(super) fn call(&mut self, now: Instant, call: Call) {
        let (address, session) = (call.address, call.session);
        // Its own handshake goes on, when the device is calling us already: it is quicker than we are.
        let is_calling = self.under_way.contains_key(&address);
        let refuse = |refusal| Outcome::Refused {
            address,
            ended: !is_calling,
            call: Some(session),
            claimed: vec![call.endpoint.clone()],
            refusal,
        };
        if is_calling || !self.make_room(now, address) {
            self.tell(refuse(Refusal::TooManyHandshakes));
            return;
        }
        let contexts = self.contexts.load();
        let Some(caller) = contexts.caller(call.psk.is_some()) else {
            // It was there when the call was asked for.
            let why = "the cipher suites have changed".to_owned();
            self.tell(refuse(Refusal::Protocol(why)));
            return;
        };
        let made = self
            .connection(&caller.context, true)
            .map(|(stream, findings)| {
                let mut found = Findings::of(&findings);
                found.called = Some(call.endpoint.clone());
                found.claimed = vec![call.endpoint.clone()];
                found.keyed = call.psk.as_ref().map(|(identity, _)| identity.clone());
                found.own_psk = call
                    .psk
                    .as_ref()
                    .map(|(identity, key)| (identity.label.clone(), key.clone()));
                drop(found);
                (stream, findings)
            });
        match made {
            Ok((stream, findings)) => {
                let deadline = now + self.limits.timeout;
                let handshake = Handshake {
                    stream,
                    findings,
                    budget: Budget::new(self.limits.kept_bytes),
                    client_random: [0; 32],
                    begun: now,
                    deadline,
                    due: deadline,
                    heard: now,
                    has_protected: false,
                    plain: 0,
                    alert: None,
                    is_doubted: false,
                    call: Some(call),
                    takeover: Takeover::default(),
                    carried: Carried::default(),
                };
                self.counters.begun.inc();
                self.insert(now, address, handshake);
                self.go_on(now, address, None);
            }
            Err(error) => self.tell(refuse(Refusal::Protocol(error.to_string()))),
        }
    }

    /// Lets OpenSSL do what it can with a handshake and what has come for it.
    fn go_on(&mut self, now: Instant, address: SocketAddr, datagram: Option<Vec<u8>>) {
        let Some(mut handshake) = self.remove(address) else {
            return;
        };
        let state = handshake.stream.ssl().state_string();
        let heard = datagram.as_ref().map_or(0, Vec::len);
        handshake.paid(heard, self.limits.amplification);
        let result = match datagram {
            None => handshake.stream.do_handshake(),
            Some(datagram) => {
                let records = handshake.records(&datagram);
                let verdict = handshake.budget.judge(records);
                if verdict != Verdict::Fits {
                    self.counters.dropped(verdict);
                    self.insert(now, address, handshake);
                    return;
                }
                let (in_time, early) = split_early(records, handshake.epoch());
                handshake.push(&mut self.ciphers, in_time);
                if handshake.alert.is_some() {
                    // It may be forged, so the handshake may still go on.
                    handshake.deadline = handshake.deadline.min(now + VERDICT);
                }
                let result = handshake.stream.do_handshake();
                // What was in time may have brought the keys for the rest.
                let goes_on = result.as_ref().err().is_none_or(is_waiting);
                let has_more = goes_on && handshake.push_kept(&mut self.ciphers);
                if goes_on && !early.is_empty() && handshake.push(&mut self.ciphers, early) > 0 {
                    self.counters.dropped(Verdict::TooMuch);
                }
                if has_more || goes_on && !early.is_empty() {
                    handshake.stream.do_handshake()
                } else {
                    result
                }
            }
        };
        let sent = self.flush(address, &mut handshake);
        match result {
            Ok(()) => self.finish(now, address, handshake, &sent),
            Err(error) if is_waiting(&error) => {
                if handshake.stream.ssl().state_string() != state {
                    handshake.heard = now;
                }
                let is_unread = handshake.has_protected && handshake.epoch() > 0;
                if is_unread && !handshake.is_doubted && handshake.call.is_none() {
                    // Its Finished could not be read: the keys differ. A forged one must not end
                    // the handshake, so the right one may still come. Before there were keys it was
                    // only early, and what it has overtaken may be lost (RFC 6347 section 4.2.4).
                    handshake.is_doubted = true;
                    handshake.deadline = handshake.deadline.min(now + VERDICT);
                }
                self.insert(now, address, handshake);
            }
            Err(error) => self.fail(address, handshake, &error),
        }
    }

    /// A handshake has ended well, or so OpenSSL says; `sent` is what it wrote in the end.
    fn finish(
        &mut self,
        now: Instant,
        address: SocketAddr,
        mut handshake: Handshake,
        sent: &[Vec<u8>],
    ) {
        // The session keeps what was found, and needs no key any more.
        Findings::of(&handshake.findings).own_psk = None;
        let trust = self.trust.load();
        let identified = trust.identify(handshake.stream.ssl());
        let call = handshake.call.as_ref().map(|call| call.session);
        let proven = match (identified, &handshake.call) {
            (Ok(identity), Some(call)) if !identity.speaks_for(&call.endpoint) => {
                let other = Refusal::OtherDevice(identity.endpoint);
                Err((other, vec![call.endpoint.clone()]))
            }
            (identified, _) => identified,
        };
        match proven {
            Ok(identity) => {
                self.counters
                    .finished(handshake.stream.ssl().session_reused(), identity.kind);
                self.counters
                    .handshake_seconds
                    .observe(now.saturating_duration_since(handshake.begun).as_secs_f64());
                self.established.insert(address, now + RETURNS);
                self.returns.push_back((now + RETURNS, address));
                let client_random = handshake.client_random;
                let carried = handshake.carried;
                let (carrier, contents) = match handshake.take_over(&mut self.ciphers, sent) {
                    Some(taken) => (Carrier::own(taken.layer, taken.flight), taken.contents),
                    None => (Carrier::open_ssl(handshake.stream), Vec::new()),
                };
                self.tell(Outcome::Established(Box::new(Established {
                    address,
                    identity,
                    carrier,
                    contents,
                    client_random,
                    call,
                    carried,
                })));
            }
            Err((refusal, claimed)) => {
                let _ = handshake.stream.shutdown();
                let _ = self.flush(address, &mut handshake);
                self.tell(Outcome::Refused {
                    address,
                    ended: true,
                    call,
                    claimed,
                    refusal,
                });
            }
        }
    }

    fn fail(&mut self, address: SocketAddr, handshake: Handshake, error: &openssl::ssl::Error) {
        let found = std::mem::take(&mut *Findings::of(&handshake.findings));
        let refusal = match found.refusal {
            Some(refusal @ (Refusal::Certificate { .. } | Refusal::UnknownKey(_))) => refusal,
            _ => Refusal::Protocol(words(error)),
        };
        self.tell(Outcome::Refused {
            address,
            ended: true,
            call: handshake.call.map(|call| call.session),
            claimed: found.claimed,
            refusal,
        });
    }

    /// Sends flights again, and gives up what takes too long.
    pub(super) fn timeouts(&mut self, now: Instant) {
        while let Some(&(at, address)) = self.due.first() {
            if at > now {
                break;
            }
            let Some(mut handshake) = self.remove(address) else {
                self.due.pop_first();
                continue;
            };
            if handshake.deadline <= now {
                self.give_up(address, handshake);
                continue;
            }
            let again = ffi::handle_timeout(&mut handshake.stream);
            let _ = self.flush(address, &mut handshake);
            match again {
                Ok(sent) => {
                    self.counters.retransmissions.inc_by(u64::from(sent));
                    self.insert(now, address, handshake);
                }
                Err(_) => self.give_up(address, handshake),
            }
        }
        while let Some(&(until, address)) = self.returns.front() {
            if until > now && self.returns.len() <= MOST_RETURNS {
                break;
            }
            self.returns.pop_front();
            // Unless another handshake from there has ended well since.
            if self.established.get(&address) == Some(&until) {
                self.established.remove(&address);
            }
        }
    }

    fn give_up(&mut self, address: SocketAddr, mut handshake: Handshake) {
        if let Some(alert) = handshake.alert.take() {
            // Nothing better has come: OpenSSL says what it means.
            handshake.stream.get_mut().push(alert);
            if let Err(error) = handshake.stream.do_handshake()
                && !is_waiting(&error)
            {
                return self.fail(address, handshake, &error);
            }
        }
        let found = std::mem::take(&mut *Findings::of(&handshake.findings));
        let refusal = match found.refusal {
            Some(refusal @ (Refusal::WrongKey(_) | Refusal::UnknownIdentity(_)))
                if handshake.is_doubted =>
            {
                // The same for both, so that nobody learns which identities there are.
                self.send(address, &fatal_alert(DECRYPT_ERROR));
                refusal
            }
            _ if handshake.budget.is_over() => Refusal::KeptTooMuch,
            _ => Refusal::TimedOut,
        };
        self.tell(Outcome::Refused {
            address,
            ended: true,
            call: handshake.call.as_ref().map(|call| call.session),
            claimed: found.claimed,
            refusal,
        });
    }

    /// True when one more handshake may begin: also when one that has not gone on for a while made
    /// room. Sources (an IPv4 address, or an IPv6 /64) share what there is: who has more of it makes
    /// room for who has less, so that one of them cannot keep the others out.
    fn make_room(&mut self, now: Instant, address: SocketAddr) -> bool {
        if let Some(before) = self.remove(address) {
            self.counters.replaced.inc();
            if let Some(call) = before.call {
                // The device has called us itself, and is on its way.
                self.tell(Outcome::Refused {
                    address,
                    ended: false,
                    call: Some(call.session),
                    claimed: vec![call.endpoint],
                    refusal: Refusal::Overtaken,
                });
            }
        }
        let limit = self.limits.max_handshakes;
        if self.under_way.len() < limit {
            return true;
        }
        let (own, most) = (self.shares.of(address.ip()), self.shares.most());
        // Whoever has more than half is not waited for.
        let is_hog = most > own.saturating_add(1) && most > limit / 2;
        let least = if is_hog { most } else { own.max(1) };
        let stalest = self
            .under_way
            .iter()
            .filter(|(address, _)| self.shares.of(address.ip()) >= least)
            .map(|(address, handshake)| (handshake.heard, *address))
            .min()
            .filter(|(heard, _)| is_hog || now.saturating_duration_since(*heard) >= STALE);
        match stalest {
            Some((_, address)) => {
                if let Some(handshake) = self.remove(address) {
                    self.give_up(address, handshake);
                }
                true
            }
            None => false,
        }
    }

    fn insert(&mut self, now: Instant, address: SocketAddr, mut handshake: Handshake) {
        let wait = ffi::timeout(handshake.stream.ssl());
        let again = wait.and_then(|wait| now.checked_add(wait.max(TICK)));
        handshake.due = again.map_or(handshake.deadline, |again| again.min(handshake.deadline));
        self.due.insert((handshake.due, address));
        self.under_way.insert(address, handshake);
        self.shares.add(address.ip());
        self.count();
    }

    fn remove(&mut self, address: SocketAddr) -> Option<Handshake> {
        let handshake = self.under_way.remove(&address)?;
        self.due.remove(&(handshake.due, address));
        self.shares.remove(address.ip());
        self.count();
        Some(handshake)
    }

    /// Fails when something is larger than its limit or the tables disagree, for the fuzzer. How many
    /// are under way.
    pub(super) fn assert_limits(&self) -> usize {
        let under_way = self.under_way.len();
        assert!(under_way <= self.limits.max_handshakes, "handshakes");
        assert_eq!(self.due.len(), under_way, "each is due once");
        for (address, handshake) in &self.under_way {
            assert!(self.due.contains(&(handshake.due, *address)), "it is due");
            assert!(handshake.due <= handshake.deadline, "before its deadline");
        }
        assert!(self.established.is_empty(), "nobody has a key");
        under_way
    }

    fn count(&self) {
        self.counters.show_under_way(self.under_way.len());
    }

    fn connection(
        &self,
        context: &SslContext,
        is_call: bool,
    ) -> Result<(SslStream<Pipe>, SharedFindings), ErrorStack> {
        let mut ssl = Ssl::new(context)?;
        ssl.set_mtu(self.limits.mtu)?;
        if is_call {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        let findings = SharedFindings::default();
        if let Some(index) = findings_index() {
            ssl.set_ex_data(index, Arc::clone(&findings));
        }
        let stream = SslStream::new(ssl, Pipe::default())?;
        ffi::set_first_timeout(&stream, self.limits.first_retransmission);
        Ok((stream, findings))
    }

    /// Sends what OpenSSL has written; it is returned as it was.
    fn flush(&mut self, address: SocketAddr, handshake: &mut Handshake) -> Vec<Vec<u8>> {
        let mut written = Vec::new();
        while let Some(datagram) = handshake.stream.get_mut().pop() {
            let outgoing = handshake.outgoing(&mut self.ciphers, datagram.clone());
            if handshake.may_send(outgoing.len()) {
                self.send(address, &outgoing);
            } else {
                self.counters.unsent.inc();
            }
            written.push(datagram);
        }
        written
    }

    fn send(&self, address: SocketAddr, datagram: &[u8]) {
        self.outlet.send(address, datagram);
    }

    fn refuse(&self, address: SocketAddr, ended: bool, refusal: Refusal) {
        let refused = Outcome::Refused {
            address,
            ended,
            call: None,
            claimed: Vec::new(),
            refusal,
        };
        if ended {
            return self.tell(refused);
        }
        // Of what strangers do, not everything has to be told.
        let _ = self.outcomes.try_send(refused);
    }

    fn tell(&self, outcome: Outcome) {
        // Fails only when the server ends.
        if let Err(TrySendError::Full(outcome)) = self.outcomes.try_send(outcome) {
            let _ = self.outcomes.blocking_send(outcome);
        }
    }
}

/// OpenSSL's reason, without its places in the source.
fn words(error: &openssl::ssl::Error) -> String {
    let reasons: Vec<&str> = error
        .ssl_error()
        .map(|stack| {
            stack
                .errors()
                .iter()
                .filter_map(|error| error.reason())
                .collect()
        })
        .unwrap_or_default();
    if reasons.is_empty() {
        error.to_string()
    } else {
        reasons.join(", ")
    }
}

/// How long the thread sleeps when nothing happens.
const IDLE: Duration = Duration::from_secs(1);
/// Below this OpenSSL says that its time has come when it has not quite.
const TICK: Duration = Duration::from_millis(15);
/// How long the right Finished may come after a wrong one.
const VERDICT: Duration = Duration::from_secs(2);
/// How long datagrams that were on their way to a finished handshake are handed back.
const RETURNS: Duration = Duration::from_secs(5);
const MOST_RETURNS: usize = 4096;
/// A handshake whose peer was silent for so long makes room for others.
const STALE: Duration = Duration::from_secs(5);
