//! What the conformance tests share: the transports, operations from REST to the wire and back, the
//! requests that are expected to the byte, and the live messages.

use std::fmt;
use std::time::Instant;

use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::device::ScriptedDevice;
use crate::support::server::{Api, SOON, Server, Setup};
use crate::support::shared::{Hold, SharedServer};
use flownexus::coap::{Code, Message, MessageType, Options, number};

/// `application/cbor`
pub(crate) const CBOR: u16 = 60;
/// `application/octet-stream`
pub(crate) const OPAQUE: u16 = 42;
/// `application/vnd.oma.lwm2m+tlv`
pub(crate) const TLV: u16 = 11_542;
/// `application/vnd.oma.lwm2m+json`, of LwM2M 1.0
pub(crate) const OLD_JSON: u16 = 11_543;

/// A server with default settings, for everything that needs no others.
pub(crate) static DEFAULT: SharedServer = SharedServer::new(unchanged);

fn unchanged(setup: Setup) -> Setup {
    setup
}

/// A server that notices within a second what the command line does to credentials.
pub(crate) static ALERT: SharedServer = SharedServer::new(alert);

fn alert(setup: Setup) -> Setup {
    setup.setting("credentials.reload_s", 1)
}

/// What a device's messages travel over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    /// DTLS with a pre-shared key of the device.
    Dtls,
    Udp,
}

impl Transport {
    /// A device that has not said anything yet. The transport is part of its name, so that the
    /// cases of one test share a server.
    pub(crate) fn device(self, server: &Server, id: &str) -> ScriptedDevice {
        let name = format!("{id}-{self:?}");
        match self {
            Self::Dtls => server.secure_device(&name),
            Self::Udp => ScriptedDevice::new(&name, server.coap()),
        }
    }

    /// A registered device: LwM2M 1.1, all formats that 1.1 defines announced, no object that the
    /// default templates ask for.
    pub(crate) fn registered(self, server: &Server, id: &str) -> ScriptedDevice {
        let mut device = self.device(server, id);
        device.register_now(3600, LINKS);
        device
    }
}

/// What [`Transport::registered`] announces.
pub(crate) const LINKS: &str =
    "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\",</1/0>,</16/0>,</3442/0>";

/// The shared default server.
pub(crate) async fn server() -> Hold {
    DEFAULT.hold().await
}

/// Asks for an operation, lets the device do its part, and returns the operation's end.
pub(crate) async fn operate(
    api: &Api,
    device: &mut ScriptedDevice,
    body: Json,
    part: impl FnOnce(&mut ScriptedDevice),
) -> Json {
    let operation = api.operate(device.name(), &body).await;
    part(device);
    api.ended(&operation).await
}

/// A read of one path in a format: the request is expected to the byte, the device answers with
/// this payload in the same format, and what came out is returned: see [`values`].
pub(crate) async fn read_as(
    api: &Api,
    device: &mut ScriptedDevice,
    path: &str,
    (name, format): (&str, u16),
    payload: &[u8],
) -> Json {
    let body = json!({"kind": "read", "path": path, "format": name});
    let ended = operate(api, device, body, |device| {
        let read = Asked::get(path).accept(format).expect(device);
        device.answer_content(&read, format, payload);
    })
    .await;
    confirmed(&ended, "2.05");
    values(&ended)
}

/// Fails unless the operation is CONFIRMED with this code.
#[track_caller]
pub(crate) fn confirmed(ended: &Json, code: &str) {
    assert_eq!(
        (&ended["status"], &ended["result"]["code"]),
        (&json!("CONFIRMED"), &json!(code)),
        "{ended}"
    );
}

/// Fails unless the operation is FAILED with this code of the device, at its first attempt.
#[track_caller]
pub(crate) fn refused(ended: &Json, code: &str) {
    assert_eq!(
        (
            &ended["status"],
            &ended["result"]["code"],
            &ended["attempts"]
        ),
        (&json!("FAILED"), &json!(code), &json!(1)),
        "{ended}"
    );
    let error = ended["error"].as_str().expect("an error");
    assert!(error.contains(code), "{ended}");
}

/// Fails unless the operation is FAILED with all of these words in its error.
#[track_caller]
pub(crate) fn failed(ended: &Json, words: &[&str]) {
    assert_eq!(ended["status"], "FAILED", "{ended}");
    let error = ended["error"].as_str().expect("an error");
    for word in words {
        assert!(error.contains(word), "`{word}` in `{error}`");
    }
}

