//! One server for all tests of the folder, and a simulated client for each.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::process::Child;
use std::time::{Duration, Instant};

use flownexus::coap::{Code, Message, MessageType, Options};
use flownexus::domain::{EndpointName, Node, Path, Token, Value};
use flownexus::sim::{SimClient, SimHandle, SimSettings};
use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::support::server::{Api, SOON, Server, eventually};

/// How long the server believes that a device in queue mode listens.
pub(super) const AWAKE: Duration = Duration::from_secs(1);

/// The server that the tests share: its devices have names of their own.
pub(super) async fn server() -> &'static Server {
    static SERVER: OnceCell<(Server, Child)> = OnceCell::const_new();
    let (server, _) = SERVER
        .get_or_init(async || {
            let server = Server::setup()
                .setting("queue_mode.awake_s", AWAKE.as_secs())
                .start()
                .await;
            let watchdog = server.end_with_this_process();
            (server, watchdog)
        })
        .await;
    server
}

/// Runs a test with a registered client of this name: with the objects for tests, and with values
/// that move only when the test moves them.
pub(super) async fn play(name: &str, test: impl AsyncFnOnce(&Client)) {
    play_as(name, |_| {}, test).await;
}

/// Like [`play`], with a client that is something special.
pub(super) async fn play_as(
    name: &str,
    change: impl FnOnce(&mut SimSettings),
    test: impl AsyncFnOnce(&Client),
) {
    play_on(server().await, name, change, test).await;
}

/// Like [`play_as`], on a server that has settings of its own.
pub(super) async fn play_on(
    server: &Server,
    name: &str,
    change: impl FnOnce(&mut SimSettings),
    test: impl AsyncFnOnce(&Client),
) {
    let mut settings = SimSettings::new(server.coap(), EndpointName::new(name).expect("a name"));
    settings.device.interval = Duration::from_secs(3600);
    settings.device.reboot_time = Duration::from_millis(100);
    settings.device.test_objects = true;
    change(&mut settings);
    let play = async {
        let device = SimClient::start(settings).expect("a socket");
        timeout(SOON, device.registered())
            .await
            .expect("registered in time")
            .expect("registered");
        let client = Client {
            name: name.to_owned(),
            device,
            api: server.api(),
            coap: server.coap(),
        };
        test(&client).await;
        client.device.stop(false).await;
    };
    LocalSet::new().run_until(play).await;
}

/// A simulated client, and the server's view of it.
pub(super) struct Client {
    name: String,
    /// The client itself.
    pub(super) device: SimHandle,
    /// The server's API.
    pub(super) api: Api,
    coap: SocketAddr,
}

impl Client {
    /// Its endpoint name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has the server do something with the client, and waits for the end of it.
    pub(super) async fn operate(&self, operation: Json) -> Json {
        let path = format!("/api/v1/endpoints/{}/operations?wait=20", self.name);
        let operation = self.api.create(&path, &operation).await;
        self.api.ended(&operation).await
    }

    /// Like [`Client::operate`], for what the client does: the result.
    pub(super) async fn confirmed(&self, operation: Json) -> Json {
        let ended = self.operate(operation).await;
        assert_eq!(ended["status"], "CONFIRMED", "{ended}");
        ended["result"].clone()
    }

    /// Like [`Client::operate`], for what the client refuses with this code.
    pub(super) async fn refused(&self, operation: Json, code: &str) {
        let ended = self.operate(operation).await;
        assert_eq!(ended["status"], "FAILED", "{ended}");
        assert_eq!(ended["result"]["code"], code, "{ended}");
    }

    /// Reads a path; the format is the server's choice without one. Values by path.
    pub(super) async fn read(&self, path: &str, format: Option<&str>) -> BTreeMap<String, Json> {
        let mut operation = json!({"kind": "read", "path": path});
        if let Some(format) = format {
            operation["format"] = json!(format);
        }
        let result = self.confirmed(operation).await;
        assert_eq!(result["code"], "2.05", "{result}");
        values(&result)
    }

    /// Reads the one value of a path.
    pub(super) async fn value(&self, path: &str, format: Option<&str>) -> Json {
        let values = self.read(path, format).await;
        assert_eq!(values.len(), 1, "{values:?}");
        values[path].clone()
    }

    /// Replaces the one value of a path.
    pub(super) async fn write(&self, path: &str, value: Json, format: &str) {
        let write = json!({"kind": "write", "path": path, "value": value, "format": format});
        assert_eq!(self.confirmed(write).await["code"], "2.04");
    }

    /// The links of a Discover.
    pub(super) async fn discover(&self, path: &str) -> Vec<String> {
        let result = self
            .confirmed(json!({"kind": "discover", "path": path}))
            .await;
        let links = result["links"].as_str().expect("links");
        links.split(',').map(str::to_owned).collect()
    }

