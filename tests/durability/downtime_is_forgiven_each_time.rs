//! A device cannot keep its lifetime while the server is down, so each restart makes its registration last longer:
//! those that were there, and by nothing but the downtime and `registration.restart_grace_s`.

use flownexus::coap::Code;
use flownexus::domain::Timestamp;
use std::time::Duration;

use crate::support::device::ScriptedDevice;
use crate::support::server::Server;

const LIFETIME: Duration = Duration::from_secs(86_400);
const GRACE: Duration = Duration::from_secs(3_600);
/// More than this test takes.
const A_WHILE: Duration = Duration::from_secs(600);

/// When the registration of a device ends, as the list and its own page say.
async fn end(server: &Server, name: &str) -> Timestamp {
    let one = server.api().endpoint(name).await.expect("known");
    let all = server.api().read("/api/v1/endpoints").await;
    let all = all["items"].as_array().expect("items");
    let listed = all.iter().find(|item| item["name"] == name);
    let listed = listed.expect("listed");
    assert_eq!(listed["expires_at"], one["expires_at"]);
    let text = one["expires_at"].as_str().expect("a time");
    text.parse().expect("a time")
}

#[track_caller]
fn assert_later(end: Timestamp, before: Timestamp, at_least: Duration) {
    let more = end.since(before);
    assert!(
        more >= at_least && more < at_least + A_WHILE,
        "{before} and {end}: {more:?} instead of {at_least:?}"
    );
}

#[tokio::test]
async fn and_an_update_ends_all_forgiveness_of_before() {
    let mut server = Server::setup()
        .setting("registration.restart_grace_s", GRACE.as_secs())
        .start()
        .await;
    let mut updates = ScriptedDevice::new("updates", server.coap());
    let mut is_quiet = ScriptedDevice::new("quiet", server.coap());
    for device in [&mut updates, &mut is_quiet] {
        device.register_now(u32::try_from(LIFETIME.as_secs()).expect("small"), "</1/0>");
    }
    let begun = end(&server, "quiet").await;
    for restarts in 1..=3 {
        // The second and third time right after the start: no heartbeat was written in between.
        server.kill();
        server.restart().await;
        assert_later(end(&server, "quiet").await, begun, GRACE * restarts);
    }

    let sent = Timestamp::system();
    let update = updates.update();
    assert_eq!(updates.ask(&update).code, Code::CHANGED);
    let updated = end(&server, "updates").await;
    assert_later(updated, sent, LIFETIME);
    server.kill();
    server.restart().await;
    assert_later(end(&server, "updates").await, updated, GRACE);
    assert_later(end(&server, "quiet").await, begun, GRACE * 4);
}