/// The values of an operation's result: `[[path, type, value], …]`.
pub(crate) fn values(ended: &Json) -> Json {
    let nodes = ended["result"]["nodes"].as_array().expect("nodes");
    let triple = |node: &Json| json!([node["path"], node["type"], node["value"]]);
    Json::Array(nodes.iter().map(triple).collect())
}

/// The latest values below a path that the API shows: `[[path, type, value, time], …]`, sorted.
pub(crate) async fn latest(api: &Api, device: &ScriptedDevice, below: &str) -> Vec<Json> {
    let shown = api
        .read(&format!("/api/v1/endpoints/{}/resources", device.name()))
        .await;
    let within = |path: &str| path == below || path.starts_with(&format!("{below}/"));
    let items = shown["items"].as_array().expect("items").iter();
    let mut found: Vec<Json> = items
        .filter(|item| item["path"].as_str().is_some_and(within))
        .map(|item| json!([item["path"], item["type"], item["value"], item["time"]]))
        .collect();
    found.sort_by_key(|item| item[0].to_string());
    found
}

/// The points of a path's history in these days: `[[epoch ms, value], …]`.
pub(crate) async fn history(
    api: &Api,
    device: &ScriptedDevice,
    path: &str,
    (from, to): (&str, &str),
) -> Json {
    let name = device.name();
    let shown = api
        .read(&format!(
            "/api/v1/endpoints/{name}/history?path={path}&from={from}&to={to}"
        ))
        .await;
    shown["points"].clone()
}

/// The endpoint as the API shows it.
pub(crate) async fn shown(api: &Api, device: &ScriptedDevice) -> Json {
    api.endpoint(device.name()).await.expect("a known endpoint")
}

/// The codes of the endpoint's warnings, in their order.
pub(crate) async fn warnings(api: &Api, device: &ScriptedDevice) -> Vec<String> {
    let shown = shown(api, device).await;
    let warnings = shown["warnings"].as_array().expect("warnings").iter();
    warnings
        .map(|warning| warning["code"].as_str().expect("a code").to_owned())
        .collect()
}

/// Fails when the server has sent anything that was not yet received: an Update is a fence, as its
/// answer comes behind all that was sent before.
#[track_caller]
pub(crate) fn nothing_was_sent(device: &mut ScriptedDevice) {
    let update = device.update();
    device.send(&update);
    let mut answer = device.expect("the answer to an Update");
    // Many servers of these tests repeat after 100 ms, which a busy machine may take.
    while device.has_answered(&answer) {
        answer = device.expect("the answer to an Update");
    }
    assert_eq!(
        (answer.kind, answer.code, answer.message_id),
        (
            MessageType::Acknowledgement,
            Code::CHANGED,
            update.message_id
        ),
        "{answer:?}"
    );
}

/// A request as it must be, to the last option and byte.
#[derive(Clone)]
pub(crate) struct Asked {
    code: Code,
    options: Options,
    payload: Vec<u8>,
}

impl Asked {
    pub(crate) fn new(code: Code, path: &str) -> Self {
        let mut options = Options::new();
        options.add_uri_path(path);
        Self {
            code,
            options,
            payload: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Code::GET, path)
    }

    pub(crate) fn put(path: &str) -> Self {
        Self::new(Code::PUT, path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new(Code::POST, path)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new(Code::DELETE, path)
    }

    pub(crate) fn fetch() -> Self {
        Self::new(Code::FETCH, "/")
    }

    pub(crate) fn ipatch() -> Self {
        Self::new(Code::IPATCH, "/")
    }

    pub(crate) fn observe(mut self, value: u32) -> Self {
        self.options.add_uint(number::OBSERVE, value);
        self
    }

    pub(crate) fn accept(mut self, format: u16) -> Self {
        self.options.add_uint(number::ACCEPT, u32::from(format));
        self
    }

    pub(crate) fn query(mut self, parameter: &str) -> Self {
        self.options.add(number::URI_QUERY, parameter.as_bytes());
        self
    }

    pub(crate) fn body(mut self, format: u16, payload: impl AsRef<[u8]>) -> Self {
        self.options
            .add_uint(number::CONTENT_FORMAT, u32::from(format));
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// The next message must be this request.
    #[track_caller]
    pub(crate) fn expect(&self, device: &mut ScriptedDevice) -> Message {
        let request = self.expect_but_for_the_payload(device);
        assert_eq!(
            hex::encode(&request.payload),
            hex::encode(&self.payload),
            "the payload of {self}"
        );
        request
    }

    /// The next message must be this request; its payload is judged by the test.
    #[track_caller]
    pub(crate) fn expect_but_for_the_payload(&self, device: &mut ScriptedDevice) -> Message {
        let request = device.expect(&self.to_string());
        let got = Self {
            code: request.code,
            options: request.options.clone(),
            payload: Vec::new(),
        };
        assert_eq!(got.to_string(), self.to_string());
        assert_eq!(request.kind, MessageType::Confirmable);
        assert_eq!(
            request.token.as_bytes().len(),
            8,
            "a token that nobody guesses"
        );
        request
    }
}

impl fmt::Display for Asked {
    /// The code and every option: `0.01 11:33 11:30 17:70`, values in hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        for (number, value) in self.options.iter() {
            write!(f, " {number}:{}", hex::encode(value))?;
        }
        Ok(())
    }
}

