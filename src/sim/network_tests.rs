//! Whole devices against a small server, over real UDP on the loopback interface.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::*;
use crate::coap::{
    self, Code, Event, ExchangeId, NotificationKey, OutgoingRequest, Request, RequestKey, Response,
};
use crate::config::Settings;
use crate::domain::{
    EndpointName, Lwm2mVersion, Node, OperationKind, OperationRequest, Path, Peer, RefusedFormats,
    RegistrationId, Token, Value,
};
use crate::lwm2m::register::{self, Call, Limits};
use crate::lwm2m::{self, Models, manage, report};
use crate::net::CoapTransport;

/// A server by hand.
struct Server {
    transport: CoapTransport,
    events: mpsc::Receiver<Vec<Event>>,
    waiting: Vec<Event>,
    models: std::sync::Arc<Models>,
    last_token: u8,
}

impl Server {
    fn start(address: &str) -> Self {
        let address: SocketAddr = address.parse().expect("an address");
        let settings = Settings::defaults().coap;
        let transport = CoapTransport::bind_to(address, &settings, coap::Counters::default(), 7)
            .expect("a socket");
        let (sender, events) = mpsc::channel(64);
        spawn_local(transport.clone().run(sender));
        Self {
            transport,
            events,
            waiting: Vec::new(),
            models: models(),
            last_token: 0,
        }
    }

    fn address(&self) -> SocketAddr {
        self.transport.address().expect("a plain socket")
    }

    async fn event(&mut self) -> Event {
        while self.waiting.is_empty() {
            let batch = timeout(Duration::from_secs(20), self.events.recv()).await;
            self.waiting = batch.expect("an event in time").expect("a running socket");
        }
        self.waiting.remove(0)
    }

    async fn call(&mut self) -> (RequestKey, Request, Call) {
        match self.event().await {
            Event::Request { key, request } => {
                let call = register::classify(&request, key.confirmable, &Limits::default());
                (key, request, call.expect("a good request"))
            }
            event => panic!("no request: {event:?}"),
        }
    }

    /// Confirms the next Register.
    async fn register(&mut self) -> (Peer, register::RegisterRequest) {
        let (key, _, call) = self.call().await;
        let Call::Register(request) = call else {
            panic!("no Register: {call:?}")
        };
        let location = RegistrationId::from_random([3; 16]);
        self.transport
            .respond(&key, register::registered(&location));
        (key.peer, request)
    }

    fn device(&self) -> lwm2m::Device<'_> {
        lwm2m::Device {
            version: Lwm2mVersion::V1_1,
            root: "",
            formats: &[112, 110, 60, 11_542, 0],
            refused: RefusedFormats::NONE,
            objects: &[],
            models: &self.models,
        }
    }

    fn ask(&mut self, peer: Peer, operation: &OperationRequest) -> (ExchangeId, Token) {
        self.last_token += 1;
        let token = Token::from([self.last_token; 8]);
        let request = manage::build(operation, &self.device()).expect("an operation");
        let outgoing = OutgoingRequest::new(request, token, Duration::from_secs(10));
        (self.transport.request(peer, outgoing).expect("room"), token)
    }

    async fn response(&mut self) -> Response {
        match self.event().await {
            Event::Response { response, .. } => response,
            event => panic!("no response: {event:?}"),
        }
    }

    async fn operate(&mut self, peer: Peer, operation: OperationRequest) -> Vec<Node> {
        self.ask(peer, &operation);
        let response = self.response().await;
        manage::interpret(&operation, &self.device(), &response)
            .expect("an answer")
            .nodes
    }

    async fn notification(&mut self) -> (NotificationKey, Response) {
        match self.event().await {
            Event::Notification {
                key,
                response,
                more: None,
            } => (key, response),
            event => panic!("no notification: {event:?}"),
        }
    }
}

fn operation(kind: OperationKind, paths: &[&str]) -> OperationRequest {
    OperationRequest::new(
        kind,
        paths
            .iter()
            .map(|path| path.parse().expect("a path"))
            .collect(),
    )
}

fn quiet(server: &Server, name: &str) -> SimSettings {
    let mut settings = SimSettings::new(server.address(), EndpointName::new(name).expect("a name"));
    settings.device.interval = Duration::from_secs(3600);
    settings
}

#[tokio::test]
async fn a_device_registers_and_answers_reads_observes_and_writes() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        LocalSet::new().run_until(one_device(address)).await;
    }
}

