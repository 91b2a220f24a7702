//! What an actor may do with the network and with the registry's routes. Both live on the arbiter
//! of the actor, so these are plain calls.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::session::Memo;
use crate::coap::{
    Excerpt, ExchangeId, MessageIds, NotificationKey, OutgoingRequest, RequestError, RequestKey,
    Response, Window,
};
use crate::domain::{
    EndpointName, FirmwareId, Identity, Peer, Reach, RegistrationId, SessionMark, Token,
    Unreachable,
};

/// The message layer together with its socket. See [`crate::coap::Endpoint`] for what each call
/// means.
#[expect(
    missing_docs,
    reason = "each call is that of coap::Endpoint, with the clock taken care of"
)]
pub trait Wire {
    fn request(&self, peer: Peer, request: OutgoingRequest) -> Result<ExchangeId, RequestError>;
    fn await_response(
        &self,
        peer: Peer,
        token: Token,
        timeout: Duration,
    ) -> Result<ExchangeId, RequestError>;
    fn cancel(&self, exchange: ExchangeId);
    fn set_window(&self, exchange: ExchangeId, window: Option<Window>);
    fn extend_message_ids(&self, exchange: ExchangeId, ids: MessageIds);
    fn encode_response(&self, key: &RequestKey, response: &Response) -> Vec<u8>;
    fn respond(&self, key: &RequestKey, response: Response);
    fn respond_excerpt(&self, key: &RequestKey, excerpt: Excerpt, response: &Response) -> usize;
    fn drop_request(&self, key: &RequestKey);
    fn acknowledge(&self, key: &NotificationKey);
    fn reject(&self, key: &NotificationKey);
    fn ignore(&self, key: &NotificationKey);
    /// Who the peer has proven to be; nothing on plain UDP, and nothing once its session is over or
    /// its credential is gone.
    fn identity(&self, peer: Peer) -> Option<Arc<Identity>>;
    /// Where the DTLS session of the peer stands, to be stored with what came in it; nothing when it is
    /// not kept over a restart, and on plain UDP.
    fn session_mark(&self, peer: Peer) -> Option<SessionMark>;
    /// Whether a request can go out to the peer as things are.
    fn reach(&self, peer: Peer) -> Reach;
    /// Begins a DTLS session of ours with a device whose own is over, under its name and the same
    /// peer: what is sent meanwhile waits. Fails when no credential for it can be used.
    fn connect(&self, peer: Peer, endpoint: &EndpointName) -> Result<(), Unreachable>;
    /// The peer has shown something random that only the owner of its address was sent (a location,
    /// a token): no limit on what is sent there, for an hour (RFC 9175 section 2.4).
    fn proven(&self, peer: Peer);
    /// It did so this long ago, before this process began: what is left of the hour counts.
    fn was_proven(&self, peer: Peer, ago: Duration);
    /// True while it is of use to be told whose messages those of a peer are; see [`Wire::belongs`].
    fn is_stranger(&self, _peer: Peer) -> bool {
        false
    }
    /// The messages of a peer are those of this device, for whoever looks on.
    fn belongs(&self, _peer: Peer, _endpoint: &EndpointName) {}
    /// The device is forgotten, for whoever looks on.
    fn forgotten(&self, _endpoint: &EndpointName) {}
    fn restore_answer(
        &self,
        peer: Peer,
        message_id: u16,
        hash: i64,
        datagram: Vec<u8>,
        lives: Duration,
    );
}

/// How the registry finds the actor that something is for. Every call is about one actor.
pub trait Routes {
    /// Notifications with this token are for this actor.
    fn watch(&self, token: Token);
    /// Notifications with this token are for nobody.
    fn unwatch(&self, token: Token);
    /// What becomes of this exchange is for this actor.
    fn exchange(&self, exchange: ExchangeId);
    /// Nothing more will come of this exchange.
    fn exchange_ended(&self, exchange: ExchangeId);
    /// The device is registered: its location and address.
    fn registered(&self, location: &RegistrationId, peer: Peer);
    /// It no longer is.
    fn unregistered(&self);
    /// The actor is gone, in order or by a panic.
    fn ended(&self);
    /// A message was taken from the actor's mailbox.
    fn taken(&self);
    /// True when the actor's mailbox is empty.
    fn is_quiet(&self) -> bool;
    /// When the actor wants to look at what time has made due, running or not; never any more: none.
    fn wakes(&self, at: Option<Instant>);
    /// The actor ends although its device is registered, and leaves this to the next one.
    fn rests(&self, memo: Memo);
    /// Which image the device is to fetch, and from where; none any more: none.
    fn fetches(&self, what: Option<(FirmwareId, IpAddr)>);
    /// When the device listens.
    fn listens(&self, listening: Listening);
}

/// When a registered device listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listening {
    /// At any time.
    #[default]
    Always,
    /// Not before its next message.
    Asleep,
    /// Until it falls asleep.
    Until(Instant),
}

impl Listening {
    /// True when it listens at this moment.
    pub fn now(self, now: Instant) -> bool {
        match self {
            Self::Always => true,
            Self::Asleep => false,
            Self::Until(end) => now < end,
        }
    }
}
