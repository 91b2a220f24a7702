//! A device by hand: one UDP socket, one message at a time, every byte chosen by the test.
//!
//! For what the whole simulated client (`flownexus::sim`) does right by itself: lost and repeated
//! messages, late answers, a device that falls silent in the middle. Calls block the thread, so use
//! it in lock-step: send, expect, then ask the server's API. It speaks plain CoAP, or CoAP over DTLS
//! ([`ScriptedDevice::secure`]).

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flownexus::coap::{Code, Message, MessageType, Options, number};
use flownexus::domain::Token;

use super::secure::{Credentials, Secure};

/// `application/link-format`
pub(crate) const LINK_FORMAT: u16 = 40;
/// `text/plain`
pub(crate) const TEXT: u16 = 0;
/// `application/senml+json`
pub(crate) const SENML_JSON: u16 = 110;
/// `application/senml+cbor`
pub(crate) const SENML_CBOR: u16 = 112;

/// The type of a record (RFC 5246 section 6.2.1).
const ALERT: u8 = 21;
/// How long the server may take to send what it has to send.
const DEADLINE: Duration = Duration::from_secs(15);
/// Between two tries.
const POLL: Duration = Duration::from_millis(100);
/// Larger than any datagram of the server.
const DATAGRAM: usize = 65_536;

/// A CoAP client that does nothing by itself.
pub(crate) struct ScriptedDevice {
    name: String,
    link: Mutex<Link>,
    server: SocketAddr,
    message_id: u16,
    token: u8,
    location: Vec<String>,
    received: Option<Vec<u8>>,
    /// The ids of the confirmable requests that it has answered.
    answered: HashSet<u16>,
}

/// What its messages travel over.
enum Link {
    Plain(UdpSocket),
    Secure(Box<Secure>),
}

impl ScriptedDevice {
    /// A device of this name with a socket of its own. Nothing is sent.
    pub(crate) fn new(name: &str, server: SocketAddr) -> Self {
        Self::over(name, server, Link::Plain(socket(server)))
    }

    /// The same over DTLS, to the server's address for it. Nothing is sent: the handshake comes with
    /// the first message, or with [`ScriptedDevice::handshake`].
    pub(crate) fn secure(name: &str, server: SocketAddr, credentials: Credentials) -> Self {
        let session = Secure::new(socket(server), server, credentials);
        Self::over(name, server, Link::Secure(Box::new(session)))
    }

    fn over(name: &str, server: SocketAddr, link: Link) -> Self {
        // Different names begin at different message ids, the same name always at the same.
        let seed = name
            .bytes()
            .fold(0x1234_u16, |sum, byte| sum.rotate_left(5) ^ u16::from(byte));
        Self {
            name: name.to_owned(),
            link: Mutex::new(link),
            server,
            message_id: seed,
            token: 0,
            location: Vec::new(),
            received: None,
            answered: HashSet::new(),
        }
    }

    /// The endpoint name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The device's own address.
    pub(crate) fn address(&self) -> SocketAddr {
        match &*self.link() {
            Link::Plain(socket) => socket.local_addr().expect("a bound socket"),
            Link::Secure(session) => session.address(),
        }
    }

    /// Another address, as behind a NAT that forgot the device. Over DTLS it makes a new handshake
    /// from there.
    pub(crate) fn move_to_new_address(&mut self) {
        self.move_to(socket(self.server));
    }

    /// Another port of this local address, for example 127.0.0.2: to the server another host. Over
    /// DTLS it makes a new handshake from there.
    pub(crate) fn move_to_host(&mut self, local: IpAddr) {
        self.move_to(UdpSocket::bind((local, 0)).expect("a free port"));
    }

