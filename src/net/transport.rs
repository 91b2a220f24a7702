//! One message layer over the sockets of an arbiter.
//!
//! [`CoapTransport`] is shared by everything on its arbiter: the task that reads ([`CoapTransport::run`])
//! and the actors that answer and ask. What calls into the message layer produce is gathered, and the task
//! sends it once the actors that are about to run have run: what a transaction of many commits led to goes
//! to the kernel at once. Nothing is locked, because nothing leaves the arbiter (docs/adr/0001).

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::sync::{Notify, mpsc, watch};

use crate::coap::{
    Counters, Endpoint, EndpointConfig, Event, Excerpt, ExchangeId, Heard, MessageIds,
    NotificationKey, OutgoingRequest, Peer, RequestError, RequestKey, Response, Token, Transmit,
    Window,
};
use crate::config::{Coap, Settings};
use crate::domain::{EndpointName, Identity, Reach, SessionMark, Unreachable};

use super::admission::{Admission, Shared};
use super::dtls::{self, Happening, Outcome, Secure};
use super::tap::Tap;
use super::udp::{BindError, PlainSocket};
use crate::security::ServerCertificates;

/// A bound socket with its message layer. Cheap to clone.
#[derive(Clone)]
pub struct CoapTransport {
    inner: Rc<Inner>,
}

struct Inner {
    plain: Option<PlainSocket>,
    secure: Option<Secure>,
    /// What the DTLS threads tell, and what tells of removed credentials; taken by the task.
    from_dtls: RefCell<Option<FromDtls>>,
    endpoint: RefCell<Endpoint>,
    /// Datagrams that wait for the kernel.
    max_unsent: usize,
    /// The task sends what is gathered.
    is_running: Cell<bool>,
    /// Who is listened to; without it, everybody.
    admission: OnceCell<Shared>,
    /// Who looks on, if anybody does.
    tap: OnceCell<Rc<dyn Tap>>,
    /// The task should look at timers and unsent datagrams again.
    wake: Notify,
    stop: Notify,
}

impl CoapTransport {
    /// Binds the sockets that the settings ask for; must be called on the arbiter that will use
    /// them. `seed` makes timers unpredictable. Without `dtls` nothing is served on `coaps.listen`.
    ///
    /// # Errors
    /// An address is in use or not ours; DTLS cannot be set up.
    pub fn serve(
        settings: &Settings,
        counters: Counters,
        seed: u64,
        dtls: Option<dtls::Parts>,
    ) -> Result<Self, ServeError> {
        let coap = &settings.coap;
        let plain = coap
            .enabled
            .then(|| PlainSocket::bind(coap.listen, coap.socket_buffer_bytes))
            .transpose()?;
        let mut secure = None;
        let mut from_dtls = None;
        if let Some(parts) = dtls {
            let removals = parts.keyring.removals();
            let (started, outcomes) = Secure::start(&settings.coaps, parts)?;
            secure = Some(started);
            from_dtls = Some(FromDtls { outcomes, removals });
        }
        Ok(Self::new(coap, counters, seed, plain, secure, from_dtls))
    }

    /// A socket for plain CoAP at another address than that of the settings, and no DTLS.
    ///
    /// # Errors
    /// The address is in use or not ours.
    pub fn bind_to(
        address: SocketAddr,
        settings: &Coap,
        counters: Counters,
        seed: u64,
    ) -> Result<Self, BindError> {
        let plain = PlainSocket::bind(address, settings.socket_buffer_bytes)?;
        Ok(Self::new(settings, counters, seed, Some(plain), None, None))
    }

    fn new(
        settings: &Coap,
        counters: Counters,
        seed: u64,
        plain: Option<PlainSocket>,
        secure: Option<Secure>,
        from_dtls: Option<FromDtls>,
    ) -> Self {
        Self {
            inner: Rc::new(Inner {
                plain,
                secure,
                from_dtls: RefCell::new(from_dtls),
                endpoint: RefCell::new(Endpoint::new(
                    EndpointConfig::from(settings),
                    counters,
                    seed,
                )),
                max_unsent: settings.max_pending_requests,
                is_running: Cell::new(false),
                admission: OnceCell::new(),
                tap: OnceCell::new(),
                wake: Notify::new(),
                stop: Notify::new(),
            }),
        }
    }

