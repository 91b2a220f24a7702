//! What a message is for, at a glance: without reading more than its head and its path, and without memory.

use crate::coap::{Code, Datagram, MessageType, number};
use crate::domain::{Token, TrafficKind};

/// What was asked last between us and one peer, so that answers are known by it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// The last requests of the peer.
    up: [Option<Request>; 2],
    /// The last requests to it.
    down: [Option<Request>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Request {
    message_id: u16,
    token: Token,
    kind: TrafficKind,
    /// What answered it: the same once more is a copy.
    answered_by: Option<(u16, u8)>,
}

impl Asked {
    /// The kind of a message; `is_copy` is what the message layer knows of it.
    pub(super) fn kind(&mut self, up: bool, message: &[u8], is_copy: bool) -> TrafficKind {
        if is_copy {
            return TrafficKind::Retransmission;
        }
        let Ok(message) = Datagram::read(message) else {
            return TrafficKind::Data;
        };
        if message.code.is_request() {
            let kind = kind_of_request(up, &message);
            let own = if up { &mut self.up } else { &mut self.down };
            let [newest, before] = own;
            *before = newest.replace(Request {
                message_id: message.message_id,
                token: message.token,
                kind,
                answered_by: None,
            });
            return kind;
        }
        let others = if up { &mut self.down } else { &mut self.up };
        let is_empty = message.code == Code::EMPTY;
        let mut others = others.iter_mut().flatten();
        let asked = others.find(|asked| match is_empty {
            true => asked.message_id == message.message_id,
            false => asked.token == message.token,
        });
        match asked {
            Some(asked) => {
                let answer = (message.message_id, message.code.to_byte());
                // An answer in the acknowledgement has the id of its request: heard twice, it is a copy.
                let again = message.kind == MessageType::Acknowledgement
                    && asked.answered_by.replace(answer) == Some(answer);
                match again {
                    true => TrafficKind::Retransmission,
                    false => asked.kind,
                }
            }
            None => TrafficKind::Data,
        }
    }
}

fn kind_of_request(up: bool, message: &Datagram<'_>) -> TrafficKind {
    let mut path = message
        .options()
        .filter(|(option, _)| *option == number::URI_PATH)
        .map(|(_, segment)| segment);
    let first = path.next().unwrap_or_default();
    match (up, first) {
        (true, b"rd" | b"bs") => TrafficKind::Registration,
        (true, b"binaries") => TrafficKind::Firmware,
        (true, _) => TrafficKind::Data,
        // The objects of a device may lie below one segment of its own, such as `lwm2m`.
        (false, b"5") => TrafficKind::Firmware,
        (false, first) if !is_number(first) && path.next() == Some(b"5") => TrafficKind::Firmware,
        (false, _) => TrafficKind::Data,
    }
}

fn is_number(segment: &[u8]) -> bool {
    segment.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::{Message, Options};

    fn message(kind: MessageType, code: Code, id: u16, token: u8, path: &str) -> Vec<u8> {
        let mut options = Options::new();
        options.add_uri_path(path);
        Message {
            kind,
            code,
            message_id: id,
            token: Token::from([token; 8]),
            options,
            payload: Vec::new(),
        }
        .encode()
    }

    #[test]
    fn answers_and_acknowledgements_are_of_the_kind_of_what_they_answer() {
        use MessageType::{Acknowledgement, Confirmable};
        let mut asked = Asked::default();
        let register = message(Confirmable, Code::POST, 1, 1, "/rd");
        assert_eq!(
            asked.kind(true, &register, false),
            TrafficKind::Registration
        );
        let created = message(Acknowledgement, Code::CREATED, 1, 1, "");
        assert_eq!(
            asked.kind(false, &created, false),
            TrafficKind::Registration
        );
        assert_eq!(
            asked.kind(false, &created, true),
            TrafficKind::Retransmission
        );
        let block = message(Confirmable, Code::PUT, 9, 2, "/lwm2m/5/0/0");
        assert_eq!(asked.kind(false, &block, false), TrafficKind::Firmware);
        let answer = message(Acknowledgement, Code::CONTINUE, 9, 2, "");
        assert_eq!(asked.kind(true, &answer, false), TrafficKind::Firmware);
        assert_eq!(
            asked.kind(true, &answer, false),
            TrafficKind::Retransmission,
            "the same answer once more"
        );
        let notification = message(Confirmable, Code::CONTENT, 7, 5, "");
        assert_eq!(asked.kind(true, &notification, false), TrafficKind::Data);
        let seen = Message::empty(Acknowledgement, 7).encode();
        assert_eq!(asked.kind(false, &seen, false), TrafficKind::Data);
    }

    #[test]
    fn what_is_no_message_counts_as_data() {
        let mut asked = Asked::default();
        assert_eq!(asked.kind(true, b"", false), TrafficKind::Data);
        assert_eq!(asked.kind(true, &[0xff; 9], false), TrafficKind::Data);
        let read = message(MessageType::Confirmable, Code::GET, 1, 1, "/55/0/5");
        assert_eq!(asked.kind(false, &read, false), TrafficKind::Data);
    }
}