async fn one_device(address: &str) {
    let mut server = Server::start(address);
    let device = SimClient::start(quiet(&server, "dev-1")).expect("a socket");
    let (peer, request) = server.register().await;
    assert_eq!(
        request.endpoint,
        Some(EndpointName::new("dev-1").expect("a name"))
    );
    timeout(Duration::from_secs(5), device.registered())
        .await
        .expect("in time")
        .expect("registered");
    assert_eq!(peer.address.port(), device.address().port());

    let nodes = server
        .operate(peer, operation(OperationKind::Read, &["/3/0"]))
        .await;
    let manufacturer = Node::new(
        Path::resource(3, 0, 0),
        Value::String("flownexus".to_owned()),
    );
    assert!(nodes.contains(&manufacturer), "{nodes:?}");
    let nodes = server
        .operate(
            peer,
            operation(OperationKind::ReadComposite, &["/3/0/0", "/1/0/1"]),
        )
        .await;
    assert_eq!(nodes.len(), 2);

    // An Observe, two notifications, and the end by a Reset.
    let path = Path::resource(3303, 0, 5700);
    let (_, token) = server.ask(peer, &operation(OperationKind::Observe, &["/3303/0/5700"]));
    let first = server.response().await;
    let mut sequence = first.options.observe().expect("observed");
    for value in [21.5, 22.25] {
        device
            .set(path, Value::Float(value))
            .await
            .expect("a temperature");
        let (key, response) = server.notification().await;
        assert_eq!((key.token, key.confirmable), (token, true));
        let nodes =
            report::notification(&[path], false, &server.device(), &response).expect("values");
        assert_eq!(nodes, [Node::new(path, Value::Float(value))]);
        let next = response.options.observe().expect("observed");
        assert!(next > sequence);
        sequence = next;
        server.transport.acknowledge(&key);
    }
    device
        .set(path, Value::Float(23.0))
        .await
        .expect("a temperature");
    let (key, _) = server.notification().await;
    server.transport.reject(&key);

    // A write that the device answers with an Update.
    let mut write = operation(OperationKind::Write, &["/1/0/1"]);
    write.values = vec![Node::new(Path::resource(1, 0, 1), Value::Integer(77))];
    server.operate(peer, write).await;
    let (key, _, call) = server.call().await;
    let Call::Update { update, .. } = call else {
        panic!("no Update: {call:?}")
    };
    assert_eq!(update.lifetime, Some(Duration::from_secs(77)));
    server.transport.respond(&key, register::updated());

    device.send(vec![path]).await.expect("running");
    let (key, request, call) = server.call().await;
    assert_eq!(call, Call::Send);
    let nodes = report::send(&request, &server.device()).expect("values");
    assert_eq!(
        nodes.first().map(|node| node.value.clone()),
        Some(Value::Float(23.0))
    );
    server.transport.respond(&key, register::sent());

    assert!(
        device
            .set(path, Value::String("warm".to_owned()))
            .await
            .is_err()
    );
    assert_eq!(device.value(path).await, Some(Value::Float(23.0)));
    let stopping = device.clone();
    let stopped = spawn_local(async move { stopping.stop(true).await });
    let (key, _, call) = server.call().await;
    assert!(matches!(call, Call::Deregister { .. }), "{call:?}");
    server.transport.respond(&key, register::deregistered());
    timeout(Duration::from_secs(5), stopped)
        .await
        .expect("in time")
        .expect("stopped");
    let counters = device.counters();
    assert_eq!(counters.notifications_acknowledged(), 2);
    assert_eq!(
        (
            counters.notifications(),
            counters.updates(),
            counters.sends()
        ),
        (3, 1, 1)
    );
    assert_eq!(
        (
            counters.deregistrations(),
            counters.registered_now(),
            counters.failures()
        ),
        (1, 0, 0)
    );
    assert!(matches!(device.update().await, Err(SimError::Stopped)));
    server.transport.stop();
}

#[tokio::test]
async fn large_bodies_go_both_ways_in_blocks() {
    LocalSet::new()
        .run_until(async {
            let mut server = Server::start("127.0.0.1:0");
            let _device = SimClient::start(quiet(&server, "dev-1")).expect("a socket");
            let (peer, _) = server.register().await;
            let text = "flownexus ".repeat(500);
            let mut create = operation(OperationKind::Create, &["/16/0"]);
            let path = Path::resource_instance(16, 0, 0, 0);
            create.values = vec![Node::new(path, Value::String(text.clone()))];
            server.ask(peer, &create);
            assert_eq!(server.response().await.code, Code::CREATED);
            // The Update that tells of the new instance.
            let (key, ..) = server.call().await;
            server.transport.respond(&key, register::updated());
            let nodes = server
                .operate(peer, operation(OperationKind::Read, &["/16"]))
                .await;
            assert_eq!(nodes, [Node::new(path, Value::String(text))]);
            server.transport.stop();
        })
        .await;
}

