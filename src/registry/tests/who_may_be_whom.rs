//! Which endpoint somebody may be: by its credential, or by nothing but its word.

use crate::domain::{
    CredentialId, Denied, NewOperation, Operation, OperationKind, OperationRequest,
    OperationStatus, Origin,
};
use crate::registry::actor::IsAwake;
use crate::registry::asks::OperateOn;
use crate::security::{Credential, Proof};
use crate::store::ResourceReader as _;

use super::*;

impl House {
    /// From now on what is sent comes in a session of this endpoint.
    fn handshake(&mut self, number: u64, endpoint: &str) -> Peer {
        self.session = Some(SessionId(number));
        let peer = self.peer();
        self.cable.open(peer, endpoint);
        peer
    }

    /// The session is over, as the DTLS layer tells it.
    async fn disconnect(&self, peer: Peer) {
        self.cable.sessions.borrow_mut().remove(&peer);
        self.cable.call(|layer, now| layer.disconnect(now, peer));
        let mut events = Vec::new();
        while let Some(event) = self.cable.layer.borrow_mut().poll_event() {
            events.push(event);
        }
        self.events.send(events).await.expect("a registry");
    }

    /// The endpoint gets a key.
    fn give_key(&self, endpoint: &str) {
        self.keyring.add(Credential {
            id: CredentialId(1),
            endpoint: name(endpoint),
            proof: Proof::Psk {
                identity: endpoint.to_owned(),
                key: vec![7; 16].into(),
            },
        });
    }

    async fn try_to_register(&mut self, query: &str) -> Message {
        self.send(Code::POST, "/rd", query, b"</1/0>,</3303/0>")
            .await;
        self.answer().await
    }

    /// The registry's answer to one Send.
    async fn send_temperature(&mut self) -> Code {
        self.next_message_id += 1;
        let mut options = Options::new();
        options.add_uri_path("/dp");
        options.add_uint(number::CONTENT_FORMAT, 110);
        let message = Message {
            kind: MessageType::Confirmable,
            code: Code::POST,
            message_id: self.next_message_id,
            token: Token::from([1; 8]),
            options,
            payload: br#"[{"n":"/3303/0/5700","v":20.5}]"#.to_vec(),
        };
        self.deliver(&message).await;
        self.answer().await.code
    }

    /// Asks for something; the receiver gets its end.
    async fn operate(
        &self,
        endpoint: &str,
        kind: OperationKind,
    ) -> tokio::sync::oneshot::Receiver<Operation> {
        let (finished, is_finished) = tokio::sync::oneshot::channel();
        let (accepted, is_accepted) = tokio::sync::oneshot::channel();
        let path = "/1/0/1".parse().expect("a path");
        let operation = NewOperation {
            request: OperationRequest::new(kind, vec![path]),
            origin: Origin::User("me".to_owned()),
            expires_in: None,
            max_attempts: 3,
            by: None,
            key: None,
        };
        let asked = self.registry.send(OperateOn {
            endpoint: name(endpoint),
            operation,
            accepted,
            finished: Some(finished),
        });
        asked.await.expect("a registry");
        is_accepted.await.expect("an answer").expect("accepted");
        is_finished
    }
}

fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

