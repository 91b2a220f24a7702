//! A device with a good credential that calls itself something else: the log says whose credential it
//! has, and the device is not told.

use flownexus::coap::Code;

use super::command::server_with_pump;
use crate::support::device::ScriptedDevice;
use crate::support::secure::Credentials;
use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};

const LINKS: &str = "</1/0>,</3/0>";

/// A device called `name` with the credential of the endpoint `pump`.
fn pump_as(server: &Server, name: &str) -> ScriptedDevice {
    let credentials = Credentials::psk("pump", DEVICE_KEY);
    let mut device = ScriptedDevice::secure(name, server.coaps(), credentials);
    device.handshake().expect("the credential of pump");
    device
}

#[tokio::test]
async fn the_credential_of_one_endpoint_does_not_speak_for_another_and_the_log_says_whose_it_is() {
    let server = server_with_pump().await;
    let mut unknown = pump_as(&server, "pumpp");
    let register = unknown.register(3600, LINKS);
    let answer = unknown.ask(&register);
    assert_eq!(answer.code, Code::FORBIDDEN);
    let said = String::from_utf8(answer.payload).expect("text");
    assert_eq!(said, "the credential is for another endpoint");
    let line = eventually("the refusal is logged", SOON, || async {
        let output = server.output();
        let line = output.lines().find(|line| line.contains("Refused coaps"));
        line.map(str::to_owned)
    })
    .await;
    assert!(
        line.contains(
            " as pumpp with the pre-shared key `pump` of `pump`: the credential is for another endpoint"
        ),
        "{line}"
    );
    // The credential still speaks for its own endpoint.
    pump_as(&server, "pump").register_now(3600, LINKS);
}

#[tokio::test]
async fn what_a_stranger_calls_itself_in_a_handshake_cannot_write_lines_into_the_log() {
    let server = Server::start().await;
    let identity = "x` is unknown\n\u{1b}[2K2026-01-01T00:00:00Z ERROR forged: disk full\r\nforged";
    let credentials = Credentials::psk(identity, DEVICE_KEY);
    let mut stranger = ScriptedDevice::secure("stranger", server.coaps(), credentials);
    stranger.handshake().expect_err("an unknown identity");
    let forged = eventually("the refusal is logged", SOON, || async {
        let output = server.output();
        let lines = output.lines().filter(|line| line.contains("forged"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    let [line] = forged.as_slice() else {
        panic!("several lines: {forged:#?}");
    };
    let quoted = r"the PSK identity `x` is unknown\n\u{1b}[2K2026-01-01T00:00:00Z ERROR forged: disk full\r\nforged` is unknown";
    assert!(
        line.contains("Refused coaps") && line.contains(quoted),
        "{line}"
    );
}
