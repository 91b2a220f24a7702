//! LightweightM2M-1.1-int-101 to 109: registration; and int-401, the same over DTLS.

use std::time::{Duration, Instant};

use flownexus::coap::Code;
use flownexus::domain::Lwm2mVersion;
use flownexus::net::dtls::{ClientCredentials, ClientSettings};
use flownexus::sim::{SimSecurity, SimSettings};
use serde_json::json;

use super::harness::{AWAKE, play, play_as, play_on, server};
use crate::support::server::{SOON, eventually};

#[tokio::test]
async fn int_101_initial_registration() {
    for version in [Lwm2mVersion::V1_0, Lwm2mVersion::V1_1, Lwm2mVersion::V1_2] {
        let change = |settings: &mut SimSettings| settings.device.version = version;
        play_as(&format!("int-101-{version}"), change, async |client| {
            let shown = client.shown().await;
            assert_eq!(shown["registered"], true, "{shown}");
            assert_eq!(shown["lwm2m_version"], version.to_string());
            assert_eq!(shown["lifetime_s"], 300);
            assert_eq!(
                (&shown["queue_mode"], &shown["secure"]),
                (&json!(false), &json!(false))
            );
            let objects = shown["objects"].to_string();
            for object in ["/1/0", "/3/0", "/3303/0", "/3442/0"] {
                assert!(objects.contains(object), "{objects}");
            }
            assert!(!objects.contains("\"/0"), "{objects}");
        })
        .await;
    }
}

#[tokio::test]
async fn int_102_registration_update_with_a_new_lifetime() {
    play("int-102", async |client| {
        let before = client.shown().await;
        client.write("/1/0/1", json!(600), "text").await;
        let after = client
            .until("lifetime 600", |shown| shown["lifetime_s"] == 600)
            .await;
        assert_eq!(client.device.counters().updates(), 1);
        assert_eq!(client.device.counters().registrations(), 1);
        assert_eq!(after["registered_at"], before["registered_at"]);
        assert!(
            after["expires_at"].as_str() > before["expires_at"].as_str(),
            "{after}"
        );
    })
    .await;
}

#[tokio::test]
async fn int_103_deregistration() {
    play("int-103", async |client| {
        client.device.stop(true).await;
        assert_eq!(client.device.counters().deregistrations(), 1);
        assert_eq!(client.shown().await["registered"], false);
    })
    .await;
}

#[tokio::test]
async fn int_104_registration_update_trigger() {
    play("int-104", async |client| {
        let execute = json!({"kind": "execute", "path": "/1/0/8"});
        assert_eq!(client.confirmed(execute).await["code"], "2.04");
        let updates = || client.device.counters().updates();
        client.counted("Updates", 1, updates).await;
        assert_eq!(client.device.counters().registrations(), 1);
    })
    .await;
}

#[tokio::test]
async fn int_105_discarded_update_makes_the_client_register_again() {
    play("int-105", async |client| {
        assert_eq!(client.forged_deregister().await, Code::DELETED);
        client
            .until("is not registered", |shown| shown["registered"] == false)
            .await;
        client.device.update().await.expect("running");
        let registrations = || client.device.counters().registrations();
        client.counted("Registers", 2, registrations).await;
        client
            .until("is registered", |shown| shown["registered"] == true)
            .await;
        assert_eq!(client.device.counters().updates(), 0, "the Update got 4.04");
    })
    .await;
}

#[tokio::test]
async fn int_107_an_extended_lifetime_is_respected() {
    let change = |settings: &mut SimSettings| {
        settings.device.lifetime = Duration::from_secs(4);
    };
    play_as("int-107", change, async |client| {
        let end_of_first = Instant::now() + Duration::from_secs(4);
        client.write("/1/0/1", json!(86_400), "text").await;
        client
            .until("lifetime 86400", |shown| shown["lifetime_s"] == 86_400)
            .await;
        // That nothing happens can only be seen by waiting for the time in which it would.
        eventually("the first lifetime is over", SOON, async || {
            (Instant::now() > end_of_first).then_some(())
        })
        .await;
        assert_eq!(client.shown().await["registered"], true);
        assert_eq!(client.device.counters().updates(), 1, "no other was needed");
    })
    .await;
}

#[tokio::test]
async fn int_108_queue_mode_is_announced() {
    for version in [Lwm2mVersion::V1_0, Lwm2mVersion::V1_1] {
        let change = |settings: &mut SimSettings| {
            settings.device.version = version;
            settings.device.queue_mode = Some(AWAKE);
        };
        play_as(&format!("int-108-{version}"), change, async |client| {
            assert_eq!(client.shown().await["queue_mode"], true);
        })
        .await;
    }
}

#[tokio::test]
async fn int_109_operations_wait_while_a_client_in_queue_mode_sleeps() {
    let change = |settings: &mut SimSettings| {
        settings.device.queue_mode = Some(AWAKE);
    };
    play_as("int-109", change, async |client| {
        client.settled().await;
        client
            .until("sleeps", |shown| shown["awake"] == false)
            .await;
        let heard = client.device.counters().operations();
        let read = json!({"kind": "read", "path": "/3/0/0"});
        let operation = client.api.operate("int-109", &read).await;
        assert_eq!(operation["status"], "QUEUED", "{operation}");
        assert_eq!(client.device.counters().operations(), heard);
        client.device.update().await.expect("running");
        let ended = client.api.ended(&operation).await;
        assert_eq!(ended["status"], "CONFIRMED", "{ended}");
        assert_eq!(ended["attempts"], 1, "nothing was sent while it slept");
    })
    .await;
}

#[tokio::test]
async fn int_401_registration_over_dtls_with_a_pre_shared_key() {
    let server = server().await;
    // The handshake of the scripted device shows that the server has taken note of the key.
    drop(server.secure_device("int-401"));
    let key = b"a key of 16 byte".to_vec();
    let credentials = ClientCredentials::psk("int-401", key).expect("credentials");
    let change = |settings: &mut SimSettings| {
        settings.server = server.coaps();
        settings.security = Some(SimSecurity::new(ClientSettings::new(credentials)));
    };
    play_on(server, "int-401", change, async |client| {
        assert_eq!(client.device.handshakes(), 1);
        let shown = client.shown().await;
        assert_eq!(shown["registered"], true, "{shown}");
        let read = json!({"kind": "read", "path": "/3/0/0"});
        assert_eq!(client.confirmed(read).await["code"], "2.05");
        client.device.stop(true).await;
        assert_eq!(client.shown().await["registered"], false);
    })
    .await;
}
