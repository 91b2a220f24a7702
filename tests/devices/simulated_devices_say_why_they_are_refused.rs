//! `simulate` tells people what the server says to a device that it does not take.

use rstest::rstest;

use super::command::{Simulate, server_with_pump};
use crate::support::server::{SOON, Server, eventually};

#[tokio::test]
async fn the_code_and_the_reason_of_a_refused_register_are_told_for_each_device() {
    let server = Server::setup()
        .setting("registration.unknown_endpoints", "deny")
        .start()
        .await;
    let url = format!("coap://{}", server.coap());
    let simulate = Simulate::start(&["--server", &url, "-n", "2", "--prefix", "pump-"]);
    for name in ["pump-1", "pump-2"] {
        let said = simulate
            .says(&format!("refuses the Register of {name}: "))
            .await;
        let reason =
            "4.03 only devices with credentials may register (registration.unknown_endpoints)";
        assert!(said.contains(reason), "{said}");
    }
}

#[rstest]
#[case(
    "pump:00112233445566778899aabbccddeeff",
    " as pump: ",
    "the key of the PSK identity `pump` is wrong"
)]
#[case(
    "nobody:00112233445566778899aabbccddeeff",
    " as nobody we know: ",
    "the PSK identity `nobody` is unknown"
)]
#[tokio::test]
async fn a_key_that_does_not_fit_is_named_in_the_log_of_the_server(
    #[case] psk: &str,
    #[case] name: &str,
    #[case] reason: &str,
) {
    let server = server_with_pump().await;
    let url = format!("coaps://{}", server.coaps());
    let simulate = Simulate::start(&["--server", &url, "--psk", psk]);
    // The device learns the same in both cases.
    let said = simulate.says("No DTLS session for ").await;
    assert!(said.contains("alert 51 (decrypt error)"), "{said}");
    eventually("the log has the reason", SOON, || async {
        let output = server.output();
        let mut lines = output.lines();
        lines
            .any(|line| line.contains(name) && line.contains(reason))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_device_under_another_name_than_its_credential_says_is_told_so() {
    let server = server_with_pump().await;
    let url = format!("coaps://{}", server.coaps());
    let psk = format!("pump:{}", hex::encode(crate::support::server::DEVICE_KEY));
    let simulate = Simulate::start(&["--server", &url, "--prefix", "valve-", "--psk", &psk]);
    let said = simulate.says("refuses the Register of valve-1: ").await;
    // It is not told whose the credential is.
    assert!(
        said.contains("4.03 the credential is for another endpoint") && !said.contains("pump"),
        "{said}"
    );
}
