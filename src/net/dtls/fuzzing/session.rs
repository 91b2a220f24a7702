//! A session after its handshake, with a peer that has the keys and no manners, or none of both.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::super::aead::{Aead, Ciphers, Secret, Use};
use super::super::cid::Cid;
use super::super::record::{EPOCH, LONGEST_TEXT, Numbers, RecordLayer};
use super::super::records::{ALERT, APPLICATION_DATA, CID, FINISHED, HANDSHAKE, Records};
use super::super::session::{After, Carrier, Session, Tools};
use super::super::takeover::Flight;
use super::super::window::Window;
use super::Script;
use crate::domain::{CredentialKind, EndpointName, Identity, SessionId};

/// Drives a session of ours with known keys through whatever the bytes say. Nothing of it panics; every
/// genuine text is taken once and nothing else is; a datagram is answered at most once, by a few bytes; no
/// number is used twice, also when the session goes on after a restart.
///
/// The first byte of a script chooses the cipher, the connection ids and whether the last flight of the
/// handshake is kept. Behind it is a row of steps; the lower three bits of a step's first byte say what
/// happens:
///
/// | step | bytes behind it | what happens |
/// |---|---|---|
/// | 0 | length (2), bytes | a datagram |
/// | 1 | type, number (2), padding, length (2), bytes | a record with the right keys goes into the next datagram |
/// | 2 | | that datagram is delivered |
/// | 3 | which, place, change | the same with a byte spoilt |
/// | 4 | which | a datagram that was delivered before comes again |
/// | 5 | length (2) | we send a message |
/// | 6 | | the flight cannot be asked for any more |
/// | 7 | | the server ends and goes on |
pub fn session(script: &[u8]) {
    let mut driver = Driver::new(script);
    while driver.step().is_some() {}
}

struct Driver<'a> {
    script: Script<'a>,
    tools: Tools,
    session: Session,
    /// The peer's.
    ciphers: Ciphers,
    theirs: RecordLayer,
    /// The records that are to be delivered: their numbers, types and texts.
    next: Vec<u8>,
    sealed: Vec<(u64, u8, Vec<u8>)>,
    delivered: Vec<Vec<u8>>,
    window: BTreeSet<u64>,
    sent: BTreeSet<u64>,
    /// What a restart would begin at.
    mark: u64,
    flight: usize,
    is_over: bool,
}

impl<'a> Driver<'a> {
    fn new(script: &'a [u8]) -> Self {
        let mut script = Script(script);
        let choice = script.byte().unwrap_or_default();
        let aead = Aead::ALL[usize::from(choice) % Aead::ALL.len()];
        let name = |bit: u8, bytes: &[u8]| {
            let bytes = if choice & bit == 0 { &[] } else { bytes };
            Cid::new(bytes).unwrap_or_default()
        };
        let mut fixed = [0; 12];
        fixed[..aead.fixed()].fill(3);
        let secret = |byte| Secret {
            key: [byte; 32],
            fixed,
        };
        let ours = RecordLayer {
            aead,
            inbound: secret(1),
            outbound: secret(2),
            window: Window::default(),
            numbers: Numbers { next: 0, end: STEP },
            own: name(16, b"\x19\0own6"),
            peer: name(32, b"\0peer"),
        };
        let mut theirs = RecordLayer {
            inbound: ours.outbound.clone(),
            outbound: ours.inbound.clone(),
            own: ours.peer,
            peer: ours.own,
            ..ours
        };
        theirs.numbers.end = u64::MAX;
        let flight = (choice & 64 != 0).then(|| Box::new(Flight::of_one(FLIGHT)));
        let identity = Identity {
            anchor: None,
            endpoint: EndpointName::new("device").expect("a name"),
            others: Vec::new(),
            kind: CredentialKind::Psk,
            credential: None,
            label: "device".to_owned(),
        };
        let address = SocketAddr::from(([192, 0, 2, 1], 5684));
        let has_flight = usize::from(flight.is_some());
        Self {
            script,
            tools: Tools::default(),
            session: Session::new(
                SessionId(1),
                address,
                Arc::new(identity),
                &[0; 32],
                Carrier::own(ours, flight),
                Instant::now(),
            ),
            ciphers: Ciphers::default(),
            theirs,
            next: Vec::new(),
            sealed: Vec::new(),
            delivered: Vec::new(),
            window: BTreeSet::new(),
            sent: BTreeSet::new(),
            mark: STEP,
            flight: has_flight,
            is_over: false,
        }
    }

