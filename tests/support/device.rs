//! A device by hand: one UDP socket, one message at a time, every byte chosen by the test.
//!
//! For what the whole simulated client (`flownexus::sim`) does right by itself: lost and repeated
//! messages, late answers, a device that falls silent in the middle. Calls block the thread, so use
//! it in lock-step: send, expect, then ask the server's API.

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use flownexus::coap::{Code, Message, MessageType, Options, number};
use flownexus::domain::Token;

/// `application/link-format`
pub(crate) const LINK_FORMAT: u16 = 40;
/// `text/plain`
pub(crate) const TEXT: u16 = 0;
/// `application/senml+json`
pub(crate) const SENML_JSON: u16 = 110;
/// `application/senml+cbor`
pub(crate) const SENML_CBOR: u16 = 112;

/// How long the server may take to send what it has to send.
const DEADLINE: Duration = Duration::from_secs(15);
/// Larger than any datagram of the server.
const DATAGRAM: usize = 65_536;

/// A CoAP client that does nothing by itself.
pub(crate) struct ScriptedDevice {
    name: String,
    socket: UdpSocket,
    server: SocketAddr,
    message_id: u16,
    token: u8,
    location: Vec<String>,
    received: Option<Vec<u8>>,
}

impl ScriptedDevice {
    /// A device of this name with a socket of its own. Nothing is sent.
    pub(crate) fn new(name: &str, server: SocketAddr) -> Self {
        // Different names begin at different message ids, the same name always at the same.
        let seed = name
            .bytes()
            .fold(0x1234_u16, |sum, byte| sum.rotate_left(5) ^ u16::from(byte));
        Self {
            name: name.to_owned(),
            socket: socket(server),
            server,
            message_id: seed,
            token: 0,
            location: Vec::new(),
            received: None,
        }
    }

    /// The endpoint name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The device's own address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket")
    }

    /// Another address, as behind a NAT that forgot the device.
    pub(crate) fn move_to_new_address(&mut self) {
        self.socket = socket(self.server);
    }

    /// Another port of this local address, for example 127.0.0.2: to the server another host.
    pub(crate) fn move_to_host(&mut self, local: IpAddr) {
        self.socket = UdpSocket::bind((local, 0)).expect("a free port");
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

    /// Sends these bytes, whatever they mean.
    pub(crate) fn send_bytes(&self, datagram: &[u8]) {
        let sent = self
            .socket
            .send_to(datagram, self.server)
            .expect("loopback takes it");
        assert_eq!(sent, datagram.len(), "datagram was cut");
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
        let end = Instant::now() + within;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let left = end
                .checked_duration_since(Instant::now())?
                .max(Duration::from_millis(1));
            self.socket
                .set_read_timeout(Some(left))
                .expect("a time above zero");
            match self.socket.recv_from(&mut buffer) {
                Ok((length, from)) if from == self.server => {
                    buffer.truncate(length);
                    let message = Message::decode(&buffer);
                    let message = message.unwrap_or_else(|error| {
                        panic!(
                            "{}: the server sent {}: {error}",
                            self.name,
                            hex::encode(&buffer)
                        )
                    });
                    self.received = Some(buffer);
                    return Some(message);
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