    /// From now on, only what these books allow is read and sent. To be called once, before
    /// [`CoapTransport::run`].
    pub fn guard(&self, mut admission: Admission) {
        for (peer, overhead) in self.inner.secure.iter().flat_map(Secure::unproven) {
            admission.moved(peer, 0, overhead);
        }
        let books = Shared(Rc::new(RefCell::new(admission)));
        let mut endpoint = self.inner.endpoint.borrow_mut();
        endpoint.limit(Box::new(self.inner.admission.get_or_init(|| books).clone()));
    }

    /// From now on, somebody looks on. To be called once, before [`CoapTransport::run`].
    pub fn tap(&self, tap: Rc<dyn Tap>) {
        let _ = self.inner.tap.set(tap);
    }

    /// Where plain CoAP is served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.inner.plain.as_ref().map(PlainSocket::address)
    }

    /// Where CoAP over DTLS is served.
    pub fn secure_address(&self) -> Option<SocketAddr> {
        self.inner.secure.as_ref().map(Secure::address)
    }

    /// Ends [`CoapTransport::run`].
    pub fn stop(&self) {
        self.inner.stop.notify_one();
    }

    /// Reads datagrams and keeps the timers until [`CoapTransport::stop`] is called or nobody takes
    /// the events any more. While the events are not taken, nothing is read: the kernel's buffer
    /// fills and then datagrams are lost, as on any busy network.
    pub async fn run(self, events: mpsc::Sender<Vec<Event>>) {
        self.inner.is_running.set(true);
        self.work(events).await;
        self.inner.is_running.set(false);
        self.flush();
    }

    async fn work(&self, events: mpsc::Sender<Vec<Event>>) {
        let mut from_dtls = self.inner.from_dtls.take();
        let mut idle = tokio::time::interval(IDLE_INTERVAL);
        loop {
            let batch = self.take_events();
            if !batch.is_empty() && events.send(batch).await.is_err() {
                return;
            }
            self.flush();
            let timeout = self.inner.endpoint.borrow().next_timeout();
            let secure = self.inner.secure.as_ref();
            let failed = tokio::select! {
                () = self.inner.stop.notified() => return,
                () = self.inner.wake.notified() => {
                    // This task comes before those that other threads wake, as the writer does with each actor
                    // whose commit is through: they are to add their answers before any is sent.
                    tokio::task::yield_now().await;
                    Ok(())
                }
                () = sleep_until(timeout) => {
                    self.inner.endpoint.borrow_mut().handle_timeout(Instant::now());
                    Ok(())
                }
                ready = ready(self.inner.plain.as_ref()) => ready.map(|()| self.read_plain()),
                ready = ready(secure.map(Secure::socket)) => ready.map(|()| self.read_secure(from_dtls.as_mut())),
                told = told_by_dtls(&mut from_dtls) => {
                    self.with_secure(|secure, now, take| match told {
                        Some(outcome) => secure.outcome(now, outcome, take),
                        None => secure.end_without_credential(take),
                    });
                    Ok(())
                }
                _ = idle.tick() => {
                    self.with_secure(|secure, now, take| secure.end_idle(now, take));
                    Ok(())
                }
            };
            if let Err(error) = failed {
                tracing::error!("A CoAP socket failed: {error}");
                return;
            }
        }
    }

    fn read_plain(&self) {
        let Some(plain) = &self.inner.plain else {
            return;
        };
        let now = Instant::now();
        let mut endpoint = self.inner.endpoint.borrow_mut();
        let read = plain.receive(|address, datagram| {
            if self.admits(now, address, datagram.len()) {
                let peer = Peer::udp(address);
                let heard = endpoint.handle_datagram(now, peer, datagram);
                self.received(peer, datagram, datagram.len(), heard);
            }
        });
        note(plain, read);
        handle_what_is_due(&mut endpoint, now);
    }

    fn read_secure(&self, mut from_dtls: Option<&mut FromDtls>) {
        let mut told = || from_dtls.as_mut()?.outcomes.try_recv().ok();
        let mut admit = |address, bytes, is_known| {
            let books = self.inner.admission.get();
            books.is_none_or(|books| {
                let mut books = books.0.borrow_mut();
                books
                    .admit(Instant::now(), address, bytes, is_known)
                    .is_ok()
            })
        };
        self.with_secure(|secure, now, take| {
            let read = secure.read(now, &mut admit, &mut told, take);
            note(secure.socket(), read);
        });
        handle_what_is_due(&mut self.inner.endpoint.borrow_mut(), Instant::now());
    }

    /// A call into DTLS; what it brings goes to the message layer.
    fn with_secure(&self, call: impl FnOnce(&Secure, Instant, &mut dyn FnMut(Happening<'_>))) {
        let Some(secure) = &self.inner.secure else {
            return;
        };
        let now = Instant::now();
        call(secure, now, &mut |happening| {
            let mut endpoint = self.inner.endpoint.borrow_mut();
            match happening {
                Happening::Message(peer, message, wire) => {
                    let heard = endpoint.handle_datagram(now, peer, message);
                    drop(endpoint);
                    self.received(peer, message, wire, heard);
                    // Before its session moves on: what may go where it is now might not go there.
                    self.gather();
                }
                Happening::Over(peer) => {
                    endpoint.disconnect(now, peer);
                    if let Some(tap) = self.inner.tap.get() {
                        tap.over(peer);
                    }
                    self.with_books(|books| books.over(peer));
                }
                Happening::Heard(peer, bytes) => {
                    self.with_books(|books| books.heard(now, peer, bytes));
                }
                Happening::Moved {
                    peer,
                    bytes,
                    overhead,
                } => self.with_books(|books| books.moved(peer, bytes, overhead)),
                Happening::Carried {
                    peer,
                    endpoint,
                    carried,
                } => {
                    if let Some(tap) = self.inner.tap.get() {
                        tap.carried(peer, endpoint, carried);
                    }
                }
                Happening::Sent {
                    peer,
                    message,
                    wire,
                    again,
                } => self.sent(peer, message, wire, again),
                Happening::Proven(address) => self.with_books(|books| books.proven(now, address)),
            }
        });
    }

    fn received(&self, peer: Peer, message: &[u8], wire: usize, heard: Heard) {
        if let Some(tap) = self.inner.tap.get() {
            tap.received(peer, message, wire, heard == Heard::Copy);
        }
    }

    fn sent(&self, peer: Peer, message: &[u8], wire: usize, again: bool) {
        if let Some(tap) = self.inner.tap.get() {
            tap.sent(peer, message, wire, again);
        }
    }

    fn with_books(&self, look: impl FnOnce(&mut Admission)) {
        if let Some(books) = self.inner.admission.get() {
            look(&mut books.0.borrow_mut());
        }
    }

    fn admits(&self, now: Instant, address: SocketAddr, bytes: usize) -> bool {
        let books = self.inner.admission.get();
        books.is_none_or(|books| {
            books
                .0
                .borrow_mut()
                .admit_plain(now, address, bytes)
                .is_ok()
        })
    }

    fn take_events(&self) -> Vec<Event> {
        self.inner.endpoint.borrow_mut().take_events()
    }

    /// Hands to the sockets what the message layer wants to be sent.
    fn gather(&self) {
        while let Some(transmit) = self.next_transmit() {
            if transmit.peer.is_secure() {
                self.send_secure(&transmit);
            } else if let Some(plain) = &self.inner.plain {
                let Transmit {
                    peer,
                    datagram,
                    again,
                } = &transmit;
                self.sent(*peer, datagram, datagram.len(), *again);
                plain.put(
                    transmit.peer.address,
                    transmit.datagram,
                    self.inner.max_unsent,
                );
            }
        }
    }

    fn next_transmit(&self) -> Option<Transmit> {
        self.inner.endpoint.borrow_mut().poll_transmit()
    }

    /// Sends what waits. What the kernel does not take is kept, up to a limit; beyond it datagrams
    /// are lost, which CoAP is made for.
    ///
    /// Returns false when the kernel took no more.
    fn flush(&self) -> bool {
        self.gather();
        let plain = self.inner.plain.as_ref().is_none_or(PlainSocket::flush);
        let secure = self.inner.secure.as_ref().map(Secure::socket);
        secure.is_none_or(PlainSocket::flush) && plain
    }

    fn send_secure(&self, transmit: &Transmit) {
        let Transmit {
            peer,
            datagram,
            again,
        } = transmit;
        if let Some(secure) = &self.inner.secure
            && let Some(wire) = secure.send(*peer, datagram, *again)
        {
            self.sent(*peer, datagram, wire, *again);
        }
    }

    /// One call into the message layer; the task sends what that wants to be sent, and looks at its timers.
    fn call<T>(&self, call: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let result = call(&mut self.inner.endpoint.borrow_mut(), Instant::now());
        if self.inner.is_running.get() {
            self.gather();
            self.inner.wake.notify_one();
        } else {
            self.flush();
        }
        result
    }
}

/// Who peers are, and whether they can be reached.
impl CoapTransport {
    /// Who a peer has proven to be.
    pub fn identity(&self, peer: Peer) -> Option<Arc<Identity>> {
        self.inner.secure.as_ref()?.identity(peer)
    }

    /// Where the session of a peer stands, for the commit of what came in it; nothing when it is not kept.
    pub fn session_mark(&self, peer: Peer) -> Option<SessionMark> {
        let secure = self.inner.secure.as_ref()?;
        let books = self.inner.admission.get();
        let is_proven = books.is_none_or(|books| books.0.borrow().is_where_it_was_seen(peer));
        secure.mark(peer, is_proven)
    }

    /// Whether a datagram can go out to a peer now.
    pub fn reach(&self, peer: Peer) -> Reach {
        match (&self.inner.secure, &self.inner.plain) {
            (Some(secure), _) if peer.is_secure() => secure.reach(peer),
            (_, Some(_)) if !peer.is_secure() => Reach::Open,
            _ => Reach::Closed,
        }
    }

    /// Begins a session of ours with a device.
    ///
    /// # Errors
    /// It cannot be begun.
    pub fn connect(&self, peer: Peer, endpoint: &EndpointName) -> Result<(), Unreachable> {
        let Some(secure) = &self.inner.secure else {
            return Err(Unreachable::SwitchedOff);
        };
        secure.connect(peer, endpoint, |address, hello| {
            let Some(books) = self.inner.admission.get() else {
                return Ok(None);
            };
            let mut books = books.0.borrow_mut();
            books.room_to_call(Instant::now(), address, hello)
        })
    }

    /// Other certificates are in force.
    ///
    /// # Errors
    /// OpenSSL does not take them; those before stay.
    pub fn use_certificates(
        &self,
        certificates: Arc<ServerCertificates>,
    ) -> Result<(), dtls::ContextError> {
        let mut outcome = Ok(());
        self.with_secure(|secure, _, take| {
            outcome = secure.use_certificates(certificates, take);
        });
        outcome
    }

    /// A peer, where its session is now.
    fn located(&self, peer: Peer) -> Peer {
        let secure = self.inner.secure.as_ref();
        secure
            .and_then(|secure| secure.located(peer))
            .unwrap_or(peer)
    }

    /// The session with a peer is over: what waits for it fails at once, what was remembered of it
    /// is forgotten.
    pub fn disconnect(&self, peer: Peer) {
        self.call(|endpoint, now| endpoint.disconnect(now, peer));
    }

    /// A peer has shown something random that only the owner of its address was sent. Of a session that has
    /// moved it proves nothing: it was sent where that was before.
    pub fn proven(&self, peer: Peer) {
        if !peer.is_secure() {
            self.with_books(|books| books.proven(Instant::now(), peer.address));
        }
    }

    /// A peer did so this long ago, before this process began.
    pub fn was_proven(&self, peer: Peer, ago: Duration) {
        if !peer.is_secure() {
            self.with_books(|books| books.was_proven(Instant::now(), peer.address, ago));
        }
    }
}

/// The calls of [`Endpoint`], with the clock taken care of.
#[expect(missing_docs, reason = "each call is that of coap::Endpoint")]
impl CoapTransport {
    pub fn request(
        &self,
        peer: Peer,
        request: OutgoingRequest,
    ) -> Result<ExchangeId, RequestError> {
        let peer = self.located(peer);
        self.call(|endpoint, now| endpoint.request(now, peer, request))
    }

    pub fn take_blocks_singly(&self, path: &str) {
        self.call(|endpoint, _| endpoint.take_blocks_singly(path));
    }

    pub fn await_response(
        &self,
        peer: Peer,
        token: Token,
        timeout: Duration,
    ) -> Result<ExchangeId, RequestError> {
        self.call(|endpoint, now| endpoint.await_response(now, peer, token, timeout))
    }

    pub fn cancel(&self, exchange: ExchangeId) {
        self.call(|endpoint, _| endpoint.cancel(exchange));
    }

    pub fn set_window(&self, exchange: ExchangeId, window: Option<Window>) {
        self.call(|endpoint, _| endpoint.set_window(exchange, window));
    }

    pub fn extend_message_ids(&self, exchange: ExchangeId, ids: MessageIds) {
        self.call(|endpoint, now| endpoint.extend_message_ids(now, exchange, ids));
    }

    pub fn encode_response(&self, key: &RequestKey, response: &Response) -> Vec<u8> {
        self.inner.endpoint.borrow().encode_response(key, response)
    }

    pub fn respond(&self, key: &RequestKey, response: Response) {
        self.call(|endpoint, now| endpoint.respond(now, key, response));
    }

    pub fn respond_excerpt(
        &self,
        key: &RequestKey,
        excerpt: Excerpt,
        response: &Response,
    ) -> usize {
        self.call(|endpoint, now| endpoint.respond_excerpt(now, key, excerpt, response))
    }

    pub fn drop_request(&self, key: &RequestKey) {
        self.call(|endpoint, _| endpoint.drop_request(key));
    }

    pub fn acknowledge(&self, key: &NotificationKey) {
        self.call(|endpoint, now| endpoint.acknowledge(now, key));
    }

    pub fn reject(&self, key: &NotificationKey) {
        self.call(|endpoint, now| endpoint.reject(now, key));
    }

    pub fn ignore(&self, key: &NotificationKey) {
        self.call(|endpoint, _| endpoint.ignore(key));
    }

    pub fn notify(
        &self,
        peer: Peer,
        token: Token,
        response: Response,
        confirmable: bool,
    ) -> Result<u16, RequestError> {
        self.call(|endpoint, now| endpoint.notify(now, peer, token, response, confirmable))
    }

    pub fn restore_answer(
        &self,
        peer: Peer,
        message_id: u16,
        hash: i64,
        datagram: Vec<u8>,
        lives: Duration,
    ) {
        self.call(|endpoint, now| {
            endpoint.restore_answer(now, peer, message_id, hash, datagram, lives)
        });
    }
}

/// What comes from the DTLS threads and the keyring.
struct FromDtls {
    outcomes: mpsc::Receiver<Outcome>,
    removals: watch::Receiver<u64>,
}

/// Why the sockets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Plain CoAP.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// CoAP over DTLS.
    #[error("CoAP over DTLS: {0}")]
    Dtls(#[from] dtls::DtlsError),
}

fn handle_what_is_due(endpoint: &mut Endpoint, now: Instant) {
    let timeout = endpoint.next_timeout();
    if timeout.is_some_and(|timeout| timeout <= now) {
        endpoint.handle_timeout(now);
    }
}

/// What reading has come to, besides the datagrams. An ICMP error is for an earlier datagram of ours: the
/// timers see to that.
fn note(socket: &PlainSocket, read: io::Result<usize>) {
    match read {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
            tracing::trace!("Receiving on {}: {error}", socket.address());
        }
        _ => {}
    }
}

async fn ready(socket: Option<&PlainSocket>) -> io::Result<()> {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    let interest = if socket.is_blocked() {
        Interest::READABLE | Interest::WRITABLE
    } else {
        Interest::READABLE
    };
    socket.ready(interest).await.map(drop)
}

/// The next outcome of a handshake; nothing when a credential was removed.
async fn told_by_dtls(from: &mut Option<FromDtls>) -> Option<Outcome> {
    let Some(from) = from else {
        return std::future::pending().await;
    };
    tokio::select! {
        outcome = from.outcomes.recv() => match outcome {
            Some(outcome) => Some(outcome),
            None => std::future::pending().await,
        },
        changed = from.removals.changed() => match changed {
            Ok(()) => None,
            Err(_) => std::future::pending().await,
        },
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How often idle sessions are looked for.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
