//! `simulate` tells people what the server says to a device that it does not take.

use super::command::Simulate;
use crate::support::server::Server;

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

#[tokio::test]
async fn a_device_under_another_name_than_its_credential_says_is_told_so() {
    let server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    // The handshake shows that the server has taken note of the credential.
    drop(server.secure_device("pump"));
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
