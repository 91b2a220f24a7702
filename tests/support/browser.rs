//! A headless `Chromium`, driven by `WebDriver`, for tests that look at pages as people do.
//!
//! It uses the browser of the machine (Debian: `apt install chromium chromium-driver`) and downloads
//! nothing. Where there is none the test is skipped and says so on standard error, unless
//! `FLOWNEXUS_TEST_REQUIRE` names `browser`: then it fails.

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::env;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use thirtyfour::prelude::*;

/// What the browser complains of, from a page's first script on: scripts that fail, and what the policy forbids.
const LISTEN: &str = "window.complaints = []; \
    window.addEventListener('error', (event) => complaints.push(String(event.message))); \
    window.addEventListener('unhandledrejection', (event) => complaints.push(String(event.reason))); \
    document.addEventListener('securitypolicyviolation', (event) => complaints.push(event.violatedDirective));";

/// The password that people choose for themselves.
pub(crate) const OWN_PASSWORD: &str = "a password of my own";

/// How long the driver may take until it answers.
const START: Duration = Duration::from_secs(30);

/// How long the driver may take to end its browser.
const STOP: Duration = Duration::from_secs(5);

/// How long a page may take until it shows something.
pub(crate) const SOON: Duration = Duration::from_secs(20);

const POLL: Duration = Duration::from_millis(100);

/// A browser with a profile of its own. It is closed when this is dropped.
pub(crate) struct Browser {
    /// The driver; for what the methods do not offer.
    pub(crate) driver: WebDriver,
    process: Process,
    _profile: TempDir,
}

/// The driver's process, and its port.
struct Process(Child, u16);

