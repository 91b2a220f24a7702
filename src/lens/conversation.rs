//! The messages of a device, read: what each of them is, what it belongs to, and what it says.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::capture::Captured;
use super::options;
use super::payload::{self, Payload};
use super::secret;
use super::subject::{Subject, What};
use super::words::{self, Told};
use crate::coap::{Code, DecodeError, Message, MessageType};
use crate::domain::{EndpointName, Observation, Path, Timestamp, Token, names};
use crate::lwm2m::ModelView;

/// What is known of the device whose messages these are.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its name.
    pub endpoint: &'a EndpointName,
    /// The object models as it means them.
    pub view: ModelView<'a>,
    /// What stands in front of its paths, such as `/lwm2m`.
    pub root: &'a str,
    /// What it was asked to report.
    pub observations: &'a [Observation],
    /// Units that it tells of itself (resource 5701), by the path of their object instance.
    pub units: &'a BTreeMap<Path, String>,
}

/// What a message is, as one chooses among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An empty message: an acknowledgement, a reset, a ping.
    Ack,
    /// Values that the device tells of itself: notifications and Sends.
    Data,
    /// Firmware images, and whatever is about object 5.
    Firmware,
    /// What the server asks of the device, and its answers.
    Operation,
    /// What is no message, or none of LwM2M.
    Other,
    /// Register, Update, Deregister, bootstrapping, discovery.
    Registration,
}

names!(Kind, "kind of message", {
    Ack = "ack",
    Data = "data",
    Firmware = "firmware",
    Operation = "operation",
    Other = "other",
    Registration = "registration",
});

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `CON`, `NON`, `ACK` or `RST`.
    pub kind: &'static str,
    /// Such as `2.05`.
    pub code: String,
    /// Such as `Content`.
    pub code_name: &'static str,
    /// The message id.
    pub message_id: u16,
    /// The token, as hexadecimal digits.
    pub token: String,
}

/// An option by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionLine {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: String,
    /// Its value as people read it.
    pub value: String,
}

/// A value of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueLine {
    /// Where.
    pub path: Path,
    /// What it is, by the object model.
    pub name: Option<String>,
    /// The value; none: it is secret.
    pub value: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// When the device measured it, if it said so.
    pub time: Option<Timestamp>,
}

/// A message, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub id: u64,
    /// When it was seen.
    pub time: Timestamp,
    /// The same in microseconds.
    pub micros: i64,
    /// True for one of the device.
    pub up: bool,
    /// True when it went through DTLS.
    pub is_secure: bool,
    /// Where the device was.
    pub address: SocketAddr,
    /// Bytes on the wire, DTLS included.
    pub wire: u32,
    /// Bytes of the message.
    pub length: u32,
    /// True when only its head was kept.
    pub is_cut: bool,
    /// What it is.
    pub kind: Kind,
    /// Its head; none for what is no message.
    pub head: Option<Head>,
    /// What it says, in a sentence.
    pub words: String,
    /// True when the same was sent or heard before.
    pub is_copy: bool,
    /// The message that this one is a copy of, if that is there.
    pub copy_of: Option<u64>,
    /// The message that this one answers or acknowledges, if that is there.
    pub answers: Option<u64>,
    /// The first message that answers or acknowledges this one.
    pub answered_by: Option<u64>,
    /// Its options.
    pub options: Vec<OptionLine>,
    /// The content format of its payload.
    pub format: Option<String>,
    /// The values of its payload.
    pub values: Vec<ValueLine>,
    /// The payload, where that is text.
    pub text: Option<String>,
    /// What else there is to say of the payload.
    pub note: Option<String>,
    /// Bytes of the payload, as far as they were kept.
    pub payload_bytes: usize,
    /// The message without what is secret in it: zeros are in its place.
    pub bytes: Vec<u8>,
}

/// The messages of a device, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// See the type.
    pub lines: Vec<Line>,
}

