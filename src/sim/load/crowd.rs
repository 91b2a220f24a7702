//! What the clients say and understand, without I/O.
//!
//! Clients share sockets, so what the server asks is asked of a socket: an observation goes to the client of it
//! that has waited for one for the longest. Whose it is the server knows by its token.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::observed::{Asked, Observed, SENML_CBOR, Said, Values};
use super::report::Tally;
use super::{LoadSettings, Mode};
use crate::coap::{Code, Message, MessageType, Options, number};
use crate::domain::{AnnouncedObject, Path, Timestamp, Token};
use crate::lwm2m::link_format::announce;

/// All clients.
pub(super) struct Crowd {
    settings: LoadSettings,
    clients: Vec<Client>,
    ports: Vec<Port>,
    values: Values,
    /// What a Register says of the client's objects.
    links: Vec<u8>,
    /// Clients that may make a request, in their turn.
    idle: VecDeque<u32>,
    /// Clients with a request under way.
    under_way: u32,
    /// What they were last told to ask.
    asking: Option<Request>,
    /// When requests are sent again, by how often they were.
    deadlines: [VecDeque<(Instant, u32, u16)>; ATTEMPTS],
    outgoing: Vec<(u32, Vec<u8>)>,
    pub(super) tally: Tally,
    pub(super) observations: u64,
}

/// One client.
struct Client {
    port: u32,
    /// The path that the server gave it.
    location: Box<[Box<[u8]>]>,
    observed: Vec<Observed>,
    sequence: u32,
    /// Observations that it waits for before its next request.
    awaited: u32,
    waiting: Option<Waiting>,
    /// It has nothing to notify.
    is_out: bool,
}

/// A request that is not answered yet.
struct Waiting {
    what: Request,
    message_id: u16,
    /// When it was due.
    due: Instant,
    attempts: usize,
    datagram: Vec<u8>,
}

/// What a client asks of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Register,
    Update,
    Notify,
    Send,
    Deregister,
}

/// What belongs to a socket.
#[derive(Default)]
struct Port {
    next_message_id: u16,
    requests: HashMap<u16, u32>,
    observers: HashMap<Token, u32>,
    /// Clients without the observation that they wait for.
    unobserved: VecDeque<u32>,
    last_observed: u32,
    /// Clients whose turn came while as many requests were under way as a server remembers.
    held: VecDeque<u32>,
}

impl Crowd {
    pub(super) fn new(settings: LoadSettings, seed: u16) -> Self {
        let sockets = sockets(&settings);
        let port = |number: u32| Port {
            next_message_id: seed.wrapping_add((number as u16).wrapping_mul(977)),
            ..Port::default()
        };
        let client = |number: u32| Client {
            port: number % sockets,
            location: Box::default(),
            observed: Vec::new(),
            sequence: 0,
            awaited: 0,
            waiting: None,
            is_out: false,
        };
        let objects: Vec<_> = OBJECTS
            .into_iter()
            .filter_map(|id| {
                Some(AnnouncedObject {
                    path: Path::from_ids(&[id, 0])?,
                    version: None,
                })
            })
            .collect();
        Self {
            clients: (0..settings.clients).map(client).collect(),
            ports: (0..sockets).map(port).collect(),
            values: Values::new(),
            links: announce("", &[SENML_CBOR], &objects).into_bytes(),
            idle: VecDeque::new(),
            under_way: 0,
            asking: None,
            deadlines: Default::default(),
            outgoing: Vec::new(),
            tally: Tally::default(),
            observations: 0,
            settings,
        }
    }

    /// From now on every client may make one request, or as many as it wants.
    pub(super) fn begin(&mut self) {
        self.end();
        for client in &mut self.clients {
            client.is_out = false;
        }
        self.idle = (0..self.settings.clients).collect();
        self.tally = Tally::default();
    }

    /// Nobody makes another request.
    pub(super) fn end(&mut self) {
        self.idle.clear();
        for port in &mut self.ports {
            port.held.clear();
        }
    }

    pub(super) fn under_way(&self) -> u32 {
        self.under_way
    }

    /// Whether a client may make a request at once. Those whose socket has enough under way are held until
    /// one of its requests is over.
    pub(super) fn can_ask(&mut self) -> bool {
        if self.under_way >= self.settings.window {
            return false;
        }
        while let Some(&number) = self.idle.front() {
            let port = self.clients.get(number as usize).map(|client| client.port);
            let port = port.and_then(|port| self.ports.get_mut(port as usize));
            match port {
                Some(port) if port.requests.len() >= MOST_OF_A_SOCKET => {
                    port.held.push_back(number);
                    self.idle.pop_front();
                }
                _ => return true,
            }
        }
        false
    }

