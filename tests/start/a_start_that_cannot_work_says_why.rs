//! A port in use, a folder in use or unwritable, a wrong setting: exit code 1 and one sentence.

use std::process::{Command, Output};

use crate::support::server::Server;

pub(super) fn serve(settings: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_flownexus"));
    command
        .arg("serve")
        .env("FLOWNEXUS__DATA_DIR", folder.path())
        .env("FLOWNEXUS__COAP__LISTEN", "127.0.0.1:0")
        .env("FLOWNEXUS__WEB__LISTEN", "127.0.0.1:0")
        .env("FLOWNEXUS__FIRMWARE__LISTEN", "127.0.0.1:0")
        .env("FLOWNEXUS__LOG__LEVEL", "error");
    for (name, value) in settings {
        command.env(format!("FLOWNEXUS__{name}"), value);
    }
    command.output().expect("the binary runs")
}

#[track_caller]
pub(super) fn assert_says(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "`{word}` is not in: {said}");
    }
    assert!(
        !said.contains("panicked") && !said.contains("RUST_BACKTRACE"),
        "{said}"
    );
}

#[tokio::test]
async fn a_coap_port_in_use_is_named() {
    let server = Server::start().await;
    let output = serve(&[("COAP__LISTEN", &server.coap().to_string())]);
    assert_says(&output, &["CoAP", &server.coap().to_string()]);
}

#[tokio::test]
async fn a_web_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = serve(&[("WEB__LISTEN", &address)]);
    assert_says(&output, &["web.listen", &address]);
}

#[tokio::test]
async fn a_port_of_firmware_images_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let settings = [
        ("FIRMWARE__LISTEN", address.as_str()),
        ("COAPS__ENABLED", "false"),
    ];
    assert_says(&serve(&settings), &["firmware.listen", &address]);
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_refuses_to_start() {
    let server = Server::start().await;
    let output = serve(&[("DATA_DIR", &server.data_dir().display().to_string())]);
    assert_says(&output, &[&server.data_dir().display().to_string()]);
}

#[test]
fn an_unwritable_folder_is_named() {
    // A file is where the folder should be: that holds for root too.
    let file = tempfile::NamedTempFile::new().expect("a file");
    let output = serve(&[("DATA_DIR", &file.path().display().to_string())]);
    assert_says(&output, &[&file.path().display().to_string()]);
}

#[test]
fn an_unknown_setting_is_named() {
    let output = serve(&[("COAP__LISTENN", "127.0.0.1:0")]);
    assert_says(&output, &["listenn"]);
}

#[test]
fn a_setting_of_the_wrong_type_is_named() {
    let output = serve(&[("COAP__MAX_RETRANSMIT", "often")]);
    assert_says(&output, &["max_retransmit"]);
}

#[test]
fn a_block_list_with_a_slip_is_named() {
    let output = serve(&[("ADMISSION__BLOCK", "192.0.2.7,198.51.100.9/24")]);
    assert_says(&output, &["198.51.100.9/24", "198.51.100.0/24"]);
    let output = serve(&[("ADMISSION__BLOCK", "somewhere")]);
    assert_says(&output, &["somewhere", "IP address"]);
}