    fn move_to(&mut self, socket: UdpSocket) {
        match &mut *self.link() {
            Link::Plain(old) => *old = socket,
            Link::Secure(session) => {
                session.move_to(socket);
                session.handshake().expect("a handshake");
            }
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ------------------------------------------------------------------------------- DTLS sessions

    /// A handshake that is tried until the server has taken note of the device's credential.
    #[track_caller]
    pub(crate) fn handshake_soon(&mut self) {
        let end = Instant::now() + DEADLINE;
        while let Err(error) = self.handshake() {
            assert!(Instant::now() < end, "{}: {error}", self.name);
            std::thread::sleep(POLL);
        }
    }

    /// A handshake from nothing at the present address, in place of any session there: the device
    /// has been started again.
    ///
    /// # Errors
    /// The alert of the server, as in `alert 115 (…)`, or that there was no answer.
    pub(crate) fn handshake(&mut self) -> Result<(), String> {
        self.session(Secure::handshake)
    }

    /// A handshake that offers the session before. True when the server took it up again.
    pub(crate) fn resume(&mut self) -> Result<bool, String> {
        self.session(Secure::resume)
    }

    /// Answers a handshake that the server begins.
    pub(crate) fn accept_handshake(&mut self) -> Result<(), String> {
        self.session(Secure::accept)
    }

    /// Another address with the same session, as when a NAT forgot the device and it does not know.
    pub(crate) fn move_keeping_session(&mut self) {
        let socket = socket(self.server);
        self.session(|session| session.move_to(socket));
    }

    /// The same on another host.
    pub(crate) fn move_to_host_keeping_session(&mut self, local: IpAddr) {
        let socket = UdpSocket::bind((local, 0)).expect("a free port");
        self.session(|session| session.move_to(socket));
    }

    /// Ends the session by a `close_notify`, and waits for that of the server (RFC 5246 section 7.2.1).
    #[track_caller]
    pub(crate) fn close_session(&mut self) {
        self.session(|session| {
            session.close();
            loop {
                let datagram = session.receive_datagram(DEADLINE);
                if datagram.expect("the server's good-bye").first() == Some(&ALERT) {
                    return;
                }
            }
        });
    }

    /// Forgets the session without a word.
    pub(crate) fn forget_session(&mut self) {
        self.session(Secure::forget);
    }

    /// Waits until the server ends the session, and returns how: `close_notify`, or its alert.
    #[track_caller]
    pub(crate) fn expect_end_of_session(&mut self) -> String {
        let name = self.name.clone();
        self.session(|session| {
            let received = session.receive(DEADLINE);
            match session.end() {
                Some(end) => end.to_owned(),
                None => panic!("{name}: the session goes on, with {received:?}"),
            }
        })
    }

    /// The record that would carry these bytes; it is not sent.
    pub(crate) fn protect(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.session(|session| session.protect(bytes))
    }

    /// Sends a datagram below DTLS, whatever it is.
    pub(crate) fn send_datagram(&mut self, datagram: &[u8]) {
        self.session(|session| session.send_datagram(datagram));
    }

    /// The next datagram of the server below DTLS; the session does not see it.
    pub(crate) fn receive_datagram(&mut self, within: Duration) -> Option<Vec<u8>> {
        self.session(|session| session.receive_datagram(within))
    }

    /// The rest of what can be done with a session.
    ///
    /// # Panics
    /// The device speaks plain CoAP.
    #[track_caller]
    pub(crate) fn session<T>(&mut self, act: impl FnOnce(&mut Secure) -> T) -> T {
        match &mut *self.link() {
            Link::Plain(_) => panic!("{} speaks plain CoAP", self.name),
            Link::Secure(session) => act(session),
        }
    }

    /// The Location-Path of the registration in force, `rd` and its id.
    pub(crate) fn location(&self) -> &[String] {
        &self.location
    }

    // ------------------------------------------------------------------------------- raw messages

    /// The next message id.
    pub(crate) fn next_message_id(&mut self) -> u16 {
        self.message_id = self.message_id.wrapping_add(1);
        self.message_id
    }

    /// A token that this device has not used.
    pub(crate) fn next_token(&mut self) -> Token {
        self.token = self
            .token
            .checked_add(1)
            .expect("a test sends fewer requests than this");
        Token::new(&[0xde, self.token]).expect("two bytes")
    }

    /// Sends these bytes, whatever they mean; over DTLS in a record.
    #[track_caller]
    pub(crate) fn send_bytes(&self, datagram: &[u8]) {
        match &mut *self.link() {
            Link::Plain(socket) => {
                let sent = socket.send_to(datagram, self.server);
                assert_eq!(
                    sent.expect("loopback takes it"),
                    datagram.len(),
                    "datagram was cut"
                );
            }
            Link::Secure(session) => session.send(datagram),
        }
    }

    /// Sends a message.
    pub(crate) fn send(&self, message: &Message) {
        self.send_bytes(&message.encode());
    }

    /// The next message of the server.
    ///
    /// # Panics
    /// When none comes in time, or what comes is no CoAP message.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str) -> Message {
        match self.receive(DEADLINE) {
            Some(message) => message,
            None => panic!("{}: no {what} within {DEADLINE:?}", self.name),
        }
    }

    /// The next message that comes within this time.
    #[track_caller]
    pub(crate) fn receive(&mut self, within: Duration) -> Option<Message> {
        let received = match &mut *self.link() {
            Link::Plain(socket) => self.receive_plain(socket, within),
            Link::Secure(session) => session.receive(within),
        }?;
        let message = Message::decode(&received).unwrap_or_else(|error| {
            let shown = hex::encode(&received);
            panic!("{}: the server sent {shown}: {error}", self.name)
        });
        self.received = Some(received);
        Some(message)
    }

    fn receive_plain(&self, socket: &UdpSocket, within: Duration) -> Option<Vec<u8>> {
        let end = Instant::now() + within;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let left = end
                .checked_duration_since(Instant::now())?
                .max(Duration::from_millis(1));
            socket
                .set_read_timeout(Some(left))
                .expect("a time above zero");
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) if from == self.server => {
                    buffer.truncate(length);
                    return Some(buffer);
                }
                // Not of the server; or a time-out; or "port unreachable" while the server is down.
                Ok(_) => {}
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::WouldBlock
                            | ErrorKind::TimedOut
                            | ErrorKind::Interrupted
                            | ErrorKind::ConnectionRefused
                    ),
                    "{}: {error}",
                    self.name
                ),
            }
        }
    }

    /// The bytes of the message that was received last.
    pub(crate) fn received_bytes(&self) -> &[u8] {
        self.received.as_deref().expect("something was received")
    }

    /// Fails when anything comes within this time.
    #[track_caller]
    pub(crate) fn expect_silence(&mut self, within: Duration) {
        if let Some(message) = self.receive(within) {
            panic!(
                "{}: expected silence for {within:?}, got {message:?}",
                self.name
            );
        }
    }

    // -------------------------------------------------------------------------- messages to build

    /// A confirmable request with a new message id and token.
    pub(crate) fn request(&mut self, code: Code, options: Options, payload: &[u8]) -> Message {
        Message {
            kind: MessageType::Confirmable,
            code,
            message_id: self.next_message_id(),
            token: self.next_token(),
            options,
            payload: payload.to_vec(),
        }
    }

    /// `POST /rd?ep=NAME&lt=…&lwm2m=1.1&b=U` with these links.
    pub(crate) fn register(&mut self, lifetime_s: u32, links: &str) -> Message {
        let query = [
            format!("lt={lifetime_s}"),
            "lwm2m=1.1".to_owned(),
            "b=U".to_owned(),
        ];
        self.register_with(&query, links)
    }

    /// A Register with these queries beside the name.
    pub(crate) fn register_with(&mut self, query: &[String], links: &str) -> Message {
        let mut options = Options::new();
        options.add_uri_path("/rd");
        options.add(number::URI_QUERY, format!("ep={}", self.name).as_bytes());
        for part in query {
            options.add(number::URI_QUERY, part.as_bytes());
        }
        options.add_uint(number::CONTENT_FORMAT, u32::from(LINK_FORMAT));
        self.request(Code::POST, options, links.as_bytes())
    }

    /// An Update of the registration in force, without changes.
    pub(crate) fn update(&mut self) -> Message {
        let options = self.location_options();
        self.request(Code::POST, options, &[])
    }

    /// A Deregister.
    pub(crate) fn deregister(&mut self) -> Message {
        let options = self.location_options();
        self.request(Code::DELETE, options, &[])
    }

    /// `POST /dp` (Send) with this body.
    pub(crate) fn data_push(&mut self, format: u16, payload: &[u8]) -> Message {
        let mut options = Options::new();
        options.add_uri_path("/dp");
        options.add_uint(number::CONTENT_FORMAT, u32::from(format));
        self.request(Code::POST, options, payload)
    }

    /// A confirmable notification for the token of an observation.
    pub(crate) fn notification(
        &mut self,
        token: Token,
        observe: u32,
        format: u16,
        payload: &[u8],
    ) -> Message {
        Message {
            kind: MessageType::Confirmable,
            code: Code::CONTENT,
            message_id: self.next_message_id(),
            token,
            options: content(Some(observe), format),
            payload: payload.to_vec(),
        }
    }

    // ------------------------------------------------------------------------------- conversations

    /// Sends a request and returns its piggybacked answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &Message) -> Message {
        self.send(request);
        let answer = self.expect("answer");
        assert_eq!(answer.kind, MessageType::Acknowledgement, "{answer:?}");
        assert_eq!(answer.message_id, request.message_id, "{answer:?}");
        assert_eq!(answer.token, request.token, "{answer:?}");
        answer
    }

    /// Registers, and keeps the location for [`ScriptedDevice::update`].
    #[track_caller]
    pub(crate) fn register_now(&mut self, lifetime_s: u32, links: &str) -> Message {
        let request = self.register(lifetime_s, links);
        let answer = self.ask(&request);
        self.take_location(&answer);
        answer
    }

    /// Keeps the location that the answer to a Register names.
    #[track_caller]
    pub(crate) fn take_location(&mut self, answer: &Message) {
        assert_eq!(answer.code, Code::CREATED, "{answer:?}");
        let segment = |value: &[u8]| String::from_utf8(value.to_vec()).expect("a location is text");
        self.location = answer
            .options
            .all(number::LOCATION_PATH)
            .map(segment)
            .collect();
        assert_eq!(
            self.location.len(),
            2,
            "Location-Path is rd and an id: {answer:?}"
        );
    }

    /// The next message of the server, which must be a request with this code and path. Empty
    /// acknowledgements and repeated requests that come before it are a failure of the test.
    #[track_caller]
    pub(crate) fn expect_request(&mut self, code: Code, path: &str) -> Message {
        let request = self.expect(&format!("{code} {path}"));
        let segments = request
            .options
            .uri_path()
            .expect("a path of text")
            .join("/");
        assert_eq!(
            (request.code, format!("/{segments}")),
            (code, path.to_owned()),
            "{request:?}"
        );
        request
    }

    /// Answers a request of the server, piggybacked where it is confirmable.
    pub(crate) fn answer(
        &mut self,
        request: &Message,
        code: Code,
        options: Options,
        payload: &[u8],
    ) {
        let (kind, message_id) = if request.kind == MessageType::Confirmable {
            self.answered.insert(request.message_id);
            (MessageType::Acknowledgement, request.message_id)
        } else {
            (MessageType::NonConfirmable, self.next_message_id())
        };
        let payload = payload.to_vec();
        self.send(&Message {
            kind,
            code,
            message_id,
            token: request.token,
            options,
            payload,
        });
    }

    /// A copy of what it has answered already: sent again while that answer was on its way.
    pub(crate) fn has_answered(&self, message: &Message) -> bool {
        message.kind == MessageType::Confirmable && self.answered.contains(&message.message_id)
    }

    /// 2.05 with this body.
    pub(crate) fn answer_content(&mut self, request: &Message, format: u16, payload: &[u8]) {
        self.answer(request, Code::CONTENT, content(None, format), payload);
    }

    /// 2.05 with this body and an Observe option: the observation begins.
    pub(crate) fn answer_observe(
        &mut self,
        request: &Message,
        observe: u32,
        format: u16,
        payload: &[u8],
    ) {
        self.answer(
            request,
            Code::CONTENT,
            content(Some(observe), format),
            payload,
        );
    }

    /// An empty acknowledgement: the answer comes later.
    pub(crate) fn acknowledge(&self, message: &Message) {
        self.send(&Message::empty(
            MessageType::Acknowledgement,
            message.message_id,
        ));
    }

    /// A Reset.
    pub(crate) fn reset(&self, message: &Message) {
        self.send(&Message::empty(MessageType::Reset, message.message_id));
    }

    /// Sends a confirmable notification and waits until the server acknowledges it.
    #[track_caller]
    pub(crate) fn notify(
        &mut self,
        token: Token,
        observe: u32,
        format: u16,
        payload: &[u8],
    ) -> Message {
        let notification = self.notification(token, observe, format, payload);
        self.send(&notification);
        self.expect_acknowledgement(&notification);
        notification
    }

    /// The next message must be the empty acknowledgement of this one.
    #[track_caller]
    pub(crate) fn expect_acknowledgement(&mut self, of: &Message) {
        let answer = self.expect("acknowledgement");
        let expected = Message::empty(MessageType::Acknowledgement, of.message_id);
        assert_eq!(answer.encode(), expected.encode(), "{answer:?}");
    }

    fn location_options(&self) -> Options {
        assert!(
            !self.location.is_empty(),
            "{} has not registered",
            self.name
        );
        let mut options = Options::new();
        for segment in &self.location {
            options.add(number::URI_PATH, segment.as_bytes());
        }
        options
    }
}

/// A socket on the loopback address of the server's family.
fn socket(server: SocketAddr) -> UdpSocket {
    let local: IpAddr = if server.is_ipv4() {
        Ipv4Addr::LOCALHOST.into()
    } else {
        Ipv6Addr::LOCALHOST.into()
    };
    UdpSocket::bind((local, 0)).expect("a free port")
}

fn content(observe: Option<u32>, format: u16) -> Options {
    let mut options = Options::new();
    if let Some(observe) = observe {
        options.add_uint(number::OBSERVE, observe);
    }
    options.add_uint(number::CONTENT_FORMAT, u32::from(format));
    options
}
