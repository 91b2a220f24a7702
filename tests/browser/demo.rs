//! The real binary as somebody starts it who tries it out: `flownexus serve --demo`.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::browser::Browser;

/// How long the first start may take: a debug build on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The server with simulated devices.
pub(crate) struct Demo {
    process: Child,
    /// Where the pages are.
    pub(crate) address: String,
    /// The password that the first start prints.
    pub(crate) password: String,
    _data: TempDir,
}

impl Demo {
    /// Starts it with one device and waits until its pages are served.
    pub(crate) fn start() -> Self {
        Self::start_with(1)
    }

    /// The same with so many devices.
    pub(crate) fn start_with(devices: usize) -> Self {
        let data = tempfile::tempdir().expect("a folder for the data");
        let web = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
        let address = web.local_addr().expect("an address").to_string();
        let udp_address = |socket: &UdpSocket| socket.local_addr().expect("an address").to_string();
        let [coap_address, coaps_address] = sockets.each_ref().map(udp_address);
        drop((web, sockets));
        let mut process = Command::new(env!("CARGO_BIN_EXE_flownexus"))
            .args(["serve", "--demo", &devices.to_string()])
            .env("FLOWNEXUS__WEB__LISTEN", &address)
            .env("FLOWNEXUS__COAP__LISTEN", coap_address)
            .env("FLOWNEXUS__COAPS__LISTEN", coaps_address)
            .env("FLOWNEXUS__FIRMWARE__LISTEN", "127.0.0.1:0")
            .env("FLOWNEXUS__DATA_DIR", data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("flownexus starts");
        let output = process.stdout.take().expect("its output");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Read on to the end, so that the server never waits for us.
                let _ = sender.send(line);
            }
        });
        let mut demo = Self {
            process,
            address: format!("http://{address}"),
            password: String::new(),
            _data: data,
        };
        demo.password = password(&lines);
        demo.wait_for_pages(&address);
        demo
    }

    /// Logs in for the first time.
    pub(crate) async fn log_in(&self, browser: &Browser) {
        browser
            .log_in_first(&self.address, "admin", &self.password)
            .await;
    }

    /// Waits until a device is in the list, which it is left at, and returns where its page is.
    pub(crate) async fn find_device(&self, browser: &Browser) -> String {
        browser.open(&format!("{}/devices", self.address)).await;
        let link = browser.element("tr[data-endpoint] a.stretched").await;
        let page = link.attr("href").await.expect("a link").expect("a link");
        format!("{}{page}", self.address)
    }

    fn wait_for_pages(&mut self, address: &str) {
        let end = Instant::now() + START;
        while std::net::TcpStream::connect(address).is_err() {
            let gone = self.process.try_wait().expect("a state");
            assert!(gone.is_none(), "flownexus ended: {gone:?}");
            assert!(Instant::now() < end, "no pages at {address}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The line is `… admin password: XXXX`.
fn password(lines: &Receiver<String>) -> String {
    let end = Instant::now() + START;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let line = lines
            .recv_timeout(left)
            .expect("a line with the admin password");
        if let Some((_, password)) = line.split_once("admin password: ") {
            return password.trim().to_owned();
        }
    }
}
