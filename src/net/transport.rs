//! One message layer over the sockets of an arbiter.
//!
//! [`CoapTransport`] is shared by everything on its arbiter: the task that reads ([`CoapTransport::run`])
//! and the actors that answer and ask. Calls into the message layer send what they produce at once;
//! what the kernel does not take waits, and the task sends it later. Nothing is locked, because
//! nothing leaves the arbiter (docs/adr/0001).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::sync::{Notify, mpsc};

use crate::coap::{
    Counters, Endpoint, EndpointConfig, Event, ExchangeId, MessageIds, NotificationKey,
    OutgoingRequest, Peer, RequestError, RequestKey, Response, Token, Transmit, Window,
};
use crate::config::Coap;
use crate::domain::{EndpointName, Identity, Reach, Unreachable};

use super::udp::{BindError, PlainSocket};

/// A bound socket with its message layer. Cheap to clone.
#[derive(Clone)]
pub struct CoapTransport {
    inner: Rc<Inner>,
}

struct Inner {
    plain: PlainSocket,
    endpoint: RefCell<Endpoint>,
    unsent: RefCell<VecDeque<Transmit>>,
    max_unsent: usize,
    /// The task should look at timers and unsent datagrams again.
    wake: Notify,
    stop: Notify,
}

impl CoapTransport {
    /// Binds the socket; must be called on the arbiter that will use it. `seed` makes timers
    /// unpredictable.
    ///
    /// # Errors
    /// The address is in use or not ours.
    pub fn bind(settings: &Coap, counters: Counters, seed: u64) -> Result<Self, BindError> {
        Self::bind_to(settings.listen, settings, counters, seed)
    }

    /// Like [`CoapTransport::bind`], at another address than that of the settings.
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
        Ok(Self {
            inner: Rc::new(Inner {
                plain,
                endpoint: RefCell::new(Endpoint::new(
                    EndpointConfig::from(settings),
                    counters,
                    seed,
                )),
                unsent: RefCell::default(),
                max_unsent: settings.max_pending_requests,
                wake: Notify::new(),
                stop: Notify::new(),
            }),
        })
    }

    /// Where the socket listens.
    pub fn address(&self) -> SocketAddr {
        self.inner.plain.address()
    }

    /// Ends [`CoapTransport::run`].
    pub fn stop(&self) {
        self.inner.stop.notify_one();
    }

    /// Reads datagrams and keeps the timers until [`CoapTransport::stop`] is called or nobody takes
    /// the events any more. While the events are not taken, nothing is read: the kernel's buffer
    /// fills and then datagrams are lost, as on any busy network.
    pub async fn run(self, events: mpsc::Sender<Vec<Event>>) {
        loop {
            let batch = self.take_events();
            if !batch.is_empty() && events.send(batch).await.is_err() {
                return;
            }
            self.flush();
            let timeout = self.inner.endpoint.borrow().next_timeout();
            let blocked = !self.inner.unsent.borrow().is_empty();
            let interest = if blocked {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            tokio::select! {
                () = self.inner.stop.notified() => return,
                () = self.inner.wake.notified() => {}
                () = sleep_until(timeout) => self.inner.endpoint.borrow_mut().handle_timeout(Instant::now()),
                ready = self.inner.plain.ready(interest) => {
                    if let Err(error) = ready {
                        tracing::error!("The CoAP socket on {} failed: {error}", self.inner.plain.address());
                        return;
                    }
                    BUFFER.with_borrow_mut(|buffer| self.read(buffer));
                }
            }
        }
    }

    fn read(&self, buffer: &mut [u8]) {
        let mut endpoint = self.inner.endpoint.borrow_mut();
        let now = Instant::now();
        for _ in 0..MAX_BATCH {
            match self.inner.plain.receive(buffer) {
                Ok((length, address)) => {
                    if let Some(datagram) = buffer.get(..length) {
                        endpoint.handle_datagram(now, Peer::udp(address), datagram);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error for an earlier datagram of ours: the timers see to that.
                Err(error) => {
                    tracing::trace!("Receiving on {}: {error}", self.inner.plain.address())
                }
            }
        }
        let timeout = endpoint.next_timeout();
        if timeout.is_some_and(|timeout| timeout <= now) {
            endpoint.handle_timeout(now);
        }
    }

    fn take_events(&self) -> Vec<Event> {
        let mut endpoint = self.inner.endpoint.borrow_mut();
        let mut batch = Vec::new();
        while let Some(event) = endpoint.poll_event() {
            batch.push(event);
        }
        batch
    }

    /// Sends what waits. What the kernel does not take is kept, up to a limit; beyond it datagrams
    /// are lost, which CoAP is made for.
    ///
    /// Returns false when the kernel took no more.
    fn flush(&self) -> bool {
        let mut unsent = self.inner.unsent.borrow_mut();
        loop {
            let next = match unsent.pop_front() {
                Some(transmit) => Some(transmit),
                None => self.inner.endpoint.borrow_mut().poll_transmit(),
            };
            let Some(transmit) = next else { return true };
            match self
                .inner
                .plain
                .send(&transmit.datagram, transmit.peer.address)
            {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    unsent.push_front(transmit);
                    let mut endpoint = self.inner.endpoint.borrow_mut();
                    while let Some(transmit) = endpoint.poll_transmit() {
                        if unsent.len() < self.inner.max_unsent {
                            unsent.push_back(transmit);
                        }
                    }
                    return false;
                }
                Err(error) => {
                    tracing::debug!(peer = %transmit.peer, "Cannot send to {}: {error}", transmit.peer)
                }
            }
        }
    }

    /// One call into the message layer; what it wants to send is sent at once, and the task is told
    /// when there is something for it.
    fn call<T>(&self, call: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let (result, has_timer) = {
            let mut endpoint = self.inner.endpoint.borrow_mut();
            let before = endpoint.next_timeout();
            let result = call(&mut endpoint, Instant::now());
            (result, endpoint.next_timeout() != before)
        };
        if !self.flush() || has_timer {
            self.inner.wake.notify_one();
        }
        result
    }
}

/// Who peers are, and whether they can be reached.
impl CoapTransport {
    /// Who a peer has proven to be.
    pub fn identity(&self, _peer: Peer) -> Option<Arc<Identity>> {
        None
    }

    /// Whether a datagram can go out to a peer now.
    pub fn reach(&self, peer: Peer) -> Reach {
        if peer.is_secure() {
            Reach::Closed
        } else {
            Reach::Open
        }
    }

    /// Begins a session of ours with a device.
    ///
    /// # Errors
    /// It cannot be begun.
    pub fn connect(&self, _peer: Peer, _endpoint: &EndpointName) -> Result<(), Unreachable> {
        Err(Unreachable::SwitchedOff)
    }

    /// The session with a peer is over: what waits for it fails at once, what was remembered of it
    /// is forgotten.
    pub fn disconnect(&self, peer: Peer) {
        self.call(|endpoint, now| endpoint.disconnect(now, peer));
    }

    /// A peer has shown something random that only the owner of its address was sent.
    pub fn proven(&self, _peer: Peer) {}
}

/// The calls of [`Endpoint`], with the clock taken care of.
#[expect(missing_docs, reason = "each call is that of coap::Endpoint")]
impl CoapTransport {
    pub fn request(
        &self,
        peer: Peer,
        request: OutgoingRequest,
    ) -> Result<ExchangeId, RequestError> {
        self.call(|endpoint, now| endpoint.request(now, peer, request))
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

thread_local! {
    /// What all sockets of a thread read into, one after the other.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_DATAGRAM]);
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// Datagrams read before what they led to is handed on.
const MAX_BATCH: usize = 64;