    fn step(&mut self) -> Option<()> {
        if self.is_over {
            return None;
        }
        match self.script.byte()? & 7 {
            0 => {
                let datagram = self.script.bytes()?.to_vec();
                self.deliver(&datagram, Vec::new());
            }
            1 => self.record()?,
            2 => {
                let datagram = std::mem::take(&mut self.next);
                let sealed = std::mem::take(&mut self.sealed);
                self.deliver(&datagram, sealed);
                self.delivered.push(datagram);
            }
            3 => {
                let [which, place, change] = [
                    self.script.byte()?,
                    self.script.byte()?,
                    self.script.byte()?,
                ];
                let mut datagram = self.earlier(which)?;
                let place = usize::from(place) % datagram.len().max(1);
                if let Some(byte) = datagram.get_mut(place) {
                    *byte ^= change;
                }
                // What is left of it was delivered before, or is not genuine.
                self.deliver(&datagram, Vec::new());
            }
            4 => {
                let which = self.script.byte()?;
                let datagram = self.earlier(which)?;
                self.deliver(&datagram, Vec::new());
            }
            5 => {
                let [high, low] = [self.script.byte()?, self.script.byte()?];
                let length = u16::from_be_bytes([high, low]).into();
                let sealed = self.session.carrier.seal(&mut self.tools, &vec![5; length]);
                let has_numbers = self.numbers().next < self.numbers().end;
                match sealed {
                    Ok(sealed) => {
                        let (kind, text) = self.read(&sealed);
                        assert_eq!((kind, text.len()), (APPLICATION_DATA, length));
                    }
                    Err(_) => assert!(length > LONGEST_TEXT || !has_numbers),
                }
            }
            6 => {
                self.session.carrier.forget_flight();
                self.flight = 0;
            }
            _ => self.restart(),
        }
        Some(())
    }

    /// One with the keys, for the next datagram.
    fn record(&mut self) -> Option<()> {
        let kind = self.script.byte()?;
        let number = u64::from(u16::from_be_bytes([
            self.script.byte()?,
            self.script.byte()?,
        ]));
        let padding = usize::from(self.script.byte()?);
        let text = self.script.bytes()?.to_vec();
        if self.next.len() + text.len() > LONGEST_DATAGRAM {
            return Some(());
        }
        let cid = self.theirs.peer;
        if cid.is_empty() {
            self.theirs.numbers.next = number;
            if let Ok(record) = self.theirs.seal(&mut self.ciphers, kind, &text) {
                self.next.extend(record);
                // With a connection id where none was agreed upon.
                if kind != CID {
                    self.sealed.push((number, kind, text));
                }
            }
            return Some(());
        }
        let mut inner = text.clone();
        inner.push(kind);
        inner.resize(inner.len() + padding, 0);
        let record = named(&mut self.ciphers, &self.theirs, number, &inner);
        self.next.extend(record);
        // The type is the last byte that is not zero (RFC 9146 section 4).
        let end = inner.iter().rposition(|byte| *byte != 0);
        if let Some(end) = end
            && end <= LONGEST_TEXT
        {
            let kind = inner[end];
            inner.truncate(end);
            self.sealed.push((number, kind, inner));
        }
        Some(())
    }