impl Browser {
    /// Starts one, or says that the test is skipped.
    ///
    /// # Panics
    /// Where it is required and missing, or does not start.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let programs = (
            find(
                "CHROMIUM",
                &["chromium", "chromium-browser", "google-chrome"],
            ),
            find("CHROMEDRIVER", &["chromedriver"]),
        );
        let (Some(browser), Some(driver)) = programs else {
            let required = env::var("FLOWNEXUS_TEST_REQUIRE").unwrap_or_default();
            let required = required.split(',').any(|name| name.trim() == "browser");
            assert!(!required, "{test}: chromium and chromedriver are required");
            eprintln!("SKIPPED: {test}: chromium or chromedriver is not installed");
            return None;
        };
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let port = free_port();
        let process = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(|child| Process(child, port))
            .expect("chromedriver starts");
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities
            .set_binary(&browser.to_string_lossy())
            .expect("a path");
        let profile_argument = format!("--user-data-dir={}", profile.path().display());
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1400,1000",
            &profile_argument,
        ] {
            capabilities.add_arg(argument).expect("an argument");
        }
        let address = format!("http://127.0.0.1:{port}");
        let end = Instant::now() + START;
        let driver = loop {
            match WebDriver::new(&address, capabilities.clone()).await {
                Ok(driver) => break driver,
                Err(error) => assert!(Instant::now() < end, "chromedriver: {error}"),
            }
            tokio::time::sleep(POLL).await;
        };
        let browser = Self {
            driver,
            process,
            _profile: profile,
        };
        let listen = serde_json::json!({"source": LISTEN});
        browser
            .tools("Page.addScriptToEvaluateOnNewDocument", listen)
            .await;
        Some(browser)
    }

    /// Opens a page.
    pub(crate) async fn open(&self, address: &str) {
        self.driver.goto(address).await.expect("the page opens");
    }

    /// Opens a page and waits until it follows what happens.
    pub(crate) async fn open_live(&self, address: &str) {
        self.open(address).await;
        self.element("#connection[data-connection=live]").await;
    }

    /// Runs a script that calls its last argument with what it returns.
    pub(crate) async fn answer(&self, script: &str) -> serde_json::Value {
        let answer = self.driver.execute_async(script, Vec::new()).await;
        answer.expect("the script runs").json().clone()
    }

    /// Waits until there is an element.
    pub(crate) async fn element(&self, selector: &str) -> WebElement {
        let end = Instant::now() + SOON;
        loop {
            if let Ok(element) = self.driver.find(By::Css(selector)).await {
                return element;
            }
            assert!(Instant::now() < end, "no `{selector}` on the page");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the text of an element is as wanted, and returns it. The element may be exchanged
    /// meanwhile.
    pub(crate) async fn text(&self, selector: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + SOON;
        let mut last = String::new();
        loop {
            if let Ok(element) = self.driver.find(By::Css(selector)).await
                && let Ok(text) = element.text().await
            {
                if wanted(&text) {
                    return text;
                }
                last = text;
            }
            assert!(Instant::now() < end, "`{selector}` stays `{last}`");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs a script in the page and returns what it returns.
    pub(crate) async fn script(&self, script: &str) -> serde_json::Value {
        let answer = self.driver.execute(script, Vec::new()).await;
        answer.expect("the script runs").json().clone()
    }

    /// Waits until what a script returns is right, and returns it.
    pub(crate) async fn until(
        &self,
        script: &str,
        right: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        self.until_within(SOON, script, right).await
    }

    /// The same, of what may take longer.
    pub(crate) async fn until_within(
        &self,
        patience: Duration,
        script: &str,
        right: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let end = Instant::now() + patience;
        loop {
            let found = self.script(script).await;
            if right(&found) {
                return found;
            }
            if Instant::now() >= end {
                let shown = self.script("return document.body.innerText").await;
                panic!("`{script}` stays {found}: {shown}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fails when the page that is open has complained of anything.
    #[track_caller]
    pub(crate) fn no_complaints(&self) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let complaints = self.script("return window.complaints").await;
            assert_eq!(complaints, serde_json::json!([]), "{caller}");
        }
    }

    /// Runs a command of the developer tools and returns what it returns.
    pub(crate) async fn tools(&self, command: &str, with: serde_json::Value) -> serde_json::Value {
        let session = self.driver.handle().session_id().clone();
        let port = self.process.1;
        let answer = reqwest::Client::new()
            .post(format!(
                "http://127.0.0.1:{port}/session/{session}/goog/cdp/execute"
            ))
            .json(&serde_json::json!({"cmd": command, "params": with}))
            .send()
            .await;
        let answer = answer.expect("the driver answers").json().await;
        let mut answer: serde_json::Value = answer.expect("JSON");
        answer["value"].take()
    }

    /// Fills the login form and sends it.
    pub(crate) async fn log_in(&self, address: &str, name: &str, password: &str) {
        self.open(&format!("{address}/login")).await;
        for (field, text) in [("#name", name), ("#password", password)] {
            let field = self.element(field).await;
            field.send_keys(text).await.expect("typing works");
        }
        let button = self.element("button[type=submit]").await;
        button.click().await.expect("the button works");
        self.element("#user-menu").await;
    }

    /// Logs in with a password that was given, and chooses [`OWN_PASSWORD`] in its place, as the pages insist.
    pub(crate) async fn log_in_first(&self, address: &str, name: &str, password: &str) {
        self.log_in(address, name, password).await;
        self.element("#duty").await;
        for (field, text) in [
            ("#present", password),
            ("#new", OWN_PASSWORD),
            ("#again", OWN_PASSWORD),
        ] {
            let field = self.element(field).await;
            field.send_keys(text).await.expect("typing works");
        }
        self.press("form[action='/account'] button[type=submit]")
            .await;
        self.text("[role=status].alert-success", |text| {
            text.contains("is changed")
        })
        .await;
    }

    /// Logs out by the menu.
    pub(crate) async fn log_out(&self) {
        self.press("#user-menu > summary").await;
        self.press("#user-menu form button").await;
        self.element("#password").await;
    }

    /// An admin adds somebody on the page, whose password need not be changed.
    pub(crate) async fn add_person(&self, address: &str, name: &str, role: &str, password: &str) {
        self.open(&format!("{address}/users")).await;
        self.type_into("#user-name", name).await;
        self.press(&format!("#user-role option[value={role}]"))
            .await;
        self.type_into("#user-password", password).await;
        for control in ["input[name=must_change]", "button[type=submit]"] {
            self.press(&format!("form[action='/users'] {control}"))
                .await;
        }
        let row = format!("tr[data-user='{name}'] [data-label=Role]");
        self.text(&row, |text| text == role).await;
    }

    /// Types a text, letter by letter.
    pub(crate) async fn type_into(&self, selector: &str, text: &str) {
        let field = self.element(selector).await;
        field.send_keys(text).await.expect("typing works");
    }

    /// Puts a text into a field as if it had been typed and left.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let script = format!(
            "const field = document.querySelector({selector:?}); field.value = {text:?}; \
             for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {{ bubbles: true }}))"
        );
        self.script(&script).await;
    }

    /// Presses a control as soon as it can be pressed; it may be exchanged meanwhile.
    pub(crate) async fn press(&self, selector: &str) {
        let end = Instant::now() + SOON;
        loop {
            let pressed = self.try_press(selector).await;
            let Err(error) = pressed else { return };
            assert!(Instant::now() < end, "`{selector}`: {error}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn try_press(&self, selector: &str) -> WebDriverResult<()> {
        let element = self.driver.find(By::Css(selector)).await?;
        // The style sheet scrolls smoothly, and the driver would press what moves.
        let into_view = "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})";
        self.driver
            .execute(into_view, vec![element.to_json()?])
            .await?;
        element.click().await
    }

    /// Ends the browser in order.
    pub(crate) async fn close(self) {
        if let Err(error) = self.driver.clone().quit().await {
            eprintln!("the browser did not end in order: {error}");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // After a failure nobody polls the driver's client: the process below ends the session.
        let _ = self.driver.clone().leak();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked in order, the driver takes its browsers with it.
        if let Ok(mut socket) = TcpStream::connect(("127.0.0.1", self.1)) {
            let request = b"GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
            let _ = socket.write_all(request);
            let end = Instant::now() + STOP;
            while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::sleep(POLL);
            }
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program that the variable names, or the first of these names in PATH or /usr/bin.
fn find(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = env::var_os(variable) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path)
        .chain([
            PathBuf::from("/usr/bin"),
            PathBuf::from("/usr/lib/chromium"),
        ])
        .collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
