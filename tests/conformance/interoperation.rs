//! Programs of others against the server: `libcoap`'s client and `openssl s_client`. Where one is not
//! installed its tests are skipped, which is said on standard error, unless `FLOWNEXUS_TEST_REQUIRE`
//! names it.

use std::process::{Command, Output, Stdio};

use super::bench::ALERT;
use super::credentials::{KEY, OTHER_KEY, add_psk, connected, made_by_the_command};
use crate::support::secure::Credentials;
use crate::support::server::Server;

const COAP_CLIENT: &str = "coap-client-openssl";

/// What a program says; nothing where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    match run {
        Ok(output) => Some(output),
        Err(error) => {
            let required = std::env::var("FLOWNEXUS_TEST_REQUIRE")
                .is_ok_and(|all| all.split(',').any(|one| one.trim() == program));
            assert!(!required, "{program} is required, but: {error}");
            eprintln!("SKIPPED: the program `{program}` is not installed ({error})");
            None
        }
    }
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// Has `libcoap` register under this name with these credentials; nothing where it is missing.
fn libcoap_registers(server: &Server, name: &str, credentials: &[&str]) -> Option<Output> {
    let port = server.coaps().port();
    let uri = format!("coaps://127.0.0.1:{port}/rd?ep={name}&lt=300&lwm2m=1.1&b=U");
    let request = ["-m", "post", "-t", "40", "-e", "</1/0>,</3/0>", "-B", "5"];
    run(
        COAP_CLIENT,
        &[&request, credentials, &[uri.as_str()]].concat(),
    )
}

#[tokio::test]
async fn libcoap_registers_with_a_pre_shared_key_and_not_with_a_wrong_one() {
    let server = ALERT.hold().await;
    let api = server.api();
    let key = |bytes| std::str::from_utf8(bytes).expect("text");
    for name in ["libcoap-psk", "libcoap-wrong"] {
        add_psk(&server, name, name, KEY);
        drop(connected(&server, name, Credentials::psk(name, KEY)));
    }
    let right = ["-u", "libcoap-psk", "-k", key(KEY)];
    let Some(output) = libcoap_registers(&server, "libcoap-psk", &right) else {
        return;
    };
    let endpoint = api.endpoint("libcoap-psk").await;
    let endpoint = endpoint.unwrap_or_else(|| panic!("not registered: {}", text(&output)));
    assert_eq!(endpoint["registered"], true, "{endpoint}");
    let wrong = ["-u", "libcoap-wrong", "-k", key(OTHER_KEY)];
    libcoap_registers(&server, "libcoap-wrong", &wrong).expect("installed");
    assert_eq!(api.endpoint("libcoap-wrong").await, None);
}

#[tokio::test]
async fn libcoap_registers_with_a_certificate_of_our_command() {
    let server = ALERT.hold().await;
    let folder = made_by_the_command(&server, "libcoap-x509");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let ca = server.data_dir().join("certs/ca.crt").display().to_string();
    let (certificate, key) = (path("libcoap-x509.crt"), path("libcoap-x509.key"));
    let credentials = ["-c", &certificate, "-j", &key, "-C", &ca];
    let Some(output) = libcoap_registers(&server, "libcoap-x509", &credentials) else {
        return;
    };
    let endpoint = server.api().endpoint("libcoap-x509").await;
    let endpoint = endpoint.unwrap_or_else(|| panic!("not registered: {}", text(&output)));
    assert_eq!(endpoint["registered"], true, "{endpoint}");
}

#[tokio::test]
async fn openssl_s_client_shakes_hands_with_every_suite_of_pre_shared_keys() {
    let server = ALERT.hold().await;
    add_psk(&server, "s-client", "s-client", KEY);
    drop(connected(
        &server,
        "s-client",
        Credentials::psk("s-client", KEY),
    ));
    let connect = server.coaps().to_string();
    let shake = |suite: &str, key: &[u8]| {
        let cipher = format!("{suite}:@SECLEVEL=0");
        let key = hex::encode(key);
        let arguments = [
            "s_client",
            "-dtls1_2",
            "-connect",
            &connect,
            "-psk_identity",
            "s-client",
            "-psk",
            &key,
            "-cipher",
            &cipher,
        ];
        run("openssl", &arguments).map(|output| text(&output))
    };
    for suite in [
        "PSK-AES128-CCM8",
        "PSK-AES128-CCM",
        "PSK-AES128-GCM-SHA256",
        "PSK-AES128-CBC-SHA256",
        "ECDHE-PSK-AES128-CBC-SHA256",
    ] {
        let Some(said) = shake(suite, KEY) else {
            return;
        };
        let expected = format!("Cipher is {suite}\n");
        assert!(said.contains(&expected), "{suite}: {said}");
    }
    let said = shake("PSK-AES128-CCM8", OTHER_KEY).expect("installed");
    assert!(said.contains("alert decrypt error"), "{said}");
}
