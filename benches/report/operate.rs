//! An operation from REST to a device and back.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::goals::{Goal, Row};
use crate::machine::quantile;
use crate::support::{Result, Server, token};
use crate::{Plan, Report};

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[])?;
    let token = token(folder.path(), "operations")?;
    let _device = Device::start(&server)?;
    let count = if plan.quick { 50 } else { 500 };
    let mut times = actix_rt::System::new().block_on(async {
        let client = reqwest::Client::new();
        let url = format!("{}/api/v1/endpoints/{NAME}1", server.dashboard);
        wait_for(&client, &url, &token).await?;
        let mut times = Vec::new();
        // The first ones find everything cold.
        for number in 0..count + WARM_UP {
            let begun = Instant::now();
            let answer: Json = client
                .post(format!("{url}/operations?wait=5"))
                .bearer_auth(&token)
                .json(&json!({"kind": "read", "path": "/3/0/0"}))
                .send()
                .await?
                .error_for_status()?
                .json()
                .await?;
            if answer.get("status") != Some(&json!("CONFIRMED")) {
                return Err(format!("the operation came to {answer}").into());
            }
            if number >= WARM_UP {
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        Ok::<_, Box<dyn std::error::Error>>(times)
    })?;
    let (half, most) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    let (sync, _) = report.machine.sync_ms;
    report.rows.push(
        Row::new(Goal::Operation, format!("{half:.2} ms"), half <= 2.0).note(format!(
            "p99 {most:.1} ms; {count} Reads, one after the other; of it is the disk {sync:.2} ms for each time that \
            something must be stored first"
        )),
    );
    Ok(())
}

async fn wait_for(client: &reqwest::Client, url: &str, token: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let answer = client.get(url).bearer_auth(token).send().await?;
        if answer.status().is_success() {
            // What the templates want is asked first.
            actix_rt::time::sleep(SETTLE).await;
            return Ok(());
        }
        actix_rt::time::sleep(POLL).await;
    }
    Err("the simulated device has not registered".into())
}

/// A simulated device in a process of its own, killed when this is dropped.
struct Device(Child);

impl Device {
    fn start(server: &Server) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flownexus"));
        command.args([
            "simulate",
            "-n",
            "1",
            "--prefix",
            NAME,
            "--interval",
            "86400",
        ]);
        command.args(["--server", &format!("coap://{}", server.coap)]);
        Ok(Self(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        ))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const NAME: &str = "report-";
const WARM_UP: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
const SETTLE: Duration = Duration::from_secs(3);
