//! Devices behind a NAT that forgets them: the server hears them from another port. With connection ids (RFC
//! 9146) nothing has happened; without them a device shakes hands again, and is the same device.

use std::net::SocketAddr;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value as Json, json};
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::support::certificates::Holder;
use crate::support::server::{Api, DEVICE_KEY, SOON, Server, eventually};
use flownexus::domain::{EndpointName, Path, Value};
use flownexus::net::dtls::{ClientCredentials, ClientSettings};
use flownexus::sim::{SimClient, SimHandle, SimSecurity, SimSettings};

const NAME: &str = "behind-a-nat";
/// Observed by a template that every server begins with.
const TEMPERATURE: &str = "/3303/0/5700";
const HANDSHAKES: &str = "flownexus_dtls_handshakes_finished_total";
const FOLLOWED: &str = "flownexus_dtls_sessions_followed_total";

#[derive(Clone, Copy, Debug)]
enum Proof {
    Psk,
    X509,
}

impl Proof {
    /// OpenSSL's name.
    fn suite(self) -> &'static str {
        match self {
            Self::Psk => "PSK-AES128-CCM8",
            Self::X509 => "ECDHE-ECDSA-AES128-CCM8",
        }
    }

    /// Credentials that the server takes, and that of a simulated device.
    fn credentials(self, server: &Server) -> ClientCredentials {
        match self {
            Self::Psk => {
                // The handshake shows that the server has taken note of the key.
                server.secure_device(NAME).close_session();
                ClientCredentials::psk(NAME, DEVICE_KEY.to_vec()).expect("a key")
            }
            Self::X509 => {
                let certs = server.data_dir().join("certs");
                let read = |name: &str| std::fs::read(certs.join(name)).expect("a file");
                let ca = read("ca.crt");
                let device = Holder::of(&ca, &read("ca.key")).sign(NAME);
                let (certificate, key) = (device.certificate(), device.key());
                ClientCredentials::x509(&certificate, &key, Some(&ca)).expect("a pair")
            }
        }
    }
}

/// A device that is registered and whose temperature is observed.
struct Nat {
    server: Server,
    device: SimHandle,
    /// Where the server has it.
    address: SocketAddr,
    /// Handshakes before.
    handshakes: f64,
}

impl Nat {
    async fn start(server: Server, proof: Proof, change: impl FnOnce(&mut SimSettings)) -> Self {
        let credentials = proof.credentials(&server);
        let name = EndpointName::new(NAME).expect("a name");
        let mut settings = SimSettings::new(server.coaps(), name);
        settings.security = Some(SimSecurity::new(ClientSettings {
            // With a MAC of its own there are no connection ids.
            ciphers: Some(proof.suite().to_owned()),
            ..ClientSettings::new(credentials)
        }));
        // Nothing of its own accord.
        settings.device.interval = Duration::from_secs(86_400);
        settings.device.lifetime = Duration::from_secs(86_400);
        change(&mut settings);
        let device = SimClient::start(settings).expect("a socket");
        let registered = timeout(SOON, device.registered()).await;
        registered.expect("in time").expect("a running device");
        eventually("its temperature is observed", SOON, || async {
            let endpoint = server.api().endpoint(NAME).await?;
            let lines = endpoint["observations"].as_array()?;
            let line = lines
                .iter()
                .find(|line| line["paths"] == json!([TEMPERATURE]))?;
            (line["state"] == "active").then_some(())
        })
        .await;
        // What was to be done before it is done.
        let operation = server.api().operate(NAME, &read()).await;
        confirmed(&server.api(), &operation).await;
        let address = address(&server.api()).await;
        let handshakes = server.metric(HANDSHAKES).await;
        Self {
            server,
            device,
            address,
            handshakes,
        }
    }

    /// It measures something, and the server has it.
    async fn measures(&self, value: f64) {
        let path: Path = TEMPERATURE.parse().expect("a path");
        let set = self.device.set(path, Value::Float(value)).await;
        set.expect("a running device");
        let api = self.server.api();
        eventually(&format!("{value} is stored"), SOON, || async {
            (self.stored(&api).await == Some(value)).then_some(())
        })
        .await;
    }

    async fn stored(&self, api: &Api) -> Option<f64> {
        let path = format!("/api/v1/endpoints/{NAME}/history?path={TEMPERATURE}");
        let history = api.read(&path).await;
        history["points"].as_array()?.last()?[1].as_f64()
    }

    /// The API shows another address than before.
    async fn is_elsewhere(&mut self) {
        let api = self.server.api();
        let before = self.address;
        self.address = eventually("its new address is shown", SOON, || async {
            let now = address(&api).await;
            (now != before).then_some(now)
        })
        .await;
    }