impl Conversation {
    /// Reads messages, oldest first.
    pub fn read(captured: &[Captured], facts: &Facts<'_>) -> Self {
        let mut reading = Reading::default();
        for message in captured {
            let line = reading.line(message, facts);
            if let Some(answers) = line.answers
                && let Some(at) = reading.places.get(&answers).copied()
                && let Some(asked) = reading.lines.get_mut(at)
                && !line.is_copy
            {
                asked.answered_by.get_or_insert(line.id);
            }
            reading.places.insert(line.id, reading.lines.len());
            reading.lines.push(line);
        }
        Self {
            lines: reading.lines,
        }
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    lines: Vec<Line>,
    /// Where in `lines` a message is.
    places: HashMap<u64, usize>,
    /// Messages that are not empty, by direction and message id.
    by_id: HashMap<(bool, u16), Said>,
    /// Requests by direction and token.
    requests: HashMap<(bool, Token), Said>,
    /// Bytes of bodies that are sent in blocks, by the direction in which they are sent.
    sizes: HashMap<bool, u32>,
}

/// A message that others refer to.
#[derive(Clone)]
struct Said {
    id: u64,
    bytes: Box<[u8]>,
    subject: Option<Subject>,
    words: String,
}

impl Reading {
    fn line(&mut self, captured: &Captured, facts: &Facts<'_>) -> Line {
        let message = match Message::decode(&captured.bytes) {
            Ok(message) => message,
            Err(error) => return unreadable(captured, error),
        };
        if message.code == Code::EMPTY {
            return self.empty(captured, &message);
        }
        let up = captured.up;
        let same = self.by_id.get(&(up, message.message_id)).cloned();
        let original = same.filter(|said| said.bytes == captured.bytes);
        let asked = match message.code.is_request() {
            true => None,
            false => self.requests.get(&(!up, message.token)).cloned(),
        };
        let is_answer = !message.code.is_request();
        let observation = observation(&message, facts).filter(|_| is_answer && up);
        // What an observation tells is known by its token, as its first answer is.
        let is_notification = observation.is_some()
            && (message.kind != MessageType::Acknowledgement || asked.is_none());
        let subject = match (&asked, observation) {
            _ if !is_answer => Some(Subject::of(up, &message, facts.root)),
            (Some(asked), _) => asked.subject.clone(),
            (None, Some(seen)) => Some(Subject::observed(&seen.paths, seen.composite)),
            (None, None) => None,
        };
        let payload = payload::read(&message, subject.as_ref(), captured.is_cut(), facts);
        let kind = match (&subject, up) {
            (Some(subject), _) if subject.is_firmware() && !is_notification => Kind::Firmware,
            (Some(subject), _) => kind_of(subject.what, is_notification),
            (None, true) if is_answer => Kind::Data,
            (None, _) => Kind::Operation,
        };
        self.note_size(&message, up);
        let size = self.sizes.get(&is_sent_up(&message, up)).copied();
        let mut words = words::of(&Told {
            up,
            message: &message,
            subject: subject.as_ref(),
            is_notification,
            payload: &payload,
            size,
            facts,
        });
        let is_copy = captured.again || original.is_some();
        if is_copy {
            let copied = original.as_ref().map_or(&words, |said| &said.words);
            words = format!("A copy of message {}: {copied}", message.message_id);
        }
        if captured.is_cut() {
            words.push_str(" (only its head was kept)");
        }
        let said = Said {
            id: captured.id,
            bytes: captured.bytes.clone(),
            subject,
            words: words.clone(),
        };
        if original.is_none() {
            if message.code.is_request() {
                self.requests.insert((up, message.token), said.clone());
            }
            self.by_id.insert((up, message.message_id), said);
        }
        let Payload {
            values,
            text,
            note,
            format,
            is_hidden,
            ..
        } = payload;
        Line {
            kind,
            head: Some(head(&message)),
            words,
            is_copy,
            copy_of: original.map(|said| said.id),
            answers: asked.map(|asked| asked.id),
            options: options::shown(&message)
                .into_iter()
                .map(|(number, name, value)| OptionLine {
                    number,
                    name,
                    value,
                })
                .collect(),
            format,
            values,
            text,
            note,
            payload_bytes: message.payload.len(),
            bytes: secret::masked(&captured.bytes, is_hidden),
            ..bare(captured)
        }
    }

    /// An acknowledgement, a reset or a ping.
    fn empty(&self, captured: &Captured, message: &Message) -> Line {
        let id = message.message_id;
        let meant = self.by_id.get(&(!captured.up, id));
        let who = words::who(captured.up);
        let about = meant.map_or_else(String::new, |said| format!(" ({})", said.words));
        let words = match message.kind {
            MessageType::Acknowledgement => format!("{who} acknowledges message {id}{about}"),
            MessageType::Reset => format!("{who} rejects message {id}{about}"),
            MessageType::Confirmable => format!("{who} asks whether the other is there (ping)"),
            MessageType::NonConfirmable => format!("{who} sends an empty message"),
        };
        let words = match captured.again {
            true => format!("Once more: {words}"),
            false => words,
        };
        Line {
            kind: Kind::Ack,
            head: Some(head(message)),
            words,
            is_copy: captured.again,
            answers: meant.map(|said| said.id),
            bytes: captured.bytes.to_vec(),
            ..bare(captured)
        }
    }

