//! A device with DTLS notices nothing of a server that was killed: its session goes on, in both
//! directions, and nothing that was said in it counts twice.

use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::{Value as Json, json};

use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::postgres;
use crate::support::secure::Credentials;
use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};
use flownexus::coap::Code;
use flownexus::domain::Token;

/// A registered thermometer in a session of its own, whose temperature is observed.
struct Thermometer {
    device: ScriptedDevice,
    token: Token,
    sequence: u32,
}

impl Thermometer {
    /// Of a device whose credential the server has.
    fn start(name: &str, server: &Server) -> Self {
        let credentials = Credentials::psk(name, DEVICE_KEY);
        let mut device = ScriptedDevice::secure(name, server.coaps(), credentials);
        device.handshake().expect("a session");
        device.register_now(86_400, "</3303/0>");
        let observe = device.expect_request(Code::GET, "/3303/0/5700");
        device.answer_observe(&observe, 1, TEXT, b"20");
        Self {
            device,
            token: observe.token,
            sequence: 1,
        }
    }

    /// Notifies and waits for the acknowledgement; the datagram that it went in.
    #[track_caller]
    fn notify(&mut self, value: &str) -> Vec<u8> {
        self.sequence += 1;
        let value = value.as_bytes();
        self.device.notify(self.token, self.sequence, TEXT, value);
        let sent = self.device.session(|session| session.sent());
        sent.last().expect("a datagram").clone()
    }
}

async fn add_credentials(server: &Server, names: &[String]) {
    for name in names {
        let psk = json!({"identity": name, "key": hex::encode(DEVICE_KEY)});
        let body = json!({"endpoint": name, "psk": psk});
        server.api().create("/api/v1/credentials", &body).await;
    }
}

async fn values(server: &Server, name: &str) -> Vec<f64> {
    let path = format!("/api/v1/endpoints/{name}/history?path=/3303/0/5700");
    let history = server.api().read(&path).await;
    let points = history["points"].as_array().expect("points").iter();
    points
        .map(|point| point[1].as_f64().expect("a number"))
        .collect()
}

/// Nobody had to shake hands, or register, or say that it is still there.
async fn assert_invisible(server: &Server) {
    for metric in [
        "flownexus_dtls_handshakes_begun_total",
        "flownexus_dtls_strays_total",
        "flownexus_lwm2m_registers_total",
        "flownexus_lwm2m_updates_total",
    ] {
        assert!(server.metric(metric).await < 0.5, "{metric}");
    }
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}-{number}"))
        .collect()
}

#[tokio::test]
async fn a_thousand_devices_go_on_without_a_handshake() {
    const DEVICES: usize = 1_000;
    let mut server = Server::start().await;
    let names = names("meter", DEVICES);
    add_credentials(&server, &names).await;
    let mut meters: Vec<Thermometer> = Vec::new();
    thread::scope(|scope| {
        let halves = names.chunks(DEVICES / 2).map(|names| {
            let server = &server;
            scope.spawn(|| {
                let start = |name: &String| Thermometer::start(name, server);
                names.iter().map(start).collect::<Vec<_>>()
            })
        });
        for half in halves.collect::<Vec<_>>() {
            meters.extend(half.join().expect("they register"));
        }
    });
    let mut recorded = Vec::new();
    for meter in &mut meters {
        recorded.push(meter.notify("20.5"));
    }

    server.kill();
    server.restart().await;

    // What somebody has recorded before is worth nothing after.
    for (meter, datagram) in meters.iter_mut().zip(&recorded) {
        meter.device.send_datagram(datagram);
    }
    for meter in &mut meters {
        meter.notify("21.5");
    }
    let taken_up = server
        .metric("flownexus_dtls_sessions_taken_up_total")
        .await;
    assert!((taken_up - DEVICES as f64).abs() < 0.5, "{taken_up}");
    let dropped = server
        .metric("flownexus_dtls_records_total{result=\"nothing\"}")
        .await;
    assert!((dropped - DEVICES as f64).abs() < 0.5, "{dropped}");
    assert_invisible(&server).await;
    for name in names.iter().step_by(97) {
        assert_eq!(values(&server, name).await, [20.0, 20.5, 21.5], "{name}");
    }
}

