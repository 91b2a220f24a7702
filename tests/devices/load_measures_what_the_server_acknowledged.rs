//! `load`: its figures are those of the server, and what it says was acknowledged is stored.

use serde_json::{Value as Json, json};

use crate::support::server::{SOON, Server, eventually};

/// A load of a fraction of a second; what it prints.
async fn load(server: &Server, arguments: &[&str]) -> Json {
    let url = format!("coap://{}", server.coap());
    let output = run(server, &url, arguments).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).expect("one JSON object")
}

/// In a thread, as the command takes its time.
async fn run(server: &Server, url: &str, arguments: &[&str]) -> std::process::Output {
    let mut all = vec!["load", "--json", "--server", url];
    if !arguments.contains(&"--duration") {
        all.extend(["--duration", "0.3"]);
    }
    all.extend(arguments);
    std::thread::scope(|scope| {
        let command = scope.spawn(|| server.command(&all, ""));
        command.join().expect("a command")
    })
}

/// So many requests of a kind were acknowledged, and there is nothing to complain about.
fn check(report: &Json, mode: &str, clients: u64) -> u64 {
    assert_eq!(report["mode"], mode);
    assert_eq!(report["clients"], clients);
    assert_eq!(report["errors"], 0, "{report}");
    let acknowledged = report["acknowledged"].as_u64().expect("a number");
    assert!(acknowledged >= clients, "{report}");
    assert!(
        report["requests"].as_u64() >= Some(acknowledged),
        "{report}"
    );
    assert!(report["rate_per_s"].as_f64() > Some(0.0), "{report}");
    let latency = |name: &str| report["latency_ms"][name].as_f64().expect("a latency");
    assert!(latency("p50") > 0.0 && latency("p50") <= latency("p95"));
    assert!(latency("p95") <= latency("p99") && latency("p99") <= latency("max"));
    acknowledged
}

/// What is observed and read on each registration: nothing but this, if anything.
async fn observe(server: &Server, path: Option<&str>) {
    let api = server.api();
    let templates = "/api/v1/observation-templates";
    let all = api.read(templates).await;
    for template in all["items"].as_array().expect("templates") {
        let answer = api.delete(&format!("{templates}/{}", template["id"])).await;
        assert!(answer.status().is_success());
    }
    if let Some(path) = path {
        api.create(templates, &json!({"path": path})).await;
    }
}

/// How many values of a resource are stored.
async fn stored(server: &Server, clients: u64) -> u64 {
    let mut stored = 0;
    for number in 1..=clients {
        let path = format!("/endpoints/load-{number}/history?path=/3303/0/5700&points=10000");
        let history = server.api().read(&format!("/api/v1{path}")).await;
        stored += history["points"].as_array().expect("points").len() as u64;
    }
    stored
}

#[actix_rt::test]
async fn every_notification_that_load_counts_is_stored_once() {
    let server = Server::start().await;
    observe(&server, Some("/3303/0/5700")).await;
    let api = server.api();
    let report = load(&server, &["--mode", "notify", "--clients", "7", "--stay"]).await;
    let acknowledged = check(&report, "notify", 7);
    assert!(report["ceiling_per_s"].as_f64() > Some(0.0), "{report}");
    // And what each answered when it was first asked.
    assert_eq!(stored(&server, 7).await, acknowledged + 7);
    assert_eq!(
        api.read("/api/v1/endpoints?registered=true").await["items"]
            .as_array()
            .map(Vec::len),
        Some(7)
    );
}

#[actix_rt::test]
async fn every_record_of_a_send_that_load_counts_is_stored() {
    let server = Server::start().await;
    observe(&server, None).await;
    let arguments = ["--mode", "send", "--records", "5", "--clients", "3"];
    let report = load(
        &server,
        &[&arguments[..], &["--ceiling", "0", "--rate", "40"]].concat(),
    )
    .await;
    let acknowledged = check(&report, "send", 3);
    assert_eq!(report["offered_per_s"], 40.0);
    assert_eq!(report.get("ceiling_per_s"), None);
    assert_eq!(stored(&server, 3).await, acknowledged * 5);
}