/// Bytes from hexadecimal digits; spaces are for the reader.
pub(crate) fn bytes(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    hex::decode(digits).expect("hexadecimal digits")
}

/// What a SenML pack says, whatever way it says it: the resolved name and the value of each record,
/// the latter under its label (RFC 8428 section 4; `vlo` is LwM2M's). Read by hand, not with the
/// server's own codec.
pub(crate) fn senml(format: u16, payload: &[u8]) -> Vec<(String, Json)> {
    let records = match format {
        110 => serde_json::from_slice::<Json>(payload).expect("JSON"),
        112 => {
            let pack: ciborium::Value = ciborium::from_reader(payload).expect("CBOR");
            labelled(pack)
        }
        other => panic!("{other} is not SenML"),
    };
    let mut base = String::new();
    let mut said = Vec::new();
    for record in records.as_array().expect("an array of records") {
        if let Some(name) = record["bn"].as_str() {
            name.clone_into(&mut base);
        }
        let name = format!("{base}{}", record["n"].as_str().unwrap_or_default());
        let value = ["v", "vs", "vb", "vd", "vlo"]
            .into_iter()
            .filter(|label| !record[label].is_null())
            .map(|label| (label.to_owned(), record[label].clone()))
            .collect::<serde_json::Map<_, _>>();
        said.push((name, Json::Object(value)));
    }
    said.sort_by_key(|(name, _)| name.clone());
    said
}

/// The labels of SenML-CBOR by their names in SenML-JSON (RFC 8428 table 4); bytes as hexadecimal
/// digits.
fn labelled(value: ciborium::Value) -> Json {
    use ciborium::Value;
    match value {
        Value::Array(items) => Json::Array(items.into_iter().map(labelled).collect()),
        Value::Map(fields) => {
            let label = |key: Value| match key {
                Value::Text(text) => text,
                Value::Integer(number) => match i128::from(number) {
                    -2 => "bn".to_owned(),
                    -3 => "bt".to_owned(),
                    0 => "n".to_owned(),
                    2 => "v".to_owned(),
                    3 => "vs".to_owned(),
                    4 => "vb".to_owned(),
                    6 => "t".to_owned(),
                    8 => "vd".to_owned(),
                    other => panic!("no label of LwM2M: {other}"),
                },
                other => panic!("no label: {other:?}"),
            };
            let fields = fields.into_iter().map(|(k, v)| (label(k), labelled(v)));
            Json::Object(fields.collect())
        }
        Value::Text(text) => Json::from(text),
        Value::Bool(on) => Json::from(on),
        Value::Bytes(bytes) => Json::from(hex::encode(bytes)),
        Value::Float(number) => Json::from(number),
        Value::Integer(number) => {
            let number = i128::from(number);
            i64::try_from(number).map_or_else(
                |_| Json::from(u64::try_from(number).expect("64 bits")),
                Json::from,
            )
        }
        other => panic!("nothing of SenML: {other:?}"),
    }
}

/// The live messages of one endpoint.
pub(crate) struct Live {
    socket: WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>,
}

impl Live {
    /// Follows this device from now on.
    pub(crate) async fn of(server: &Server, device: &ScriptedDevice) -> Self {
        let request = server.live_request(&format!("endpoint:{}", device.name()));
        let (socket, _) = connect_async(request).await.expect("a socket");
        Self { socket }
    }

    /// The next message of this kind that fits; others are passed over.
    pub(crate) async fn next(&mut self, kind: &str, fits: impl Fn(&Json) -> bool) -> Json {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let frame = tokio::time::timeout(left, self.socket.next()).await;
            let Ok(frame) = frame else {
                panic!("no such `{kind}` within {SOON:?}")
            };
            let Frame::Text(text) = frame.expect("an open socket").expect("a message") else {
                continue;
            };
            let message: Json = serde_json::from_str(&text).expect("JSON");
            if message["kind"] == kind && fits(&message) {
                return message;
            }
        }
    }
}