    /// How many clients wait for their turn.
    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    /// What is to be sent, and through which socket.
    pub(super) fn take_outgoing(&mut self) -> Vec<(u32, Vec<u8>)> {
        std::mem::take(&mut self.outgoing)
    }

    /// The next client makes a request that was due at some time.
    pub(super) fn ask(&mut self, now: Instant, due: Instant, what: Request) {
        self.asking = Some(what);
        let Some(number) = self.idle.pop_front() else {
            return;
        };
        let Some(client) = self.clients.get_mut(number as usize) else {
            return;
        };
        let Some(port) = self.ports.get_mut(client.port as usize) else {
            return;
        };
        let mut message_id = port.next_message_id;
        while port.requests.contains_key(&message_id) {
            message_id = message_id.wrapping_add(1);
        }
        port.next_message_id = message_id.wrapping_add(1);
        client.sequence = client.sequence.wrapping_add(1);
        let message = match what {
            Request::Register => register(&self.settings, &self.links, number),
            Request::Update => at_location(client, Code::POST),
            Request::Deregister => at_location(client, Code::DELETE),
            Request::Send => {
                let now = Timestamp::system();
                send(
                    self.values
                        .records(self.settings.records, client.sequence, now),
                )
            }
            Request::Notify => match notification(client) {
                Some(message) => message,
                // The server has given up the last observation. Another one brings the client back.
                None => {
                    client.is_out = true;
                    return;
                }
            },
        };
        let token = match what {
            Request::Notify => message.token,
            _ => Token::new(&number.to_be_bytes()).unwrap_or_default(),
        };
        let datagram = Message {
            message_id,
            token,
            ..message
        }
        .encode();
        if what == Request::Register {
            let wanted = self.settings.observations_wanted();
            let had = std::mem::replace(&mut client.awaited, wanted);
            client.observed.clear();
            if had == 0 && wanted > 0 {
                port.unobserved.push_back(number);
            }
        }
        port.requests.insert(message_id, number);
        self.outgoing.push((client.port, datagram.clone()));
        client.waiting = Some(Waiting {
            what,
            message_id,
            due,
            attempts: 0,
            datagram,
        });
        self.under_way += 1;
        self.deadlines[0].push_back((now + ACK_TIMEOUT, number, message_id));
    }