    /// Remembers how long the body is that goes in blocks.
    fn note_size(&mut self, message: &Message, up: bool) {
        use crate::coap::number::{SIZE1, SIZE2};
        // Size1 is of the body of a request, Size2 of that of its answer, whoever says so.
        let asked_up = message.code.is_request() == up;
        for (option, up) in [(SIZE1, asked_up), (SIZE2, !asked_up)] {
            // A size of nothing in a request asks for it.
            if let Some(size) = message.options.uint(option).filter(|size| *size > 0) {
                self.sizes.insert(up, size);
            }
        }
    }
}

/// The direction in which the body goes that a message is a part of, or asks for.
fn is_sent_up(message: &Message, up: bool) -> bool {
    let asks = message.code.is_request() && message.payload.is_empty();
    let confirms =
        !message.code.is_request() && message.options.first(crate::coap::number::BLOCK1).is_some();
    if asks || confirms { !up } else { up }
}

fn observation<'a>(message: &Message, facts: &Facts<'a>) -> Option<&'a Observation> {
    let mut all = facts.observations.iter();
    all.find(|seen| seen.token == message.token)
}

fn kind_of(what: What, is_notification: bool) -> Kind {
    match what {
        What::Bootstrap | What::Deregister | What::Discovery | What::Register | What::Update => {
            Kind::Registration
        }
        What::Send => Kind::Data,
        What::Image => Kind::Firmware,
        What::Unknown => Kind::Other,
        What::Observe if is_notification => Kind::Data,
        _ => Kind::Operation,
    }
}

fn unreadable(captured: &Captured, error: DecodeError) -> Line {
    let who = words::who(captured.up);
    let words = match captured.is_cut() {
        true => format!("{who} sends a message of which too little was kept to read it"),
        false => format!("{who} sends what is no CoAP message: {error}"),
    };
    Line {
        words,
        note: Some("only the first 16 bytes are shown".to_owned()),
        bytes: secret::masked(&captured.bytes, true),
        ..bare(captured)
    }
}

fn bare(captured: &Captured) -> Line {
    Line {
        id: captured.id,
        time: captured.time(),
        micros: captured.micros,
        up: captured.up,
        is_secure: captured.is_secure,
        address: captured.address,
        wire: captured.wire,
        length: captured.length,
        is_cut: captured.is_cut(),
        kind: Kind::Other,
        head: None,
        words: String::new(),
        is_copy: captured.again,
        copy_of: None,
        answers: None,
        answered_by: None,
        options: Vec::new(),
        format: None,
        values: Vec::new(),
        text: None,
        note: None,
        payload_bytes: 0,
        bytes: Vec::new(),
    }
}

fn head(message: &Message) -> Head {
    Head {
        kind: match message.kind {
            MessageType::Confirmable => "CON",
            MessageType::NonConfirmable => "NON",
            MessageType::Acknowledgement => "ACK",
            MessageType::Reset => "RST",
        },
        code: message.code.to_string(),
        code_name: words::code_name(message.code),
        message_id: message.message_id,
        token: hex::encode(message.token.as_bytes()),
    }
}

impl Facts<'_> {
    /// What is at a path, by the object model: sensors are called what they measure.
    pub(super) fn name(&self, path: &Path) -> Option<String> {
        let object = path.object_id()?;
        let resource = path.resource_id();
        if resource == Some(SENSOR_VALUE)
            && let Some(model) = self.view.object(object)
        {
            return Some(model.name.clone());
        }
        match resource {
            Some(_) => self.view.at(path).map(|model| model.name.clone()),
            None => self.view.object(object).map(|model| model.name.clone()),
        }
    }

    /// The unit of a value: that of the model, or what the sensor tells of itself.
    pub(super) fn unit(&self, path: &Path) -> Option<String> {
        let model = self.view.at(path).and_then(|model| model.units.clone());
        let of_sensor = || {
            let is_sensor = path
                .resource_id()
                .is_some_and(|id| SENSOR_VALUES.contains(&id));
            self.units
                .get(&path.truncated(2))
                .filter(|_| is_sensor)
                .cloned()
        };
        let unit = model.filter(|unit| !unit.is_empty()).or_else(of_sensor)?;
        Some(match unit.as_str() {
            // SenML's name of it (RFC 8428 section 12.1).
            "/100" => "%".to_owned(),
            _ => unit,
        })
    }
}

/// Sensor Value.
const SENSOR_VALUE: u16 = 5700;
/// The value, and the least and largest of them and of the range (5601 to 5604).
const SENSOR_VALUES: [u16; 5] = [5700, 5601, 5602, 5603, 5604];

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
