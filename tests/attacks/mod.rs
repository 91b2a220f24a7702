//! Bad inputs and attacks over real UDP (`attacks.md`, by their numbers): each is sent, its outcome
//! is expected, and then a good device is served and what the server counts is back where it was.
//!
//! What needs a raw socket (10: a source that is no sender) is shown by the message layer's own tests;
//! a forged source (11) is one that never answers.

mod addresses_that_are_not_proven;
mod addresses_that_others_choose;
mod blockwise_transfers_that_go_wrong;
mod certificates_that_break_parsers;
mod datagrams_that_are_no_messages;
mod downloads_that_go_wrong;
mod floods_of_handshakes;
mod forged_records;
mod handshakes_out_of_order;
mod handshakes_that_hoard;
mod handshakes_with_gaps;
mod limits_that_are_rushed;
mod messages_out_of_their_place;
mod payloads_that_blow_up;
mod raw_handshakes;
mod records_that_lie;
mod registrations_that_lie;
mod sessions_that_move;
mod web_clients_that_never_read;
mod web_requests_that_wait;
mod what_changes_meanwhile;

use std::time::Instant;

use serde_json::json;

use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, Server, Setup, eventually};
use flownexus::coap::{Code, Message, MessageType, Options};
use flownexus::domain::Token;

/// What the server holds for its peers.
const GAUGES: [&str; 3] = [
    "flownexus_coap_exchanges",
    "flownexus_coap_transfers",
    "flownexus_coap_transfer_memory_bytes",
];

/// A server under attack.
pub(crate) struct Siege {
    pub(crate) server: Server,
    before: Vec<f64>,
}

impl Siege {
    /// With these settings; unfinished transfers are given up after a second.
    pub(crate) async fn begin(settings: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = Server::setup().setting("coap.transfer_timeout_s", 1);
        let server = settings(setup).start().await;
        let mut before = Vec::new();
        for gauge in GAUGES {
            before.push(server.metric(gauge).await);
        }
        Self { server, before }
    }

    /// A device with a socket of its own.
    pub(crate) fn device(&self, name: &str) -> ScriptedDevice {
        ScriptedDevice::new(name, self.server.coap())
    }

    /// A good device registers, is asked and answers; nothing of the attack is left.
    pub(crate) async fn ends_well(self) {
        let api = self.server.api();
        let mut good = self.device("good-device");
        good.register_now(300, "</1/0>");
        let body = json!({"kind": "read", "path": "/1/0/1"});
        let operation = api.operate(good.name(), &body).await;
        let read = good.expect_request(Code::GET, "/1/0/1");
        good.answer_content(&read, 0, b"300");
        assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
        for (gauge, before) in GAUGES.into_iter().zip(&self.before) {
            eventually(&format!("{gauge} is back at {before}"), SOON, || async {
                let now = self.server.metric(gauge).await;
                (now <= *before).then_some(())
            })
            .await;
        }
        let deregister = good.deregister();
        assert_eq!(good.ask(&deregister).code, Code::DELETED);
    }
}

/// Fails when the server sends anything before it answers a ping: silence, without waiting for it.
#[track_caller]
pub(crate) fn expect_nothing(device: &mut ScriptedDevice, after: &str) {
    let ping = Message::empty(MessageType::Confirmable, device.next_message_id());
    device.send(&ping);
    let answer = device.expect("a pong");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, ping.message_id),
        "after {after}: {answer:?}"
    );
}

/// Resident memory of the server's process, in KB.
pub(crate) fn resident_kb(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process_id()));
    let status = status.expect("Linux, and a process that runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("VmRSS")
}

/// A request with these options and this body, confirmable, of a device that counts only its
/// message ids.
pub(crate) fn request(
    device: &mut ScriptedDevice,
    code: Code,
    path: &str,
    options: &[(u16, &[u8])],
    payload: &[u8],
) -> Message {
    let mut all: Options = options.iter().copied().collect();
    all.add_uri_path(path);
    Message {
        kind: MessageType::Confirmable,
        code,
        message_id: device.next_message_id(),
        token: Token::new(&[7]).expect("one byte"),
        options: all,
        payload: payload.to_vec(),
    }
}

/// Bytes that look random and are the same in every run.
pub(crate) fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

/// How long an attack took must not depend on how bad the input is.
pub(crate) fn quickly(began: Instant, what: &str) {
    let took = began.elapsed();
    assert!(took < SOON, "{what}: {took:?}");
}