#[actix_rt::test]
async fn clients_that_nobody_observes_have_nothing_to_notify() {
    let server = Server::start().await;
    observe(&server, None).await;
    let url = format!("coap://{}", server.coap());
    let arguments = ["--mode", "notify", "--clients", "2", "--ceiling", "0"];
    let output = run(&server, &url, &arguments).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("observes nothing of 2 of 2 clients"),
        "{error}"
    );
}

/// With what is observed of each by default.
#[actix_rt::test]
async fn clients_wait_for_their_observations_before_they_register_again() {
    let server = Server::start().await;
    let arguments = [
        "--mode",
        "register",
        "--clients",
        "3",
        "--observations",
        "4",
    ];
    let report = load(
        &server,
        &[&arguments[..], &["--sockets", "3", "--stay"]].concat(),
    )
    .await;
    check(&report, "register", 3);
    for number in 1..=3 {
        let name = format!("load-{number}");
        eventually("four observations", SOON, async || {
            let endpoint = server.api().endpoint(&name).await?;
            (endpoint["observations"].as_array()?.len() == 4).then_some(())
        })
        .await;
    }
}

#[actix_rt::test]
async fn clients_register_update_and_leave() {
    let server = Server::start().await;
    let report = load(&server, &["--mode", "register", "--clients", "4"]).await;
    let registered = check(&report, "register", 4);
    let report = load(
        &server,
        &["--mode", "update", "--clients", "4", "--sockets", "2"],
    )
    .await;
    let updated = check(&report, "update", 4);
    let metric = async |name: &str| server.metric(name).await as u64;
    assert_eq!(
        metric("flownexus_lwm2m_registers_total").await,
        registered + 4,
        "those that are updated register first"
    );
    assert_eq!(metric("flownexus_lwm2m_updates_total").await, updated);
    assert_eq!(metric("flownexus_registrations").await, 0);
}

#[actix_rt::test]
async fn clients_load_a_server_over_dtls() {
    let server = Server::start().await;
    let key = "000102030405060708090a0b0c0d0e0f";
    for number in 1..=3 {
        let name = format!("load-{number}");
        let psk = format!("{name}:{key}");
        let added = server.command(&["credential", "add", &name, "--psk", &psk], "");
        assert!(added.status.success());
    }
    let url = format!("coaps://{}", server.coaps());
    let psk = format!("{{name}}:{key}");
    let arguments = ["--mode", "update", "--clients", "3", "--psk", &psk];
    let output = eventually("the credentials are in force", SOON, async || {
        let output = run(&server, &url, &arguments).await;
        output.status.success().then_some(output)
    });
    let report = serde_json::from_slice(&output.await.stdout).expect("one JSON object");
    check(&report, "update", 3);
    assert!(server.metric("flownexus_dtls_records_total").await > 0.0);
}

#[actix_rt::test]
async fn what_cannot_be_done_is_said_in_one_line() {
    let mut server = Server::start().await;
    let coap = format!("coap://{}", server.coap());
    let coaps = format!("coaps://{}", server.coaps());
    for (url, arguments, expected) in [
        (&coap, &["--clients", "0"][..], "--clients"),
        (&coap, &["--mode", "read"], "--mode"),
        (&coap, &["--duration", "0"], "more than 0"),
        (&coap, &["--rate", "0"], "--rate"),
        (&coap, &["--psk", "a:00"], "are for coaps://"),
        (&coaps, &[], "needed for coaps://"),
        (&coap, &["--prefix", "a b\n"], "--prefix"),
    ] {
        let output = run(&server, url, arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.contains(expected),
            "{error}"
        );
    }
    server.set("registration.unknown_endpoints", "deny");
    server.restart().await;
    let arguments = ["--mode", "update", "--clients", "2", "--ceiling", "0"];
    let output = run(&server, &format!("coap://{}", server.coap()), &arguments).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("2 of 2 clients could not register: 4.03"),
        "{error}"
    );
}
