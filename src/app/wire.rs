//! The network as the actors have it: the socket with its message layer, and the lens that looks on.

use std::sync::Arc;
use std::time::Duration;

use crate::coap::{
    Excerpt, ExchangeId, MessageIds, NotificationKey, OutgoingRequest, RequestError, RequestKey,
    Response, Window,
};
use crate::domain::{EndpointName, Identity, Peer, Reach, SessionMark, Token, Unreachable};
use crate::endpoint::Wire;
use crate::lens::Lens;
use crate::net::CoapTransport;

/// The socket as the actors see it.
pub(super) struct NetWire {
    transport: CoapTransport,
    lens: Lens,
}

impl NetWire {
    /// The lens is told who peers are.
    pub(super) fn new(transport: CoapTransport, lens: Lens) -> Self {
        Self { transport, lens }
    }
}

impl Wire for NetWire {
    fn request(&self, peer: Peer, request: OutgoingRequest) -> Result<ExchangeId, RequestError> {
        self.transport.request(peer, request)
    }

    fn await_response(
        &self,
        peer: Peer,
        token: Token,
        timeout: Duration,
    ) -> Result<ExchangeId, RequestError> {
        self.transport.await_response(peer, token, timeout)
    }

    fn cancel(&self, exchange: ExchangeId) {
        self.transport.cancel(exchange);
    }

    fn set_window(&self, exchange: ExchangeId, window: Option<Window>) {
        self.transport.set_window(exchange, window);
    }

    fn extend_message_ids(&self, exchange: ExchangeId, ids: MessageIds) {
        self.transport.extend_message_ids(exchange, ids);
    }

    fn encode_response(&self, key: &RequestKey, response: &Response) -> Vec<u8> {
        self.transport.encode_response(key, response)
    }

    fn respond(&self, key: &RequestKey, response: Response) {
        self.transport.respond(key, response);
    }

    fn respond_excerpt(&self, key: &RequestKey, excerpt: Excerpt, response: &Response) -> usize {
        self.transport.respond_excerpt(key, excerpt, response)
    }

    fn drop_request(&self, key: &RequestKey) {
        self.transport.drop_request(key);
    }

    fn acknowledge(&self, key: &NotificationKey) {
        self.transport.acknowledge(key);
    }

    fn reject(&self, key: &NotificationKey) {
        self.transport.reject(key);
    }

    fn ignore(&self, key: &NotificationKey) {
        self.transport.ignore(key);
    }

    fn identity(&self, peer: Peer) -> Option<Arc<Identity>> {
        self.transport.identity(peer)
    }

    fn session_mark(&self, peer: Peer) -> Option<SessionMark> {
        self.transport.session_mark(peer)
    }

    fn reach(&self, peer: Peer) -> Reach {
        self.transport.reach(peer)
    }

    fn connect(&self, peer: Peer, endpoint: &EndpointName) -> Result<(), Unreachable> {
        self.transport.connect(peer, endpoint)
    }

    fn proven(&self, peer: Peer) {
        self.transport.proven(peer);
    }

    fn was_proven(&self, peer: Peer, ago: Duration) {
        self.transport.was_proven(peer, ago);
    }

    fn is_stranger(&self, peer: Peer) -> bool {
        self.lens.is_stranger(peer)
    }

    fn belongs(&self, peer: Peer, endpoint: &EndpointName) {
        self.lens.belongs(peer, endpoint);
    }

    fn forgotten(&self, endpoint: &EndpointName) {
        self.lens.forget(endpoint);
    }

    fn restore_answer(
        &self,
        peer: Peer,
        message_id: u16,
        hash: i64,
        datagram: Vec<u8>,
        lives: Duration,
    ) {
        self.transport
            .restore_answer(peer, message_id, hash, datagram, lives);
    }
}