    /// A datagram comes in which these records are genuine, and no others.
    fn deliver(&mut self, datagram: &[u8], sealed: Vec<(u64, u8, Vec<u8>)>) {
        let mut expected = Vec::new();
        let mut is_heard = false;
        for (number, kind, text) in sealed {
            let highest = self.window.last().copied();
            let is_old = highest.is_some_and(|highest| number + 64 <= highest);
            if self.is_over || is_old || !self.window.insert(number) {
                continue;
            }
            is_heard = true;
            match (kind, &text[..]) {
                (APPLICATION_DATA, _) => expected.push(text),
                (ALERT, [_, 0] | [2, _]) => self.is_over = true,
                _ => {}
            }
        }
        let (mut taken, mut answers) = (Vec::new(), Vec::new());
        let after = self.session.open(
            Instant::now(),
            Some(datagram),
            &mut self.tools,
            &mut |message| taken.push(message.to_vec()),
            &mut |answer| answers.push(answer),
        );
        assert_eq!(taken, expected);
        match after {
            After::Closed(_) => assert!(self.is_over),
            After::Heard { .. } => assert!(is_heard && !self.is_over),
            After::Unheard => assert!(!is_heard),
        }
        assert!(answers.len() <= 1, "one for a datagram at most");
        for answer in &answers {
            assert!(is_heard, "a stranger is not answered");
            let (kind, text) = self.read(answer);
            match kind {
                ALERT => assert!(matches!(text[..], [1, 0 | 100]), "{text:02x?}"),
                HANDSHAKE => assert_eq!((&text[..], self.flight), (FLIGHT, 1)),
                kind => panic!("an answer of type {kind}"),
            }
        }
    }

    /// What the peer reads; the number is new.
    fn read(&mut self, datagram: &[u8]) -> (u8, Vec<u8>) {
        let mut records = Records::with_cid(datagram, self.theirs.own.as_bytes().len());
        let record = records.next().expect("a record");
        assert!(records.rest().is_empty(), "and nothing behind it");
        assert!(
            self.sent.insert(record.sequence()),
            "a number was used twice"
        );
        assert!(
            record.sequence() < self.mark,
            "a number that was not reserved"
        );
        let mut text = Vec::new();
        let opened = self.theirs.open(&mut self.ciphers, record, &mut text);
        (opened.expect("genuine, and the newest").kind, text)
    }

    fn earlier(&self, which: u8) -> Option<Vec<u8>> {
        let place = usize::from(which).checked_rem(self.delivered.len())?;
        self.delivered.get(place).cloned()
    }

    fn numbers(&self) -> Numbers {
        let layer = self.session.layer().expect("ours");
        layer.numbers
    }

    /// As the store and `life` do it.
    fn restart(&mut self) {
        let mut layer = self.session.layer().expect("ours").clone();
        layer.window = Window::from_kept(layer.window.kept());
        layer.numbers = Numbers {
            next: self.mark,
            end: self.mark + STEP,
        };
        self.mark += STEP;
        self.session.carrier = Carrier::own(layer, None);
        self.flight = 0;
    }
}

/// A record with a connection id around this.
fn named(ciphers: &mut Ciphers, layer: &RecordLayer, number: u64, inner: &[u8]) -> Vec<u8> {
    let sequence = (u64::from(EPOCH) << 48 | number).to_be_bytes();
    let cid = layer.peer.as_bytes();
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
    let [cid_length, ..] = cid.len().to_le_bytes();
    let head = [CID, cid_length, CID, 0xfe, 0xfd];
    let beside = [&[0xff; 8][..], &head, &sequence, cid, &length(inner.len())].concat();
    let with = Use {
        aead: layer.aead,
        secret: &layer.outbound,
        explicit: sequence,
        beside: &beside,
    };
    let mut body = sequence[..layer.aead.explicit()].to_vec();
    ciphers.seal(with, inner, &mut body).expect("OpenSSL works");
    let head = [&[CID, 0xfe, 0xfd][..], &sequence, cid, &length(body.len())];
    [&head.concat()[..], &body].concat()
}

/// Numbers that are reserved at once.
const STEP: u64 = 40;
/// What a datagram over UDP holds.
const LONGEST_DATAGRAM: usize = 40_000;
/// A Finished.
const FLIGHT: &[u8] = &[
    FINISHED, 0, 0, 12, 0, 3, 0, 0, 0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];