#[tokio::test]
async fn the_server_goes_on_asking_in_the_session_under_numbers_that_it_has_never_used() {
    let mut server = Server::start().await;
    let names = names("asked", 1);
    add_credentials(&server, &names).await;
    let mut meter = Thermometer::start(&names[0], &server);
    let read = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    for restarts in 0..3 {
        if restarts > 0 {
            server.kill();
            server.restart().await;
        }
        let operation = server.api().operate(&names[0], &read).await;
        let asked = meter.device.expect_request(Code::GET, "/1/0/1");
        meter.device.answer_content(&asked, TEXT, b"300");
        assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
    }
    assert_invisible(&server).await;
    // Type, version, epoch and number of every record under keys.
    let received = meter.device.session(|session| session.received());
    let mut numbers: Vec<Vec<u8>> = received
        .iter()
        .filter(|datagram| datagram[3..5] == [0, 1])
        .map(|datagram| datagram[3..11].to_vec())
        .collect();
    let count = numbers.len();
    assert!(count >= 5, "{count} records");
    assert!(numbers.is_sorted(), "they rise");
    numbers.dedup();
    assert_eq!(numbers.len(), count, "none twice");
}

/// The server is killed wherever it is at the moment, again and again.
async fn killed_at_any_moment(mut server: Server, prefix: &str) {
    const DEVICES: usize = 4;
    const ROUNDS: u32 = 5;
    let names = names(prefix, DEVICES);
    add_credentials(&server, &names).await;
    let mut meters: Vec<Thermometer> = names
        .iter()
        .map(|name| Thermometer::start(name, &server))
        .collect();
    let mut expected = vec![20.0];
    for round in 1..=ROUNDS {
        // One that is acknowledged, and one whose acknowledgement may be lost with the server.
        let (before, during) = (f64::from(round * 10), f64::from(round * 10 + 1));
        for meter in &mut meters {
            meter.notify(&before.to_string());
        }
        let mut cut_off = Vec::new();
        for (number, meter) in meters.iter_mut().enumerate() {
            meter.sequence += 1;
            let text = during.to_string();
            let message =
                meter
                    .device
                    .notification(meter.token, meter.sequence, TEXT, text.as_bytes());
            meter.device.send(&message);
            cut_off.push(message);
            if number == round as usize % DEVICES {
                server.kill();
            }
        }
        server.restart().await;
        for (meter, message) in meters.iter_mut().zip(&cut_off) {
            // As a device does that was not answered: the same message in another record.
            meter.device.send(message);
            eventually_acknowledged(meter, message.message_id);
        }
        expected.extend([before, during]);
        assert_invisible(&server).await;
    }
    for name in &names {
        assert_eq!(values(&server, name).await, expected, "{name}");
    }
}

