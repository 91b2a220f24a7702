//! One server for many tests that do not disturb each other: each uses devices of its own names.
//!
//! It starts with the first test that asks for it and ends with the process of the tests, however
//! that ends: nothing drops a static, so a watchdog on the other end of a pipe does it.

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use tokio::sync::OnceCell;

use super::server::{Server, Setup};

/// A server that is started when it is first asked for.
pub(crate) struct SharedServer {
    settings: fn(Setup) -> Setup,
    cell: OnceCell<(Server, Watchdog)>,
}

/// Ends a process and removes its folder as soon as this process is gone.
struct Watchdog {
    _process: Child,
    /// Closed by the kernel when this process ends, which is what the watchdog waits for.
    _pipe: ChildStdin,
}

/// A test's hold of the shared server: its output is shown when the test fails.
pub(crate) struct Hold(&'static Server);

impl SharedServer {
    /// With these settings.
    pub(crate) const fn new(settings: fn(Setup) -> Setup) -> Self {
        Self {
            settings,
            cell: OnceCell::const_new(),
        }
    }

    /// The running server.
    pub(crate) async fn hold(&'static self) -> Hold {
        let start = || async {
            let server = (self.settings)(Server::setup()).start().await;
            let watchdog = Watchdog::of(&server);
            (server, watchdog)
        };
        Hold(&self.cell.get_or_init(start).await.0)
    }
}

impl Watchdog {
    fn of(server: &Server) -> Self {
        let mut process = Command::new("sh")
            .args([
                "-c",
                "cat >/dev/null; kill -KILL \"$1\" 2>/dev/null; rm -rf \"$2\"",
                "sh",
            ])
            .arg(server.process_id().to_string())
            .arg(server.data_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let pipe = process.stdin.take().expect("a pipe");
        Self {
            _process: process,
            _pipe: pipe,
        }
    }
}

impl std::ops::Deref for Hold {
    type Target = Server;

    fn deref(&self) -> &Server {
        self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the shared server's output\n{}---", self.0.output());
        }
    }
}

/// Somebody who changes something.
pub(crate) fn by() -> flownexus::domain::Doer {
    flownexus::domain::Doer {
        actor: "admin".to_owned(),
        remote: "192.0.2.1".to_owned(),
    }
}
