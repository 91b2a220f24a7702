//! A device in virtual time: the test is the server.

mod etch;
mod firmware_behaviours;
mod firmware_is_pulled;
mod firmware_is_pushed;
mod house_keeping;
mod is_away_or_made_anew;
mod keeps_its_registration;
mod lwm2m_cbor;
mod misbehaves;
mod notifies;
mod operates;
mod periods;
mod records;
mod refuses;
mod sends;
mod sleeps;
mod test_objects;
mod thresholds;

use super::*;
use crate::coap::{Code, Options, number};
use crate::domain::{ContentFormat, EndpointName, Lwm2mVersion, Node, RefusedFormats, Timestamp};
use crate::lwm2m::{ModelView, codec};
use crate::sim::models;

/// A device with its clock, and everything that it has said.
struct Bench {
    device: Device,
    now: Now,
    models: Arc<Models>,
    asked: Vec<(u32, Request)>,
    notified: Vec<(Token, Response, bool)>,
    happened: Vec<Happening>,
    denied: Vec<(Code, String)>,
    finished: bool,
    fetched: Vec<Fetch>,
    hung_up: Vec<u32>,
    last_token: u8,
}

impl Bench {
    fn new(change: impl FnOnce(&mut DeviceSettings)) -> Self {
        let mut settings = DeviceSettings::new(EndpointName::new("dev-1").expect("a name"));
        // Nothing moves but what the test moves.
        settings.interval = Duration::from_secs(1_000_000);
        change(&mut settings);
        let now = Now {
            instant: Instant::now(),
            wall: Timestamp::from_millis(1_800_000_000_000).expect("a moment"),
        };
        let models = models();
        Self {
            device: Device::new(settings, Arc::clone(&models), now),
            now,
            models,
            asked: Vec::new(),
            notified: Vec::new(),
            happened: Vec::new(),
            denied: Vec::new(),
            finished: false,
            fetched: Vec::new(),
            hung_up: Vec::new(),
            last_token: 0,
        }
    }

    /// Like [`Bench::registered`], with the objects for tests.
    fn with_test_objects() -> Self {
        Self::registered(|settings| settings.test_objects = true)
    }

    /// A device whose Register was just confirmed.
    fn registered(change: impl FnOnce(&mut DeviceSettings)) -> Self {
        let mut bench = Self::new(change);
        bench.input(Input::Start);
        bench.take_request();
        bench.confirm_registration();
        bench
    }

    fn confirm_registration(&mut self) {
        let mut response = Response::new(Code::CREATED);
        response.options.add(number::LOCATION_PATH, b"rd");
        response.options.add(number::LOCATION_PATH, b"abc");
        self.reply(Ok(response));
        assert!(self.device.is_registered());
    }

    fn input(&mut self, input: Input) -> Option<Response> {
        let mut answer = None;
        for (at, output) in self.device.handle(self.now, input).into_iter().enumerate() {
            match output {
                Output::Ask { exchange, request } => self.asked.push((exchange, request)),
                Output::Denied { code, reason } => self.denied.push((code, reason)),
                Output::Drop => assert_eq!(at, 0, "the fate of a request comes first"),
                Output::Fetch(fetch) => self.fetched.push(fetch),
                Output::Finished => self.finished = true,
                Output::HangUp { download } => self.hung_up.push(download),
                Output::Happened(happening) => self.happened.push(happening),
                Output::Notify {
                    token,
                    response,
                    confirmable,
                } => {
                    self.notified.push((token, response, confirmable));
                }
                Output::Refused(reason) => panic!("{reason}"),
                Output::Respond(response) => {
                    assert_eq!(at, 0, "the fate of a request comes first");
                    answer = Some(response);
                }
            }
        }
        answer
    }

    /// Lets time pass, and wakes the device whenever it wants to.
    fn pass(&mut self, seconds: f64) {
        let end = self.now.plus(Duration::from_secs_f64(seconds));
        let mut wakes = 0;
        while let Some(at) = self.device.next_timeout().filter(|at| *at <= end.instant) {
            self.now = self
                .now
                .plus(at.saturating_duration_since(self.now.instant));
            self.input(Input::Timeout);
            wakes += 1;
            assert!(wakes < 10_000, "the device does not come to rest");
        }
        self.now = end;
    }

    /// The only request that the device has made since.
    #[track_caller]
    fn take_request(&mut self) -> Request {
        assert_eq!(self.asked.len(), 1, "{:?}", self.asked);
        self.asked[0].1.clone()
    }

    /// The server's answer to it.
    fn reply(&mut self, answer: Result<Response, ExchangeFailure>) {
        let (exchange, _) = self.asked.remove(0);
        self.input(Input::Answered { exchange, answer });
    }

