//! Faults on the way between a device and its server, without I/O: datagrams and the time go in,
//! datagrams come out. What is no CoAP message passes as it is.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use crate::coap::{Message, MessageType};
use crate::domain::Token;

use super::quirks::{Answers, Quirks};

/// What becomes of the datagrams of one device.
#[derive(Debug)]
pub(super) struct Faults {
    quirks: Quirks,
    /// Datagrams of both directions.
    seen: u32,
    /// Separate answers that wait for their time, in its order.
    waiting: VecDeque<(Instant, Vec<u8>)>,
    /// Of the messages that were made here: the device knows nothing of them.
    own: BTreeSet<u16>,
    next_message_id: u16,
}

impl Faults {
    /// Ids of messages that are made here begin at `seed`.
    pub(super) fn new(quirks: Quirks, seed: u16) -> Self {
        Self {
            quirks,
            seen: 0,
            waiting: VecDeque::new(),
            own: BTreeSet::new(),
            next_message_id: seed,
        }
    }

    /// Other faults from now on; what waits still goes out.
    pub(super) fn change(&mut self, quirks: Quirks) {
        self.quirks = quirks;
        self.seen = 0;
    }

    /// What the server gets, at once, of what the device sent.
    pub(super) fn take_from_device(&mut self, now: Instant, datagram: Vec<u8>) -> Vec<Vec<u8>> {
        let sent = match Message::decode(&datagram) {
            Ok(message) if is_answer(&message) => self.answer(now, message, datagram),
            _ => vec![datagram],
        };
        sent.into_iter().filter(|_| !self.is_lost()).collect()
    }

    /// What the device gets of what the server sent.
    pub(super) fn take_from_server(&mut self, datagram: Vec<u8>) -> Option<Vec<u8>> {
        let passes = !self.is_lost();
        if let Ok(message) = Message::decode(&datagram)
            && matches!(
                message.kind,
                MessageType::Acknowledgement | MessageType::Reset
            )
            && self.own.remove(&message.message_id)
        {
            return None;
        }
        passes.then_some(datagram)
    }

    /// When [`Faults::due`] has something.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, _)| *at)
    }

    /// The separate answers whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut due = Vec::new();
        while let Some((_, datagram)) = self.waiting.pop_front_if(|(at, _)| *at <= now) {
            if !self.is_lost() {
                due.push(datagram);
            }
        }
        due
    }

    fn answer(&mut self, now: Instant, message: Message, datagram: Vec<u8>) -> Vec<Vec<u8>> {
        let acknowledgement =
            || Message::empty(MessageType::Acknowledgement, message.message_id).encode();
        match self.quirks.answers {
            Answers::AcknowledgementOnly => vec![acknowledgement()],
            Answers::AtOnce => vec![datagram],
            Answers::Never => Vec::new(),
            Answers::Separately(delay) => {
                let acknowledgement = acknowledgement();
                let separate = self.separate(message);
                self.waiting.push_back((now + delay, separate));
                vec![acknowledgement]
            }
            Answers::Twice => vec![datagram, self.separate(message)],
            Answers::WrongToken => {
                let token: Vec<u8> = message.token.as_bytes().iter().map(|byte| !byte).collect();
                let token = Token::new(&token).unwrap_or_default();
                vec![Message { token, ..message }.encode()]
            }
        }
    }

    /// The answer as a confirmable message of its own (RFC 7252 section 5.2.2). The relay does not
    /// send it again: nothing else is lost on its way.
    fn separate(&mut self, message: Message) -> Vec<u8> {
        let message_id = self.next_message_id;
        self.next_message_id = self.next_message_id.wrapping_add(1);
        self.own.insert(message_id);
        Message {
            kind: MessageType::Confirmable,
            message_id,
            ..message
        }
        .encode()
    }

    fn is_lost(&mut self) -> bool {
        self.seen = self.seen.saturating_add(1);
        let unlucky = |every: u32| self.seen.is_multiple_of(every.max(1));
        self.quirks.loses_every.is_some_and(unlucky)
            || self.quirks.passes.is_some_and(|passes| self.seen > passes)
    }
}

