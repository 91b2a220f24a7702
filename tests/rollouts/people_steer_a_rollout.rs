//! Start, pause, resume, stop, roll back and remove, by REST.

use super::*;
use crate::support::shared::SharedServer;

static SERVER: SharedServer = SharedServer::new(quick);

#[tokio::test]
async fn a_rollout_waits_until_it_is_started_and_can_be_given_back_when_it_is_over() {
    let server = quick(Server::setup()).start().await;
    let api = server.api();
    let (_, image) = images(&api).await;
    with_fleet(fleet(&server, "steer-", 4, 0), async |fleet| {
        let mut body = wanted(&image, "steer-", &json!([{"name": "all"}]));
        body["start"] = json!(false);
        let rollout = api.create(ROLLOUTS, &body).await;
        assert_eq!(rollout["state"], "READY");
        assert_eq!(rollout["waits_for"], "somebody to start it");
        assert_eq!(steer(&api, &rollout, "start").await["state"], "RUNNING");
        let finished = becomes(&api, &rollout, "FINISHED").await;
        assert_eq!(count(&finished, "SUCCEEDED"), 4);
        assert_eq!(
            steer(&api, &rollout, "roll-back").await["state"],
            "ROLLING_BACK"
        );
        let back = becomes(&api, &rollout, "ROLLED_BACK").await;
        assert_eq!(count(&back, "ROLLED_BACK"), 4);
        assert_eq!(back["reason"], "token:test has it rolled back");
        assert_nobody_was_updated_twice(&api, &back, fleet).await;
        let audit = api.read("/api/v1/audit").await.to_string();
        for action in ["rollout.create", "rollout.start", "rollout.roll_back"] {
            assert!(audit.contains(action), "{action}: {audit}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_pause_and_a_stop_hold_what_was_not_begun() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "6.0.0", &labelled("6.0.0", 6, 2_000)).await;
    with_fleet(fleet(&server, "hold-", 3, 0), async |fleet| {
        let mut body = wanted(&image, "hold-", &json!([{"name": "all"}]));
        body["at_once"] = json!(1);
        let rollout = api.create(ROLLOUTS, &body).await;
        let paused = steer(&api, &rollout, "pause").await;
        assert_eq!(paused["reason"], "token:test paused it");
        eventually("the update under way ends", LONG, async || {
            let rollout = shown(&api, &rollout).await;
            (count(&rollout, "UPDATING") == 0).then_some(())
        })
        .await;
        let held = shown(&api, &rollout).await;
        assert!(count(&held, "WAITING") >= 2, "{held}");
        steer(&api, &rollout, "stop").await;
        let stopped = becomes(&api, &rollout, "STOPPED").await;
        assert_eq!(count(&stopped, "WAITING"), 0);
        assert!(count(&stopped, "CANCELLED") >= 2, "{stopped}");
        for device in fleet.devices() {
            let (_, installs) = runs(&device).await;
            assert!(installs.iter().all(|(_, count)| *count == 1));
        }
        // It goes, its updates stay.
        let path = format!("{ROLLOUTS}/{}", rollout["id"]);
        assert_eq!(api.delete(&path).await.status(), 204);
        assert_eq!(api.get(&path).await.status(), 404);
        let updates = api
            .read(&format!(
                "/api/v1/firmware-updates?rollout_id={}",
                rollout["id"]
            ))
            .await;
        assert!(updates["items"].is_array());
    })
    .await;
}

#[tokio::test]
async fn nothing_begins_before_its_start_or_outside_of_its_window() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "7.0.0", &labelled("7.0.0", 7, 2_000)).await;
    with_fleet(fleet(&server, "time-", 2, 0), async |_| {
        let mut body = wanted(&image, "time-", &json!([{"name": "all"}]));
        body["start_at"] = json!("2099-01-01T00:00:00Z");
        let later = api.create(ROLLOUTS, &body).await;
        let waits = eventually("it says what it waits for", SOON, async || {
            let rollout = shown(&api, &later).await;
            rollout["waits_for"].as_str().map(str::to_owned)
        })
        .await;
        assert_eq!(waits, "its start at 2099-01-01T00:00:00.000Z");
        assert_eq!(count(&shown(&api, &later).await, "WAITING"), 2);
        steer(&api, &later, "stop").await;

        // An hour that has just gone by.
        let hour = flownexus::domain::Timestamp::system()
            .minus(Duration::from_secs(7_200))
            .to_string();
        let hour = &hour[11..13];
        let mut body = wanted(&image, "time-", &json!([{"name": "all"}]));
        body["window"] =
            json!({"from": format!("{hour}:00"), "to": format!("{hour}:30"), "time_zone": "UTC"});
        let closed = api.create(ROLLOUTS, &body).await;
        let waits = eventually("it says what it waits for", SOON, async || {
            let rollout = shown(&api, &closed).await;
            rollout["waits_for"].as_str().map(str::to_owned)
        })
        .await;
        assert!(
            waits.starts_with("the window to open at ")
                && waits.contains(&format!("T{hour}:00:00")),
            "{waits}"
        );
        assert_eq!(count(&shown(&api, &closed).await, "WAITING"), 2);
        steer(&api, &closed, "stop").await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_done_now_is_refused_with_a_sentence() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "8.0.0", &labelled("8.0.0", 8, 2_000)).await;
    with_fleet(fleet(&server, "not-", 1, 0), async |_| {
        let mut body = wanted(&image, "not-", &json!([{"name": "all"}]));
        body["start"] = json!(false);
        let rollout = api.create(ROLLOUTS, &body).await;
        let path = |command: &str| format!("{ROLLOUTS}/{}/{command}", rollout["id"]);
        for (command, words) in [
            ("pause", "is READY: it was not started"),
            ("resume", "is READY: it was not started"),
            ("roll-back", "is READY: no device was changed by it"),
        ] {
            let answer = api.post(&path(command), &json!({})).await;
            assert_eq!(answer.status(), 409);
            let problem: Json = answer.json().await.expect("JSON");
            assert!(
                problem["detail"].as_str().expect("text").contains(words),
                "{problem}"
            );
        }
        steer(&api, &rollout, "start").await;
        let answer = api.delete(&format!("{ROLLOUTS}/{}", rollout["id"])).await;
        let status = answer.status();
        let problem: Json = answer.json().await.unwrap_or_default();
        assert_eq!(status, 409, "{problem}");
        assert!(
            problem["detail"]
                .as_str()
                .expect("text")
                .contains("stop it first"),
            "{problem}"
        );
        let gone = api
            .post(&format!("{ROLLOUTS}/999999/start"), &json!({}))
            .await;
        assert_eq!(gone.status(), 404);
        steer(&api, &rollout, "stop").await;
    })
    .await;
}