    /// The server asks.
    fn ask(&mut self, request: Request) -> Response {
        self.last_token = self.last_token.wrapping_add(1);
        let token = Token::from([self.last_token; 8]);
        self.ask_as(token, request).expect("the device answers")
    }

    fn ask_as(&mut self, token: Token, request: Request) -> Option<Response> {
        self.input(Input::Request { token, request })
    }

    fn get(&mut self, path: &str, format: ContentFormat) -> Response {
        self.ask(get(path, Some(format)))
    }

    /// A write or create with these nodes, as SenML.
    fn write(&mut self, code: Code, path: &str, nodes: &[(&str, Value)]) -> Response {
        let request = self.with_nodes(code, path, nodes);
        self.ask(request)
    }

    fn with_nodes(&self, code: Code, path: &str, nodes: &[(&str, Value)]) -> Request {
        let nodes: Vec<Node> = nodes
            .iter()
            .map(|(path, value)| Node::new(at(path), value.clone()))
            .collect();
        let format = ContentFormat::SenmlCbor;
        let payload = codec::encode(format, at(path), &nodes, ModelView::newest(&self.models))
            .expect("nodes");
        let mut request = request(code, path);
        request
            .options
            .add_uint(number::CONTENT_FORMAT, format.code().into());
        request.payload = payload;
        request
    }

    fn nodes(&self, path: &str, response: &Response) -> Vec<Node> {
        let format = response.options.content_format().expect("a format");
        codec::decode(
            format,
            at(path),
            &response.payload,
            ModelView::newest(&self.models),
        )
        .expect("nodes")
    }

    /// The device as its server sees it.
    fn server_side(&self) -> crate::lwm2m::Device<'_> {
        crate::lwm2m::Device {
            version: Lwm2mVersion::V1_1,
            root: "",
            formats: &[],
            refused: RefusedFormats::NONE,
            objects: &[],
            models: &self.models,
        }
    }

    /// The links of a Discover.
    fn discover(&mut self, path: &str) -> String {
        let mut request = get(path, None);
        request.options.add_uint(number::ACCEPT, 40);
        let response = self.ask(request);
        assert_eq!(response.code, Code::CONTENT, "{path}");
        String::from_utf8(response.payload).expect("text")
    }

    fn observe_composite(&mut self, token: u8, paths: &[&str]) -> Response {
        self.ask_as(Token::from([token; 8]), fetch(paths, Some(0)))
            .expect("the device answers")
    }

    fn observe(&mut self, token: u8, path: &str) -> Response {
        let mut request = get(path, Some(ContentFormat::SenmlCbor));
        request.options.add_uint(number::OBSERVE, 0);
        self.ask_as(Token::from([token; 8]), request)
            .expect("the device answers")
    }

    fn set(&mut self, path: &str, value: Value) {
        self.input(Input::Set(at(path), value));
    }

    /// The server acknowledges every notification so far.
    fn acknowledge(&mut self) -> Vec<(Token, Response, bool)> {
        let taken = std::mem::take(&mut self.notified);
        for (token, _, confirmable) in &taken {
            if *confirmable {
                self.input(Input::NotificationAcknowledged(*token));
            }
        }
        taken
    }

    fn attributes(&mut self, path: &str, query: &[&str]) -> Code {
        let mut request = request(Code::PUT, path);
        for part in query {
            request.options.add(number::URI_QUERY, part.as_bytes());
        }
        self.ask(request).code
    }
}

fn at(path: &str) -> Path {
    path.parse().expect(path)
}

fn request(code: Code, path: &str) -> Request {
    let mut request = Request::new(code);
    request.options.add_uri_path(path);
    request
}

fn get(path: &str, format: Option<ContentFormat>) -> Request {
    let mut request = request(Code::GET, path);
    if let Some(format) = format {
        request
            .options
            .add_uint(number::ACCEPT, format.code().into());
    }
    request
}

fn text(code: Code, path: &str, body: &str) -> Request {
    let mut request = request(code, path);
    request.options.add_uint(number::CONTENT_FORMAT, 0);
    request.payload = body.as_bytes().to_vec();
    request
}

fn fetch(paths: &[&str], observe: Option<u32>) -> Request {
    let paths: Vec<Path> = paths.iter().map(|path| at(path)).collect();
    let mut request = Request::new(Code::FETCH);
    let format = ContentFormat::SenmlCbor;
    request.payload = codec::encode_paths(format, &paths).expect("paths");
    request
        .options
        .add_uint(number::CONTENT_FORMAT, format.code().into());
    if let Some(observe) = observe {
        request.options.add_uint(number::OBSERVE, observe);
    }
    request
}

fn query(options: &Options) -> Vec<&str> {
    options.uri_query().expect("text")
}
