//! The real binary as a test sees it: started on free loopback ports with a folder of its own,
//! watched through its output, its REST API and its health endpoint, and ended hard or gently.
//!
//! A test never sleeps to wait: it names what it waits for and until when, see [`eventually`].

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;

use super::device::ScriptedDevice;
use super::secure::Credentials;

/// How long the binary may take until it is ready, or gone: a debug build on a busy machine.
pub(crate) const START: Duration = Duration::from_secs(60);
/// The pre-shared key of the devices that [`Server::secure_device`] makes.
pub(crate) const DEVICE_KEY: &[u8] = b"a key of 16 byte";
/// How long something may take that takes milliseconds on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Below the ports that the kernel gives to clients, so that nothing takes the server's ports while
/// it is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// So much of the log is shown when a test fails.
const LOG_SHOWN_BYTES: usize = 16 * 1024;

/// Asks again and again until there is an answer.
///
/// # Panics
/// With `what` when there is none before the deadline.
pub(crate) async fn eventually<T, F>(
    what: &str,
    deadline: Duration,
    mut ask: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A server before its first start.
#[derive(Default)]
pub(crate) struct Setup {
    settings: BTreeMap<String, String>,
    demo: usize,
}

impl Setup {
    /// A setting by its key, as in `("coap.max_transfers", 3)`.
    pub(crate) fn setting(mut self, key: &str, value: impl ToString) -> Self {
        let variable = format!("FLOWNEXUS__{}", key.replace('.', "__").to_uppercase());
        self.settings.insert(variable, value.to_string());
        self
    }

    /// With so many simulated devices of its own (`--demo`).
    pub(crate) fn demo(mut self, devices: usize) -> Self {
        self.demo = devices;
        self
    }

    /// Makes an admin's token, starts the server and waits until it is ready.
    pub(crate) async fn start(self) -> Server {
        let data = tempfile::tempdir().expect("a folder for the data");
        let mut settings = BTreeMap::from([
            ("FLOWNEXUS__LOG__FORMAT".to_owned(), "text".to_owned()),
            (
                "FLOWNEXUS__LOG__LEVEL".to_owned(),
                "debug,sqlx=warn,sea_orm=warn,h2=warn".to_owned(),
            ),
        ]);
        settings.extend(self.settings);
        settings.insert(
            "FLOWNEXUS__DATA_DIR".to_owned(),
            data.path().display().to_string(),
        );
        for variable in [
            "FLOWNEXUS__COAP__LISTEN",
            "FLOWNEXUS__COAPS__LISTEN",
            "FLOWNEXUS__FIRMWARE__LISTEN",
            "FLOWNEXUS__WEB__LISTEN",
        ] {
            let port = free_port();
            settings
                .entry(variable.to_owned())
                .or_insert_with(|| format!("127.0.0.1:{port}"));
        }
        let token = run(
            &settings,
            &["token", "create", "--name", "test", "--role", "admin"],
            "",
        );
        assert!(token.status.success(), "token create: {}", shown(&token));
        let token = String::from_utf8(token.stdout)
            .expect("a token is text")
            .trim()
            .to_owned();
        assert!(
            !token.is_empty() && !token.contains(char::is_whitespace),
            "`{token}` is no token"
        );
        let running = Running::start(&settings, self.demo).await;
        Server {
            running: Some(running),
            settings,
            demo: self.demo,
            data,
            token,
        }
    }
}

/// A flownexus server in a process of its own. Killed when dropped; what it wrote is printed when
/// the test fails.
pub(crate) struct Server {
    running: Option<Running>,
    settings: BTreeMap<String, String>,
    demo: usize,
    data: TempDir,
    token: String,
}

impl Server {
    /// With default settings.
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    /// With other settings.
    pub(crate) fn setup() -> Setup {
        Setup::default()
    }

    /// Where plain CoAP is served, as the server printed it.
    pub(crate) fn coap(&self) -> SocketAddr {
        self.running().coap
    }

    /// Where CoAP over DTLS is served, as the server printed it.
    pub(crate) fn coaps(&self) -> SocketAddr {
        self.running().coaps.expect("the server serves DTLS")
    }

    /// Where firmware images are served over HTTPS, as the server printed it: `https://HOST:PORT`.
    pub(crate) fn firmware(&self) -> &str {
        let firmware = self.running().firmware.as_deref();
        firmware.expect("the server serves firmware images")
    }

    /// A device with a pre-shared key of its own, which the server has taken note of: the handshake
    /// is done.
    pub(crate) fn secure_device(&self, name: &str) -> ScriptedDevice {
        let key = DEVICE_KEY;
        let psk = format!("{name}:{}", hex::encode(key));
        let added = self.command(&["credential", "add", name, "--psk", &psk], "");
        assert!(added.status.success(), "credential add: {}", shown(&added));
        let credentials = Credentials::psk(name, key);
        let mut device = ScriptedDevice::secure(name, self.coaps(), credentials);
        // The server looks for what is new every `credentials.reload_s`.
        let end = Instant::now() + SOON;
        while let Err(error) = device.handshake() {
            assert!(Instant::now() < end, "{name}: {error}");
            thread::sleep(POLL);
        }
        device
    }

    /// The address of a page or call: `url("/api/v1/endpoints")`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running().dashboard)
    }

    /// Asks for the live socket, with the token: `live_request("fleet")`.
    pub(crate) fn live_request(&self, topics: &str) -> Request {
        let url = self.url(&format!("/api/v1/live?topics={topics}"));
        let request = url.replacen("http", "ws", 1).into_client_request();
        let mut request = request.expect("a request");
        let bearer = format!("Bearer {}", self.token());
        let bearer = bearer.parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        request
    }

    /// The folder with everything that the server keeps.
    pub(crate) fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The id of its process.
    pub(crate) fn process_id(&self) -> u32 {
        self.running().child.id()
    }

    /// The admin password that the first start printed.
    pub(crate) fn admin_password(&self) -> String {
        let printed = text(&self.running().printed);
        let password = printed
            .split_once("admin password: ")
            .and_then(|(_, rest)| rest.split_whitespace().next());
        password
            .unwrap_or_else(|| panic!("no admin password was printed\n{printed}"))
            .to_owned()
    }

    /// The token in [`Server::api`].
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The REST API as admin.
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.running().dashboard, Some(&self.token))
    }

    /// The REST API as nobody.
    pub(crate) fn anonymous(&self) -> Api {
        Api::new(&self.running().dashboard, None)
    }

    /// Runs another command of the binary with the settings of this server.
    pub(crate) fn command(&self, arguments: &[&str], stdin: &str) -> Output {
        run(&self.settings, arguments, stdin)
    }

    /// SIGKILL: whatever is not on disk is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
        }
    }

    /// SIGTERM, and waits until the process is gone.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("the server runs");
        // The standard library sends SIGKILL only; `sh` has `kill` built in.
        let pid = running.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -TERM \"$1\"", "sh", &pid])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "SIGTERM could not be sent"
        );
        let end = Instant::now() + START;
        loop {
            if let Some(status) = running.child.try_wait().expect("a process that is ours") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "did not end within {START:?} of SIGTERM\n{}",
                running.output()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts the server again on the same data and ports, after [`Server::kill`] or
    /// [`Server::terminate`]; kills it first when it still runs.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.running = Some(Running::start(&self.settings, self.demo).await);
    }

    /// Changes a setting for the next start.
    pub(crate) fn set(&mut self, key: &str, value: impl ToString) {
        let changed = Setup::default().setting(key, value).settings;
        self.settings.extend(changed);
    }

    /// Changes the number of simulated devices for the next start.
    pub(crate) fn set_demo(&mut self, devices: usize) {
        self.demo = devices;
    }

    /// What was printed and the end of the log, since the last start.
    pub(crate) fn output(&self) -> String {
        self.running().output()
    }

    /// Ends the server and removes its folder when this process ends, however it does: for a server
    /// that tests share and that nobody drops. Works while what it returns is kept.
    pub(crate) fn end_with_this_process(&self) -> Child {
        // The shell waits for the end of its standard input, which this process holds.
        Command::new("sh")
            .arg("-c")
            .arg("cat >/dev/null; kill -KILL \"$1\"; rm -rf \"$2\"")
            .arg("watchdog")
            .arg(self.running().child.id().to_string())
            .arg(self.data_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches this process alone, and its end reaches the watchdog.
            .process_group(0)
            .spawn()
            .expect("a shell")
    }

    /// The sum over all labels of a metric, 0 when there is no sample of it.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self
            .anonymous()
            .get("/metrics")
            .await
            .text()
            .await
            .expect("metrics are text");
        let samples = text.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = if rest.starts_with('{') {
                rest.rsplit_once('}')?.1
            } else {
                rest
            };
            rest.starts_with(' ')
                .then(|| rest.trim().parse::<f64>().ok())?
        });
        samples.sum()
    }

    fn running(&self) -> &Running {
        self.running
            .as_ref()
            .expect("the server was stopped and not started again")
    }
}

