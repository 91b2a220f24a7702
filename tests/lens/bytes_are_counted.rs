//! What a device costs: the sums of a day are those of the datagrams that went to and fro.

use flownexus::coap::Code;
use flownexus::store::Role;
use rstest::rstest;
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
use serde_json::{Value as Json, json};

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::secure::Credentials;
use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};
use crate::support::site::Site;

/// The sums of a device by kind.
async fn kinds(server: &Server, device: &str) -> Json {
    kinds_at(server, &format!("/api/v1/endpoints/{device}/traffic")).await
}

/// The sums by kind, of all days: a test that runs at midnight has two.
async fn kinds_at(server: &Server, path: &str) -> Json {
    let traffic = server.api().read(path).await;
    let mut all = json!({});
    for day in traffic["days"].as_array().expect("days") {
        for (kind, sums) in day["kinds"].as_object().expect("kinds") {
            for (name, number) in sums.as_object().expect("sums") {
                let before = all[kind][name].as_u64().unwrap_or(0);
                all[kind][name] = json!(before + number.as_u64().expect("a number"));
            }
        }
    }
    for (name, total) in traffic["total"].as_object().expect("sums") {
        let kinds = all.as_object().expect("kinds").values();
        let sum: u64 = kinds.filter_map(|sums| sums[name].as_u64()).sum();
        assert_eq!(*total, sum, "{name}: {traffic}");
    }
    all
}

fn sums(up: usize, up_messages: u64, down: usize, down_messages: u64) -> Json {
    json!({
        "up_bytes": up,
        "down_bytes": down,
        "up_messages": up_messages,
        "down_messages": down_messages,
        "overhead_bytes": 28 * (up_messages + down_messages),
    })
}

#[tokio::test]
async fn the_sums_of_plain_coap_are_those_of_its_datagrams() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    let register = device.register(300, "</1/0>,</3316/0>");
    let created = device.ask(&register);
    device.take_location(&created);
    let update = device.update();
    let updated = device.ask(&update);
    let (mut up, mut down) = (0, 0);
    let observe = json!({"kind": "observe", "path": "/3316/0/5700"});
    let operation = server.api().operate("pump", &observe).await;
    let observed = device.expect_request(Code::GET, "/3316/0/5700");
    down += observed.encode().len();
    device.answer_observe(&observed, 1, TEXT, b"21.0");
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
    // Token, Observe, Content-Format, marker and text.
    up += 4 + 8 + 2 + 1 + 1 + 4;
    let notification = device.notify(observed.token, 2, TEXT, b"21.5");
    up += notification.encode().len();
    down += 4;
    // The same once more, and its answer.
    device.send(&notification);
    device.expect_acknowledgement(&notification);

    let kinds = kinds(&server, "pump").await;
    let (up_registration, down_registration) = (
        register.encode().len() + update.encode().len(),
        created.encode().len() + updated.encode().len(),
    );
    assert_eq!(
        kinds,
        json!({
            "registration": sums(up_registration, 2, down_registration, 2),
            "data": sums(up, 2, down, 2),
            "retransmission": sums(notification.encode().len(), 1, 4, 1),
        })
    );
    // It is the only device.
    assert_eq!(kinds_at(&server, "/api/v1/traffic").await, kinds);
}

#[tokio::test]
async fn the_sums_of_dtls_are_those_of_its_datagrams() {
    let server = Server::setup()
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    // Tries before the credential is known are those of nobody.
    drop(server.secure_device("pump"));
    let before = kinds_at(&server, "/api/v1/traffic").await;
    let credentials = Credentials::psk("pump", DEVICE_KEY);
    let mut device = ScriptedDevice::secure("pump", server.coaps(), credentials);
    device.handshake().expect("a handshake");
    let bytes = |all: Vec<Vec<u8>>| {
        let bytes: usize = all.iter().map(Vec::len).sum();
        (bytes, all.len() as u64)
    };
    let (up, up_messages) = bytes(device.session(|session| session.sent()));
    let (down, down_messages) = bytes(device.session(|session| session.received()));
    device.register_now(300, "</1/0>");
    let (all_up, _) = bytes(device.session(|session| session.sent()));
    let (all_down, _) = bytes(device.session(|session| session.received()));
    let kinds = kinds(&server, "pump").await;
    assert_eq!(
        before["handshake"],
        sums(up, up_messages, down, down_messages),
        "proven, not registered yet"
    );
    // Two handshakes alike, of the same device.
    assert_eq!(
        kinds["handshake"],
        sums(2 * up, 2 * up_messages, 2 * down, 2 * down_messages)
    );
    assert_eq!(
        kinds["registration"],
        sums(all_up - up, 1, all_down - down, 1)
    );
}

/// What was written is there after a crash; an orderly end writes the rest.
#[tokio::test]
async fn what_was_written_survives_the_server() {
    let mut server = Server::setup().setting("lens.flush_s", 1).start().await;
    let mut device = ScriptedDevice::new("pump", server.coap());
    device.register_now(300, "</1/0>");
    let before = kinds(&server, "pump").await;
    eventually("the counts are written", SOON, async || {
        (written(&server).await > 0).then_some(())
    })
    .await;
    server.kill();
    server.restart().await;
    assert_eq!(kinds(&server, "pump").await, before);
    server.set("lens.flush_s", 3_600);
    server.restart().await;
    let update = device.update();
    device.ask(&update);
    let before = kinds(&server, "pump").await;
    assert_eq!(before["registration"]["up_messages"], 2, "{before}");
    assert!(server.terminate().await.success());
    server.restart().await;
    assert_eq!(kinds(&server, "pump").await, before);
}

/// Rows in the table.
async fn written(server: &Server) -> usize {
    let file = server.data_dir().join("flownexus.db");
    let url = format!("sqlite://{}?mode=ro", file.display());
    let database = Database::connect(url).await.expect("a connection");
    let rows = database
        .query_all_raw(Statement::from_string(
            DbBackend::Sqlite,
            "SELECT kind FROM traffic_day",
        ))
        .await
        .expect("read");
    database.close().await.expect("an orderly end");
    rows.len()
}

#[rstest]
#[case("from=2026-12-02&to=2026-12-01")]
#[case("from=1970-01-01")]
#[case("to=yesterday")]
#[actix_rt::test]
async fn days_that_make_no_sense_are_refused(#[case] query: &str) {
    let site = Site::start().await;
    let token = site.token(Role::Viewer).await;
    let path = format!("/api/v1/traffic?{query}");
    let (status, problem) = site.ask("GET", &path, &token, None).await;
    assert_eq!(status, 400, "{query}: {problem}");
}