/// An acknowledgement of the server before may have been on its way.
#[track_caller]
fn eventually_acknowledged(meter: &mut Thermometer, message_id: u16) {
    loop {
        let answer = meter.device.receive(SOON).expect("an acknowledgement");
        if answer.message_id == message_id {
            return;
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_costs_no_session_and_no_value() {
    killed_at_any_moment(Server::start().await, "killed").await;
}

#[tokio::test]
async fn a_kill_at_any_moment_costs_no_session_and_no_value_on_postgresql() {
    let Some(url) = postgres::new_database() else {
        return;
    };
    let server = Server::setup().setting("database.url", &url).start().await;
    killed_at_any_moment(server, "killed-there").await;
}

#[tokio::test]
async fn a_session_whose_credential_was_removed_meanwhile_is_not_gone_on_with() {
    let mut server = Server::start().await;
    let names = names("gone", 2);
    add_credentials(&server, &names).await;
    let mut meters: Vec<Thermometer> = names
        .iter()
        .map(|name| Thermometer::start(name, &server))
        .collect();
    // What they answered is on disk, so they are not asked again.
    for meter in &mut meters {
        meter.notify("21");
    }
    server.kill();
    let listed = server.command(&["credential", "list", "--json"], "");
    let listed: Json = serde_json::from_slice(&listed.stdout).expect("JSON");
    let of_first = listed.as_array().expect("a list").iter();
    let of_first = of_first
        .clone()
        .find(|one| one["endpoint"] == names[0].as_str());
    let id = of_first.expect("its credential")["id"].to_string();
    let removed = server.command(&["credential", "remove", id.trim_matches('"')], "");
    assert!(removed.status.success(), "{removed:?}");
    server.restart().await;
    // It is told, and need not find out.
    assert_eq!(meters[0].device.expect_end_of_session(), "close_notify");
    meters[1].notify("22");
    let taken_up = server
        .metric("flownexus_dtls_sessions_taken_up_total")
        .await;
    assert!((taken_up - 1.0).abs() < 0.5, "{taken_up}");
    assert_eq!(values(&server, &names[0]).await, [20.0, 21.0]);
}

#[tokio::test]
async fn a_session_that_has_ended_stays_ended() {
    let mut server = Server::start().await;
    let names = names("ended", 1);
    add_credentials(&server, &names).await;
    let mut meter = Thermometer::start(&names[0], &server);
    meter.device.close_session();
    eventually("it is over", SOON, async || {
        (server.metric("flownexus_dtls_sessions").await < 0.5).then_some(())
    })
    .await;
    // What is written behind it is written after it.
    meter.device.handshake().expect("another one");
    let update = meter.device.update();
    assert_eq!(meter.device.ask(&update).code, Code::CHANGED);
    server.kill();
    server.restart().await;
    let taken_up = server
        .metric("flownexus_dtls_sessions_taken_up_total")
        .await;
    assert!((taken_up - 1.0).abs() < 0.5, "{taken_up}");
    meter.notify("21");
}

/// A backup, as it is made and put back with `cp`.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{from:?}");
}

#[tokio::test]
async fn a_database_that_is_put_back_has_no_sessions_to_go_on_with() {
    let mut server = Server::setup()
        .setting("store.heartbeat_s", 1)
        .start()
        .await;
    let names = names("put-back", 1);
    add_credentials(&server, &names).await;
    let mut meter = Thermometer::start(&names[0], &server);
    let data = server.data_dir().to_owned();
    let backup = tempfile::tempdir().expect("a folder");
    let taken_up = "flownexus_dtls_sessions_taken_up_total";

    // Only the database is put back: the file beside it has seen a later heartbeat.
    server.terminate().await;
    copy(&data.join("flownexus.db"), &backup.path().join("one.db"));
    server.restart().await;
    assert!(
        (server.metric(taken_up).await - 1.0).abs() < 0.5,
        "as it was"
    );
    meter.notify("21");
    server.terminate().await;
    copy(&backup.path().join("one.db"), &data.join("flownexus.db"));
    server.restart().await;
    assert!(
        server.metric(taken_up).await < 0.5,
        "it is not the same one"
    );
    meter.device.handshake().expect("a session");
    let update = meter.device.update();
    assert_eq!(meter.device.ask(&update).code, Code::CHANGED);

    // The whole folder is put back: that file is another one.
    server.terminate().await;
    copy(&data, &backup.path().join("all"));
    server.restart().await;
    meter.notify("22");
    server.terminate().await;
    std::fs::remove_dir_all(&data).expect("removed");
    copy(&backup.path().join("all"), &data);
    server.restart().await;
    assert!(server.metric(taken_up).await < 0.5, "it is a copy");
}