/// Calls with one identity. Redirects are not followed: a test says where it expects one to lead.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    token: Option<String>,
    client: Client,
}

impl Api {
    /// With a bearer token, or with none. Cookies are kept.
    pub(crate) fn new(base: &str, token: Option<&str>) -> Self {
        let client = Client::builder()
            .cookie_store(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(150))
            .build()
            .expect("a client without TLS");
        Self {
            base: base.to_owned(),
            token: token.map(str::to_owned),
            client,
        }
    }

    /// The same server with another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// A request to be completed and sent by the test.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// GET, whatever the status.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(self.request(Method::GET, path), path).await
    }

    /// POST of JSON, whatever the status.
    pub(crate) async fn post(&self, path: &str, body: &Json) -> Response {
        self.send(self.request(Method::POST, path).json(body), path)
            .await
    }

    /// DELETE, whatever the status.
    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.send(self.request(Method::DELETE, path), path).await
    }

    /// GET of JSON that must succeed.
    pub(crate) async fn read(&self, path: &str) -> Json {
        Self::success(self.get(path).await).await
    }

    /// POST of JSON that must succeed.
    pub(crate) async fn create(&self, path: &str, body: &Json) -> Json {
        Self::success(self.post(path, body).await).await
    }

    /// One endpoint as the API shows it; nothing when there is none of this name.
    pub(crate) async fn endpoint(&self, name: &str) -> Option<Json> {
        let response = self.get(&format!("/api/v1/endpoints/{name}")).await;
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        Some(Self::success(response).await)
    }

    /// Asks for an operation and returns it as the server stored it, without waiting for its end.
    pub(crate) async fn operate(&self, endpoint: &str, operation: &Json) -> Json {
        self.create(
            &format!("/api/v1/endpoints/{endpoint}/operations"),
            operation,
        )
        .await
    }

    /// Waits until an operation is CONFIRMED, FAILED, CANCELLED or EXPIRED.
    pub(crate) async fn ended(&self, operation: &Json) -> Json {
        let path = format!("/api/v1/operations/{}", operation["id"]);
        eventually(&format!("{path} ends"), SOON, || async {
            let operation = self.read(&path).await;
            let open = matches!(operation["status"].as_str(), Some("QUEUED" | "SENDING"));
            (!open).then_some(operation)
        })
        .await
    }

    async fn send(&self, request: RequestBuilder, path: &str) -> Response {
        request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{path}: {error:?}"))
    }

    async fn success(response: Response) -> Json {
        let (status, url) = (response.status(), response.url().clone());
        let body = response.text().await.unwrap_or_default();
        assert!(status.is_success(), "{url}: {status}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url}: {error}: {body}"))
    }
}