    /// When something has to be sent again.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let first = |queue: &VecDeque<(Instant, u32, u16)>| queue.front().map(|(at, ..)| *at);
        self.deadlines.iter().filter_map(first).min()
    }

    /// Sends again what the server has not answered.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for attempt in 0..ATTEMPTS {
            while let Some(&(at, number, message_id)) = self.deadlines[attempt].front()
                && at <= now
            {
                self.deadlines[attempt].pop_front();
                let Some(client) = self.clients.get_mut(number as usize) else {
                    continue;
                };
                let Some(waiting) = client
                    .waiting
                    .as_mut()
                    .filter(|waiting| waiting.message_id == message_id)
                else {
                    continue;
                };
                waiting.attempts += 1;
                if let Some(queue) = self.deadlines.get_mut(attempt + 1) {
                    self.tally.retransmissions += 1;
                    self.outgoing.push((client.port, waiting.datagram.clone()));
                    let wait = ACK_TIMEOUT * (1 << (attempt + 1));
                    queue.push_back((now + wait, number, message_id));
                } else {
                    self.finish(number, Err("no answer".to_owned()), now);
                }
            }
        }
    }

    /// Something came through a socket.
    pub(super) fn handle_datagram(&mut self, now: Instant, port: u32, datagram: &[u8]) {
        // What cannot be read is not of a server.
        let Ok(message) = Message::decode(datagram) else {
            return;
        };
        if message.code.is_request() {
            return self.asked(port, &message);
        }
        let Some(of) = self.ports.get_mut(port as usize) else {
            return;
        };
        let number = match message.kind {
            MessageType::Acknowledgement | MessageType::Reset => {
                of.requests.get(&message.message_id).copied()
            }
            // An answer of its own (RFC 7252 section 5.2.2), which is acknowledged.
            MessageType::Confirmable | MessageType::NonConfirmable => {
                if message.kind == MessageType::Confirmable {
                    let ack = Message::empty(MessageType::Acknowledgement, message.message_id);
                    self.outgoing.push((port, ack.encode()));
                }
                let bytes = message.token.as_bytes().try_into().ok();
                bytes.map(u32::from_be_bytes)
            }
        };
        let Some(number) = number else { return };
        let client = self.clients.get(number as usize);
        let Some(waiting) = client.and_then(|client| client.waiting.as_ref()) else {
            // A copy of an answer.
            self.tally.answers += 1;
            return;
        };
        let is_empty = message.code == Code::EMPTY;
        if message.kind == MessageType::Acknowledgement
            && is_empty
            && waiting.what != Request::Notify
        {
            // The answer comes as a message of its own (RFC 7252 section 5.2.2).
            return;
        }
        let result = match message.kind {
            MessageType::Reset => Err("the server answered with a Reset".to_owned()),
            _ if is_empty || message.code.is_success() => Ok(message),
            _ => Err(format!(
                "{} {}",
                message.code,
                String::from_utf8_lossy(&message.payload)
            )),
        };
        self.tally.answers += 1;
        self.finish(number, result, now);
    }

    /// A request is answered, or never will be.
    fn finish(&mut self, number: u32, result: Result<Message, String>, now: Instant) {
        let Some(client) = self.clients.get_mut(number as usize) else {
            return;
        };
        let Some(waiting) = client.waiting.take() else {
            return;
        };
        self.under_way -= 1;
        let Some(port) = self.ports.get_mut(client.port as usize) else {
            return;
        };
        port.requests.remove(&waiting.message_id);
        // Its turn has come before.
        if let Some(held) = port.held.pop_front() {
            self.idle.push_front(held);
        }
        match result {
            Ok(answer) => {
                if waiting.what == Request::Register {
                    let location = answer.options.all(number::LOCATION_PATH);
                    client.location = location.map(Box::from).collect();
                }
                self.tally
                    .acknowledged(now.saturating_duration_since(waiting.due));
            }
            Err(why) => {
                if waiting.what == Request::Notify && !client.observed.is_empty() {
                    let last = client.observed.swap_remove(client.last());
                    port.observers.remove(&last.token);
                }
                self.tally.failed(why);
            }
        }
        if client.awaited == 0 && waiting.what.repeats(self.settings.mode) {
            self.idle.push_back(number);
        }
    }

    /// The server asks something.
    fn asked(&mut self, number: u32, request: &Message) {
        let asked = self.values.asked(request);
        let Some(port) = self.ports.get_mut(number as usize) else {
            return;
        };
        let mut answer = Message {
            kind: MessageType::Acknowledgement,
            code: Code::CONTENT,
            message_id: request.message_id,
            token: request.token,
            options: Options::new(),
            payload: Vec::new(),
        };
        let content = |answer: &mut Message, said: &Said| {
            answer
                .options
                .add_uint(number::CONTENT_FORMAT, said.format.into());
            answer.payload = said.payloads.first().cloned().unwrap_or_default();
        };
        match asked {
            Asked::Observe(said) => {
                answer.options.add_uint(number::OBSERVE, 0);
                content(&mut answer, &said);
                if !port.observers.contains_key(&request.token) {
                    self.observed(number, request.token, said);
                }
            }
            Asked::Read(said) => content(&mut answer, &said),
            Asked::Cancel => {
                let observer = port.observers.remove(&request.token);
                if let Some(client) = observer.and_then(|of| self.clients.get_mut(of as usize)) {
                    client
                        .observed
                        .retain(|observed| observed.token != request.token);
                }
            }
            Asked::Done(code) | Asked::Not(code) => answer.code = code,
        }
        self.outgoing.push((number, answer.encode()));
    }

    fn observed(&mut self, number: u32, token: Token, said: Rc<Said>) {
        let Some(port) = self.ports.get_mut(number as usize) else {
            return;
        };
        let of = port.unobserved.front().copied();
        let of = of.unwrap_or(port.last_observed);
        port.last_observed = of;
        port.observers.insert(token, of);
        self.observations += 1;
        let Some(client) = self.clients.get_mut(of as usize) else {
            return;
        };
        client.observed.push(Observed { token, said });
        if std::mem::take(&mut client.is_out) {
            self.idle.push_back(of);
        }
        if client.awaited > 0 {
            client.awaited -= 1;
            if client.awaited == 0 {
                port.unobserved.pop_front();
                // In the other modes a Register is made once, and nobody registers who is to leave.
                let repeats = self.asking.is_some_and(|what| {
                    what == Request::Register && what.repeats(self.settings.mode)
                });
                if client.waiting.is_none() && repeats {
                    self.idle.push_back(of);
                }
            }
        }
    }

    /// Clients that wait to be observed.
    pub(super) fn unobserved(&self) -> usize {
        self.ports.iter().map(|port| port.unobserved.len()).sum()
    }
}