/// An answer to a request of the server comes with the acknowledgement of it.
fn is_answer(message: &Message) -> bool {
    message.kind == MessageType::Acknowledgement && message.code.class() >= 2
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::coap::{Code, Options};

    fn message(kind: MessageType, code: Code, message_id: u16) -> Message {
        Message {
            kind,
            code,
            message_id,
            token: Token::from([7; 8]),
            options: Options::new(),
            payload: b"21.5".to_vec(),
        }
    }

    fn answer() -> Message {
        message(MessageType::Acknowledgement, Code::CONTENT, 17)
    }

    fn faults(answers: Answers) -> Faults {
        let quirks = Quirks {
            answers,
            ..Quirks::default()
        };
        Faults::new(quirks, 1000)
    }

    fn sent(faults: &mut Faults, now: Instant, message: &Message) -> Vec<Message> {
        faults
            .take_from_device(now, message.encode())
            .iter()
            .map(|datagram| Message::decode(datagram).expect("a message"))
            .collect()
    }

    #[test]
    fn async_an_answer_comes_separately_after_its_delay() {
        let start = Instant::now();
        let delay = Duration::from_millis(500);
        let mut faults = faults(Answers::Separately(delay));
        let acknowledged = sent(&mut faults, start, &answer());
        assert_eq!(
            acknowledged,
            [Message::empty(MessageType::Acknowledgement, 17)]
        );
        assert_eq!(faults.next_timeout(), Some(start + delay));
        assert!(faults.due(start + Duration::from_millis(499)).is_empty());
        let due = faults.due(start + delay);
        let separate = Message::decode(due.first().expect("due")).expect("a message");
        assert_eq!(
            separate,
            Message {
                kind: MessageType::Confirmable,
                message_id: 1000,
                ..answer()
            }
        );
        assert_eq!(faults.next_timeout(), None);
        let acknowledgement = |id| Message::empty(MessageType::Acknowledgement, id).encode();
        assert_eq!(
            faults.take_from_server(acknowledgement(1000)),
            None,
            "the device has sent no such message"
        );
        assert!(faults.take_from_server(acknowledgement(1001)).is_some());
    }

    #[test]
    fn an_answer_is_only_acknowledged_or_does_not_come_at_all() {
        let now = Instant::now();
        let mut acknowledges = faults(Answers::AcknowledgementOnly);
        assert_eq!(
            sent(&mut acknowledges, now, &answer()),
            [Message::empty(MessageType::Acknowledgement, 17)]
        );
        assert_eq!(acknowledges.next_timeout(), None);
        assert_eq!(sent(&mut faults(Answers::Never), now, &answer()), []);
    }

    #[test]
    fn an_answer_comes_twice_or_under_a_wrong_token() {
        let now = Instant::now();
        let twice = sent(&mut faults(Answers::Twice), now, &answer());
        assert_eq!(twice.first(), Some(&answer()));
        let second = twice.get(1).expect("a second answer");
        assert_eq!(
            (second.kind, second.token, &second.payload),
            (MessageType::Confirmable, answer().token, &answer().payload)
        );
        let wrong = sent(&mut faults(Answers::WrongToken), now, &answer());
        let token = Token::from([!7; 8]);
        assert_eq!(wrong, [Message { token, ..answer() }]);
    }

    #[test]
    fn what_is_no_answer_passes_whatever_becomes_of_answers() {
        let now = Instant::now();
        let mut faults = faults(Answers::Never);
        for other in [
            message(MessageType::Confirmable, Code::POST, 1),
            message(MessageType::Confirmable, Code::CONTENT, 2),
            Message::empty(MessageType::Acknowledgement, 3),
        ] {
            assert_eq!(sent(&mut faults, now, &other), [other]);
        }
        let rubbish = b"\xff\xff".to_vec();
        assert_eq!(faults.take_from_device(now, rubbish.clone()), [rubbish]);
    }

    #[test]
    fn every_nth_datagram_is_lost_and_after_so_many_all_are() {
        let now = Instant::now();
        let quirks = Quirks {
            loses_every: Some(3),
            ..Quirks::default()
        };
        let mut faults = Faults::new(quirks, 0);
        let passed: Vec<bool> = (0..7)
            .map(|at| match at % 2 {
                0 => !sent(&mut faults, now, &answer()).is_empty(),
                _ => faults.take_from_server(answer().encode()).is_some(),
            })
            .collect();
        assert_eq!(passed, [true, true, false, true, true, false, true]);
        faults.change(Quirks {
            passes: Some(2),
            ..Quirks::default()
        });
        let passed: Vec<usize> = (0..4)
            .map(|_| sent(&mut faults, now, &answer()).len())
            .collect();
        assert_eq!(passed, [1, 1, 0, 0]);
        faults.change(Quirks::default());
        assert_eq!(sent(&mut faults, now, &answer()), [answer()]);
    }
}
