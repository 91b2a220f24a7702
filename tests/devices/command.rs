//! The command `simulate` as a process of its own, watched through what it prints.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};

/// A server that has known a pre-shared key of the endpoint `pump` since its start ([`DEVICE_KEY`], the
/// identity is the name), so that its log has no line yet of anybody who was refused: each address has
/// one in a minute.
pub(crate) async fn server_with_pump() -> Server {
    let mut server = Server::start().await;
    server.kill();
    let psk = format!("pump:{}", hex::encode(DEVICE_KEY));
    let added = server.command(&["credential", "add", "pump", "--psk", &psk], "");
    assert!(added.status.success(), "{added:?}");
    server.restart().await;
    server
}

/// Running devices. Killed when dropped.
pub(crate) struct Simulate {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Simulate {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_flownexus"))
            .arg("simulate")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let said = Arc::<Mutex<Vec<String>>>::default();
        follow(child.stdout.take().expect("a pipe"), &said);
        follow(child.stderr.take().expect("a pipe"), &said);
        Self { child, said }
    }

    /// What a command says at last that cannot begin.
    #[track_caller]
    pub(crate) fn refused(arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_flownexus"))
            .arg("simulate")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts");
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success(), "{arguments:?}: {said}");
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// The lines so far, of both streams.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for a line with these words, and returns it.
    pub(crate) async fn says(&self, words: &str) -> String {
        eventually(&format!("it says `{words}`"), SOON, || async {
            self.said().into_iter().find(|line| line.contains(words))
        })
        .await
    }
}

impl Drop for Simulate {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("simulate said: {:#?}", self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stream: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) {
    let said = Arc::clone(said);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            said.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    });
}