    /// The client as the API shows it.
    pub(super) async fn shown(&self) -> Json {
        self.api.endpoint(&self.name).await.expect("known")
    }

    /// Waits until the API shows the client in a way.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Json) -> bool) -> Json {
        eventually(&format!("{}: {what}", self.name), SOON, async || {
            Some(self.shown().await).filter(&is_so)
        })
        .await
    }

    /// The latest value that the server has stored of a path.
    pub(super) async fn stored(&self, path: &str) -> Option<Json> {
        let path_of_resources = format!("/api/v1/endpoints/{}/resources", self.name);
        let resources = self.api.read(&path_of_resources).await;
        let items = resources["items"].as_array().expect("items");
        let item = items.iter().find(|item| item["path"] == path)?;
        Some(item["value"].clone())
    }

    /// Waits until the server has stored this value of a path.
    pub(super) async fn until_stored(&self, path: &str, value: Json) {
        eventually(
            &format!("{}: {path} is {value}", self.name),
            SOON,
            async || (self.stored(path).await.as_ref() == Some(&value)).then_some(()),
        )
        .await;
    }

    /// The values of a numeric path with their times, oldest first.
    pub(super) async fn history(&self, path: &str) -> Vec<Json> {
        let history = self
            .api
            .read(&format!(
                "/api/v1/endpoints/{}/history?path={path}&from=2000-01-01T00:00:00Z",
                self.name
            ))
            .await;
        history["points"].as_array().expect("points").clone()
    }

    /// Waits until something that the client counts has come so far, and says when that was.
    pub(super) async fn counted(
        &self,
        what: &str,
        count: u64,
        counter: impl Fn() -> u64,
    ) -> Instant {
        let what = format!("{}: {count} {what}", self.name);
        eventually(&what, SOON, async || {
            (counter() >= count).then(Instant::now)
        })
        .await
    }

    /// Waits until so many notifications were acknowledged, and says when that was.
    pub(super) async fn notified(&self, count: u64) -> Instant {
        let counters = self.device.counters();
        let counter = || counters.notifications_acknowledged();
        self.counted("notifications acknowledged", count, counter)
            .await
    }

    /// The notifications that were acknowledged so far.
    pub(super) fn notifications(&self) -> u64 {
        self.device.counters().notifications_acknowledged()
    }

    /// Waits until the observations of the server's templates have begun, so that what follows is
    /// the test's doing alone; returns how many they are.
    pub(super) async fn settled(&self) -> usize {
        let path = format!("/api/v1/endpoints/{}/operations?status=", self.name);
        eventually(&format!("{} has settled", self.name), SOON, async || {
            for status in ["QUEUED", "SENDING"] {
                let waiting = self.api.read(&format!("{path}{status}")).await;
                if waiting["items"] != json!([]) {
                    return None;
                }
            }
            Some(())
        })
        .await;
        self.device.observations().await
    }

    /// Waits until the client has so many observations.
    pub(super) async fn until_observations(&self, count: usize) {
        let what = format!("{}: {count} observations", self.name);
        eventually(&what, SOON, async || {
            (self.device.observations().await == count).then_some(())
        })
        .await;
    }

    /// A value changes on the client.
    pub(super) async fn set(&self, path: &str, value: Value) {
        self.device.set(at(path), value).await.expect("a value");
    }

    /// What the client itself holds at a path.
    pub(super) async fn held(&self, path: &str) -> Option<Value> {
        self.device.value(at(path)).await
    }

    /// A Deregister of the client's registration by somebody else: from another port.
    pub(super) async fn forged_deregister(&self) -> Code {
        let location = self.device.location().await.expect("registered");
        let mut options = Options::new();
        options.add_uri_path(&location);
        let request = Message {
            kind: MessageType::Confirmable,
            code: Code::DELETE,
            message_id: 4711,
            token: Token::from([1; 8]),
            options,
            payload: Vec::new(),
        };
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(SOON)).expect("a time");
        socket.send_to(&request.encode(), self.coap).expect("sent");
        let mut buffer = [0; 1500];
        let (length, _) = socket.recv_from(&mut buffer).expect("an answer in time");
        Message::decode(&buffer[..length]).expect("a message").code
    }
}

/// The values of a result by path.
pub(super) fn values(result: &Json) -> BTreeMap<String, Json> {
    let nodes = result["nodes"].as_array().expect("nodes");
    nodes
        .iter()
        .map(|node| {
            let path = node["path"].as_str().expect("a path").to_owned();
            (path, node["value"].clone())
        })
        .collect()
}

/// A path from its text.
pub(super) fn at(path: &str) -> Path {
    path.parse().expect(path)
}

/// A text value.
pub(super) fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Values at their paths.
pub(super) fn nodes(values: &[(&str, Value)]) -> Vec<Node> {
    values
        .iter()
        .map(|(path, value)| Node::new(at(path), value.clone()))
        .collect()
}