#[actix_rt::test]
async fn l08_an_endpoint_with_credentials_is_refused_on_plain_coap() {
    let mut house = House::new(|_| {}).await;
    house.give_key("thing");
    let answer = house.try_to_register("ep=thing&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::FORBIDDEN);
    assert!(text(&answer).contains("DTLS"), "{}", text(&answer));
    assert_eq!(house.metrics.actors.get(), 0);
    assert_eq!(house.refusals.count(&Denied::HasCredentials), 1);
    let denial = house.refusals.last(&name("thing")).expect("remembered");
    assert_eq!(denial.reason, Denied::HasCredentials);
    assert_eq!(denial.address.to_string(), "127.0.0.1:5000");
    // Others are taken at their word.
    let answer = house.try_to_register("ep=other&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::CREATED);
}

#[actix_rt::test]
async fn l01_over_dtls_a_name_is_taken_from_the_identity_and_l05_must_be_that() {
    let mut house = House::new(|_| {}).await;
    house.handshake(1, "thing");
    let answer = house.try_to_register("lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::CREATED);
    let fleet = house.store.load(Duration::ZERO).await.expect("the fleet");
    assert_eq!(fleet.endpoints[0].1, name("thing"));
    assert_eq!(fleet.registered[0].peer.session, Some(SessionId(1)));
    let answer = house.try_to_register("ep=thing&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::CREATED);
    let answer = house.try_to_register("ep=other&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::FORBIDDEN);
    assert_eq!(house.refusals.count(&Denied::OtherEndpoint), 1);
    // Nobody here is called so: it is not remembered what strangers call themselves.
    assert_eq!(house.refusals.last(&name("other")), None);
    // Whose key it was is known: people find it there, and the device is told nothing of it.
    let denial = house.refusals.last(&name("thing")).expect("remembered");
    let said = denial.for_people();
    assert!(
        said.contains("of `thing` and called itself `other`"),
        "{said}"
    );
    assert_eq!(text(&answer), "the credential is for another endpoint");
}

#[actix_rt::test]
async fn a_session_whose_credential_is_gone_registers_nobody() {
    let mut house = House::new(|_| {}).await;
    let peer = house.handshake(1, "thing");
    house.cable.sessions.borrow_mut().remove(&peer);
    let answer = house.try_to_register("ep=thing&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::FORBIDDEN);
    assert_eq!(house.send_temperature().await, Code::FORBIDDEN);
    assert_eq!(house.refusals.count(&Denied::NoIdentity), 2);
}

#[actix_rt::test]
async fn where_strangers_are_refused_a_credential_is_enough() {
    let mut house =
        House::new(|settings| settings.registration.unknown_endpoints = UnknownEndpoints::Deny)
            .await;
    let answer = house.try_to_register("ep=thing&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::FORBIDDEN);
    assert_eq!(house.refusals.count(&Denied::Stranger), 1);
    house.handshake(1, "thing");
    let answer = house.try_to_register("ep=thing&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::CREATED);
}

#[actix_rt::test]
async fn nothing_takes_the_place_of_a_secure_device_over_plain_coap() {
    // A certificate of our CA has no row, so nothing but its registration speaks for the device.
    let mut house = House::new(|_| {}).await;
    house.handshake(1, "thing");
    let answer = house.try_to_register("lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::CREATED);
    house.session = None;
    let answer = house.try_to_register("ep=thing&lwm2m=1.1&lt=300").await;
    assert_eq!(answer.code, Code::FORBIDDEN);
    let denial = house.refusals.last(&name("thing")).expect("remembered");
    assert_eq!(denial.reason, Denied::RegisteredSecurely);
}

#[actix_rt::test]
async fn a_send_is_led_by_its_identity_even_when_devices_swap_addresses() {
    let mut house = House::new(|_| {}).await;
    for (number, endpoint) in [(1, "a"), (2, "b")] {
        house.port = 5000 + u16::try_from(number).expect("a port");
        house.handshake(number, endpoint);
        let answer = house.try_to_register("lwm2m=1.1&lt=300").await;
        assert_eq!(answer.code, Code::CREATED);
    }
    // Device a comes back in a new session where b was, and b where a was.
    house.port = 5002;
    house.handshake(3, "a");
    assert_eq!(house.send_temperature().await, Code::CHANGED);
    house.port = 5001;
    house.session = Some(SessionId(2));
    assert_eq!(house.send_temperature().await, Code::CHANGED);
    assert_eq!(house.send_temperature().await, Code::CHANGED);
    for endpoint in ["a", "b"] {
        let fleet = house.store.load(Duration::ZERO).await.expect("the fleet");
        let of = |(_, known): &&(_, EndpointName)| *known == name(endpoint);
        let (id, _) = *fleet.endpoints.iter().find(of).expect("known");
        let latest = house.store.latest(id).await.expect("values");
        assert!(
            latest
                .iter()
                .any(|value| value.path.to_string() == "/3303/0/5700"),
            "{endpoint}: {latest:?}"
        );
    }
    // One that is known by its credential and not registered is told to register.
    house.handshake(4, "c");
    assert_eq!(house.send_temperature().await, Code::BAD_REQUEST);
}

#[actix_rt::test]
async fn l06_without_a_credential_requests_fail_and_say_why() {
    let mut house = House::new(|_| {}).await;
    let peer = house.handshake(1, "thing");
    house.try_to_register("lwm2m=1.1&lt=300").await;
    house.cable.refuses.set(Some(Unreachable::NoCredential));
    house.disconnect(peer).await;
    let finished = house.operate("thing", OperationKind::Read).await;
    let failed = finished.await.expect("an end");
    assert_eq!(
        (failed.status, failed.attempts),
        (OperationStatus::Failed, 3)
    );
    let error = failed.error.expect("a reason");
    assert!(error.contains("no credential"), "{error}");
    assert!(house.sent.try_recv().is_err(), "nothing was sent");
}

#[actix_rt::test]
async fn l03_a_session_of_ours_is_begun_with_a_device_that_does_not_sleep_only() {
    for (query, sleeps) in [("lwm2m=1.1&lt=300", false), ("lwm2m=1.1&lt=300&Q", true)] {
        let mut house = House::new(|_| {}).await;
        let peer = house.handshake(1, "thing");
        house.try_to_register(query).await;
        let awake = async |house: &House| {
            let asked = house.registry.send(IsAwake(name("thing")));
            asked.await.expect("a registry").expect("registered")
        };
        assert!(awake(&house).await);
        house.disconnect(peer).await;
        let _finished = house.operate("thing", OperationKind::Read).await;
        // It listens at any time, or it does not listen any more.
        assert_eq!(awake(&house).await, !sleeps);
        if sleeps {
            assert!(house.sent.try_recv().is_err(), "nothing was sent");
            // Its next message, in a session of its own, brings what waits.
            house.handshake(2, "thing");
            let answer = house.try_to_register(query).await;
            assert_eq!(answer.code, Code::CREATED);
        }
        let request = house.answer().await;
        assert_eq!(request.code, Code::GET);
    }
}

#[actix_rt::test]
async fn what_was_under_way_in_a_lost_session_goes_again_in_the_next_one() {
    let mut house = House::new(|_| {}).await;
    let peer = house.handshake(1, "thing");
    house.try_to_register("lwm2m=1.1&lt=300").await;
    let _finished = house.operate("thing", OperationKind::Read).await;
    let first = house.answer().await;
    assert_eq!(first.code, Code::GET);
    house.disconnect(peer).await;
    // The session that is begun by us stands at once on this bench.
    let second = house.answer().await;
    assert_eq!(second.code, Code::GET);
    assert_ne!(first.token, second.token);
}