impl Client {
    /// Which observation its last notification was of.
    fn last(&self) -> usize {
        self.sequence as usize % self.observed.len().max(1)
    }
}

impl Request {
    /// Whether who has made it may make another.
    fn repeats(self, mode: Mode) -> bool {
        matches!(
            (self, mode),
            (Self::Register, Mode::Register)
                | (Self::Update, Mode::Update)
                | (Self::Notify, Mode::Notify)
                | (Self::Send, Mode::Send)
        )
    }
}

impl LoadSettings {
    fn observations_wanted(&self) -> u32 {
        match self.mode {
            Mode::Notify => self.observations.max(1),
            Mode::Register | Mode::Send | Mode::Update => self.observations,
        }
    }
}

/// How many sockets there are. A Send is of the device whose address it comes from, and so is a DTLS session.
pub(super) fn sockets(settings: &LoadSettings) -> u32 {
    let has_own = settings.security.is_some() || settings.mode == Mode::Send;
    match has_own {
        true => settings.clients,
        false => settings.sockets.min(settings.clients),
    }
    .max(1)
}

fn confirmable(code: Code) -> Message {
    Message {
        kind: MessageType::Confirmable,
        code,
        message_id: 0,
        token: Token::default(),
        options: Options::new(),
        payload: Vec::new(),
    }
}

fn register(settings: &LoadSettings, links: &[u8], number: u32) -> Message {
    let mut message = confirmable(Code::POST);
    let options = &mut message.options;
    options.add(number::URI_PATH, b"rd");
    options.add_uint(number::CONTENT_FORMAT, LINK_FORMAT);
    let name = settings.name(number);
    let name = name.as_ref().map_or("", |name| name.as_str());
    let lifetime = settings.lifetime.as_secs();
    for query in [
        format!("ep={name}"),
        format!("lt={lifetime}"),
        "lwm2m=1.1".to_owned(),
        "b=U".to_owned(),
    ] {
        options.add(number::URI_QUERY, query.as_bytes());
    }
    message.payload = links.to_vec();
    message
}

fn at_location(client: &Client, code: Code) -> Message {
    let mut message = confirmable(code);
    for segment in &client.location {
        message.options.add(number::URI_PATH, segment);
    }
    message
}

fn notification(client: &Client) -> Option<Message> {
    let observed = client.observed.get(client.last())?;
    let mut message = confirmable(Code::CONTENT);
    message.token = observed.token;
    // 24 bits that rise (RFC 7641 section 3.4).
    message
        .options
        .add_uint(number::OBSERVE, client.sequence & 0xff_ffff);
    message
        .options
        .add_uint(number::CONTENT_FORMAT, observed.said.format.into());
    let variant = client.sequence as usize % observed.said.payloads.len().max(1);
    message.payload = observed.said.payloads.get(variant)?.clone();
    Some(message)
}

fn send(payload: Vec<u8>) -> Message {
    let mut message = confirmable(Code::POST);
    message.options.add(number::URI_PATH, b"dp");
    message
        .options
        .add_uint(number::CONTENT_FORMAT, SENML_CBOR.into());
    message.payload = payload;
    message
}

/// Twenty of them: those of every device, and sensors.
const OBJECTS: [u16; 20] = [
    1, 3, 4, 5, 6, 7, 19, 3300, 3301, 3302, 3303, 3304, 3305, 3306, 3308, 3311, 3313, 3315, 3323,
    3347,
];
/// Requests that are under way through one socket. To the server it is one peer, of which it remembers
/// `coap.dedup_per_peer` messages, 16 when nobody says otherwise; what comes beyond them it drops.
pub(super) const MOST_OF_A_SOCKET: usize = 16;
/// `application/link-format`
const LINK_FORMAT: u32 = 40;
/// The first transmission and `MAX_RETRANSMIT` more (RFC 7252 section 4.8).
const ATTEMPTS: usize = 5;
/// The middle of `ACK_TIMEOUT` to `ACK_TIMEOUT * ACK_RANDOM_FACTOR`.
const ACK_TIMEOUT: Duration = Duration::from_millis(2_500);