#[tokio::test]
async fn a_device_in_queue_mode_sleeps_and_a_silent_one_says_nothing() {
    LocalSet::new()
        .run_until(async {
            let mut server = Server::start("127.0.0.1:0");
            let mut settings = quiet(&server, "dev-1");
            settings.device.queue_mode = Some(Duration::ZERO);
            let device = SimClient::start(settings).expect("a socket");
            let (peer, request) = server.register().await;
            assert!(request.queue_mode);
            device.registered().await.expect("registered");
            server.ask(peer, &operation(OperationKind::Read, &["/3/0/0"]));
            let slept = timeout(Duration::from_millis(300), server.events.recv()).await;
            assert!(slept.is_err(), "{slept:?}");
            // Its own message wakes it: it hears the copy, and answers it.
            device.update().await.expect("running");
            let (key, ..) = server.call().await;
            assert_eq!(server.response().await.code, Code::CONTENT);
            server.transport.respond(&key, register::updated());

            let second = SimClient::start(quiet(&server, "dev-2")).expect("a socket");
            server.register().await;
            second.registered().await.expect("registered");
            second.stop(false).await;
            let silence = timeout(Duration::from_millis(200), server.events.recv()).await;
            assert!(silence.is_err(), "{silence:?}");
            server.transport.stop();
        })
        .await;
}

#[tokio::test]
async fn behind_a_relay_a_device_changes_its_port_and_loses_datagrams_when_it_is_told_to() {
    LocalSet::new()
        .run_until(async {
            let mut server = Server::start("127.0.0.1:0");
            let mut settings = quiet(&server, "dev-1");
            settings.relay = true;
            let device = SimClient::start(settings).expect("a socket");
            let (peer, _) = server.register().await;
            device.registered().await.expect("registered");
            assert_ne!(peer.address.port(), device.address().port());
            assert!(device.location().await.expect("a place").starts_with("rd/"));

            device.rebind().await.expect("another port");
            device.update().await.expect("running");
            let (key, _, call) = server.call().await;
            assert!(matches!(call, Call::Update { .. }), "{call:?}");
            assert_ne!(key.peer, peer);
            server.transport.respond(&key, register::updated());
            let read = operation(OperationKind::Read, &["/3/0/0"]);
            assert_eq!(server.operate(key.peer, read).await.len(), 1);

            let silent = Quirks {
                passes: Some(0),
                ..Quirks::default()
            };
            device.set_quirks(silent).await.expect("a relay");
            device.update().await.expect("running");
            let silence = timeout(Duration::from_millis(200), server.events.recv()).await;
            assert!(silence.is_err(), "{silence:?}");
            // The copy of the Update comes through.
            let heals = device.set_quirks(Quirks::default()).await;
            heals.expect("a relay");
            server.call().await;

            let plain = SimClient::start(quiet(&server, "dev-2")).expect("a socket");
            let lossy = Quirks {
                loses_every: Some(2),
                ..Quirks::default()
            };
            let refused = plain.set_quirks(lossy).await;
            assert!(matches!(refused, Err(SimError::Refused(_))), "{refused:?}");
            assert!(plain.rebind().await.is_err());
            server.transport.stop();
        })
        .await;
}

#[tokio::test]
async fn a_fleet_registers_one_by_one_and_deregisters_in_the_end() {
    LocalSet::new()
        .run_until(async {
            let mut server = Server::start("127.0.0.1:0");
            let settings = FleetSettings {
                prefix: Some("pump-".to_owned()),
                delay: Duration::from_millis(1),
                ..FleetSettings::new(server.address(), 100)
            };
            let seen = std::rc::Rc::new(std::cell::Cell::new(0));
            let report = std::rc::Rc::clone(&seen);
            let fleet =
                Fleet::start_and_report(settings, move |progress| report.set(progress.registered));
            let mut names = HashMap::new();
            while names.len() < 100 {
                let (peer, request) = server.register().await;
                names.insert(request.endpoint.expect("a name").to_string(), peer);
            }
            assert!(names.contains_key("pump-1") && names.contains_key("pump-100"));
            for device in fleet.devices() {
                device.registered().await.expect("registered");
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
            assert_eq!(
                (
                    fleet.progress().started,
                    fleet.progress().registered,
                    seen.get()
                ),
                (100, 100, 100)
            );
            let devices = fleet.devices();
            let stopped = spawn_local(fleet.stop());
            for _ in 0..100 {
                let (key, _, call) = server.call().await;
                assert!(matches!(call, Call::Deregister { .. }), "{call:?}");
                server.transport.respond(&key, register::deregistered());
            }
            stopped.await.expect("stopped");
            let counters = devices.first().expect("a device").counters();
            assert_eq!((counters.deregistrations(), counters.failures()), (100, 0));
            server.transport.stop();
        })
        .await;
}