struct Running {
    child: Child,
    /// Standard output: addresses, the first password.
    printed: Arc<Mutex<String>>,
    /// Standard error.
    log: Arc<Mutex<String>>,
    dashboard: String,
    coap: SocketAddr,
    /// Printed where it is served.
    coaps: Option<SocketAddr>,
    /// Printed where it is served.
    firmware: Option<String>,
}

impl Running {
    async fn start(settings: &BTreeMap<String, String>, demo: usize) -> Self {
        let mut child = command(settings)
            .args(["serve", "--demo", &demo.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let printed = collect(child.stdout.take().expect("a pipe"));
        let log = collect(child.stderr.take().expect("a pipe"));
        // From here on a failing assertion drops it, and with it ends the process.
        let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut running = Self {
            child,
            printed,
            log,
            dashboard: String::new(),
            coap: unknown,
            coaps: None,
            firmware: None,
        };
        // Without plain CoAP its address is not printed; it is the one that it would have.
        let setting = |name: &str| settings.get(name).map(String::as_str);
        let is_plain_off = setting("FLOWNEXUS__COAP__ENABLED") == Some("false");
        let unused = setting("FLOWNEXUS__COAP__LISTEN").filter(|_| is_plain_off);
        running.wait_for_addresses(unused).await;
        running.wait_until_ready(settings).await;
        running
    }

    /// `dashboard: http://HOST:PORT`, perhaps `firmware: https://HOST:PORT` and `coaps: HOST:PORT`, and
    /// `coap: HOST:PORT` at last, on lines of their own. Where plain CoAP is switched off, `coaps` is the last.
    async fn wait_for_addresses(&mut self, unused: Option<&str>) {
        let end = Instant::now() + START;
        loop {
            let lines = text(&self.printed);
            let printed = |label: &str| {
                lines
                    .lines()
                    .find_map(|line| Some(line.trim().strip_prefix(label)?.trim().to_owned()))
            };
            let coap = match unused {
                Some(address) => printed("coaps: ").map(|_| address.to_owned()),
                None => printed("coap: "),
            };
            if let (Some(dashboard), Some(coap)) = (printed("dashboard: "), coap) {
                self.dashboard = dashboard.trim_end_matches('/').to_owned();
                self.coap = parsed(&coap);
                self.coaps = printed("coaps: ").as_deref().map(parsed);
                self.firmware = printed("firmware: ");
                return;
            }
            if let Some(status) = self.child.try_wait().expect("a process that is ours") {
                panic!(
                    "the server ended with {status} before it listened\n{}",
                    self.output()
                );
            }
            assert!(
                Instant::now() < end,
                "no addresses were printed within {START:?}\n{}",
                self.output()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    async fn wait_until_ready(&self, settings: &BTreeMap<String, String>) {
        let api = Api::new(&self.dashboard, None);
        eventually("/health/ready answers 200", START, || async {
            if self.dashboard.starts_with("https:") {
                return run(settings, &["healthcheck"], "")
                    .status
                    .success()
                    .then_some(());
            }
            let response = api.request(Method::GET, "/health/ready").send().await;
            response
                .is_ok_and(|response| response.status() == StatusCode::OK)
                .then_some(())
        })
        .await;
    }

    /// All that was printed, and the end of the log.
    fn output(&self) -> String {
        let log = text(&self.log);
        let start = log.len().saturating_sub(LOG_SHOWN_BYTES);
        let start = (start..log.len())
            .find(|at| log.is_char_boundary(*at))
            .unwrap_or(start);
        format!("{}{}", text(&self.printed), &log[start..])
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("--- the server's output\n{}---", self.output());
        }
    }
}

/// The binary with these settings and none of the environment's.
fn command(settings: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flownexus"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOWNEXUS__") {
            command.env_remove(name);
        }
    }
    command.envs(settings);
    command
}

fn parsed(address: &str) -> SocketAddr {
    let parsed = address.parse();
    parsed.unwrap_or_else(|error| panic!("`{address}` was printed: {error}"))
}

fn run(settings: &BTreeMap<String, String>, arguments: &[&str], stdin: &str) -> Output {
    let mut child = command(settings)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that does not read its input closes it: no failure.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(stdin.as_bytes());
    child.wait_with_output().expect("the command ends")
}

fn shown(output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{}\n{stdout}{stderr}", output.status)
}

/// Reads a pipe to its end in a thread of its own.
fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let collected = Arc::new(Mutex::new(String::new()));
    let output = Arc::clone(&collected);
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            let text = String::from_utf8_lossy(&line);
            output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&text);
            line.clear();
        }
    });
    collected
}

fn text(collected: &Mutex<String>) -> String {
    collected
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// A loopback port that is free for UDP and TCP, different for each caller in this process.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Processes that run at the same time begin at different places.
    let begin = u16::try_from(std::process::id() % 1_000).unwrap_or_default() * 12;
    for _ in 0..count {
        let port = PORTS.start + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no free port in {PORTS:?}");
}