    /// So many handshakes since it was registered, and one registration.
    async fn has_shaken_hands(&self, times: u64) {
        let handshakes = self.server.metric(HANDSHAKES).await - self.handshakes;
        assert_eq!(handshakes, times as f64, "on the side of the server");
        assert_eq!(self.device.handshakes(), 1 + times);
        assert_eq!(self.device.counters().registrations(), 1);
    }
}

async fn address(api: &Api) -> SocketAddr {
    let endpoint = api.endpoint(NAME).await.expect("a known endpoint");
    let address = endpoint["address"].as_str().expect("an address");
    address.parse().expect("an address")
}

async fn confirmed(api: &Api, operation: &Json) {
    let ended = api.ended(operation).await;
    assert_eq!(ended["status"], "CONFIRMED", "{ended}");
}

fn read() -> Json {
    json!({"kind": "read", "path": "/3/0/0"})
}

/// Whether the device knows that it has another address (with an id of its own) or not.
#[rstest]
#[tokio::test]
async fn with_a_connection_id_nothing_has_happened(
    #[values(Proof::Psk, Proof::X509)] proof: Proof,
    #[values(0, 8)] connection_id: usize,
) {
    let server = Server::start().await;
    let test = async {
        let mut nat = Nat::start(server, proof, |settings| {
            let security = settings.security.as_mut().expect("credentials");
            assert_eq!(security.client.connection_id, Some(0), "by default");
            security.client.connection_id = Some(connection_id);
        })
        .await;
        nat.measures(20.25).await;
        let rebound = match connection_id > 0 {
            true => nat.device.rebind().await,
            false => nat.device.rebind_unnoticed().await,
        };
        rebound.expect("another port");
        let acknowledged = nat.device.counters().notifications_acknowledged();
        nat.measures(21.5).await;
        eventually("the notification is acknowledged", SOON, || async {
            let now = nat.device.counters().notifications_acknowledged();
            (now > acknowledged).then_some(())
        })
        .await;
        nat.is_elsewhere().await;
        let operation = nat.server.api().operate(NAME, &read()).await;
        confirmed(&nat.server.api(), &operation).await;
        nat.has_shaken_hands(0).await;
        assert_eq!(nat.server.metric(FOLLOWED).await, 1.0);
        nat.device.stop(true).await;
    };
    LocalSet::new().run_until(test).await;
}

#[rstest]
#[tokio::test]
async fn without_one_an_update_in_another_session_restores_everything(
    #[values(Proof::Psk, Proof::X509)] proof: Proof,
) {
    let server = Server::setup()
        // What is sent to where it was is given up soon.
        .setting("coap.ack_timeout_ms", 100)
        .setting("coap.max_retransmit", 1)
        .start()
        .await;
    let test = async {
        let mut nat = Nat::start(server, proof, without_connection_id).await;
        nat.measures(20.25).await;
        let observations = nat.device.observations().await;
        nat.device.rebind().await.expect("another port");
        // Nobody is where it was.
        let api = nat.server.api();
        let operation = api.operate(NAME, &read()).await;
        let path = format!("/api/v1/operations/{}", operation["id"]);
        eventually("the operation waits for the device", SOON, || async {
            let shown = api.read(&path).await;
            (shown["status"] == "QUEUED" && shown["attempts"] == 1).then_some(())
        })
        .await;
        nat.device.update().await.expect("a running device");
        confirmed(&api, &operation).await;
        nat.is_elsewhere().await;
        // The token is the one of before: nobody has observed anything anew.
        nat.measures(21.5).await;
        assert_eq!(nat.device.observations().await, observations);
        nat.has_shaken_hands(1).await;
        assert_eq!(nat.server.metric(FOLLOWED).await, 0.0);
        nat.device.stop(true).await;
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn without_one_a_device_that_does_not_notice_finds_out_by_the_silence() {
    let server = Server::start().await;
    let test = async {
        let mut nat = Nat::start(server, Proof::Psk, |settings| {
            without_connection_id(settings);
            settings.coap.ack_timeout_ms = 100;
            settings.coap.max_retransmit = 1;
            settings.device.retry_min = Duration::from_millis(100);
        })
        .await;
        nat.device.rebind_unnoticed().await.expect("another port");
        nat.device.update().await.expect("a running device");
        nat.is_elsewhere().await;
        nat.measures(21.5).await;
        assert_eq!(nat.device.handshakes(), 2);
        assert_eq!(nat.server.metric(FOLLOWED).await, 0.0);
        nat.device.stop(true).await;
    };
    LocalSet::new().run_until(test).await;
}

fn without_connection_id(settings: &mut SimSettings) {
    let security = settings.security.as_mut().expect("credentials");
    security.client.connection_id = None;
}
