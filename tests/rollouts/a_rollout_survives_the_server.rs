//! A server that is killed at any moment of a rollout goes on with it, and nobody is updated twice.

use rstest::rstest;

use super::*;

/// Killed again and again, each time when so many updates more are over, there and back.
#[rstest]
#[case::soon(1)]
#[case::now_and_then(3)]
#[tokio::test]
async fn a_server_that_is_killed_brings_it_to_its_end(#[case] every: u64) {
    let mut server = quick(Server::setup()).start().await;
    let (_, image) = images(&server.api()).await;
    with_fleet(fleet(&server, "killed-", 10, 0), async |fleet| {
        let groups = json!([{"name": "canary", "count": 3}, {"name": "rest"}]);
        let mut body = wanted(&image, "killed-", &groups);
        body["at_once"] = json!(4);
        let rollout = server.api().create(ROLLOUTS, &body).await;
        let over = |rollout: &Json| count(rollout, "SUCCEEDED") + 2 * count(rollout, "ROLLED_BACK");
        let mut next = every;
        let mut kills = 0;
        let mut is_back = false;
        loop {
            let api = server.api();
            let state = progresses(&api, &rollout, |rollout| over(rollout) >= next).await;
            if state["finished_at"].is_string() {
                if is_back {
                    break;
                }
                // And back again.
                is_back = true;
                assert_eq!(
                    state["state"],
                    "FINISHED",
                    "{}\n{:?}",
                    log(&state),
                    targets(&api, &rollout).await
                );
                steer(&api, &rollout, "roll-back").await;
            }
            next = over(&state) + every;
            server.kill();
            kills += 1;
            server.restart().await;
        }
        let api = server.api();
        let rollout = becomes(&api, &rollout, "ROLLED_BACK").await;
        assert_eq!(count(&rollout, "ROLLED_BACK"), 10);
        assert!(kills >= 4, "{kills}");
        assert_nobody_was_updated_twice(&api, &rollout, fleet).await;
    })
    .await;
}

/// Waits until it is over, or until it has come so far.
async fn progresses(api: &Api, rollout: &Json, is_far: impl Fn(&Json) -> bool) -> Json {
    let end = tokio::time::Instant::now() + LONG;
    loop {
        let rollout = shown(api, rollout).await;
        if rollout["finished_at"].is_string() || is_far(&rollout) {
            return rollout;
        }
        if tokio::time::Instant::now() >= end {
            let mut waiting = Vec::new();
            for target in targets(api, &rollout).await.values() {
                if target["status"] != "WAITING" {
                    let name = target["endpoint"].as_str().expect("a name");
                    let path = format!("/api/v1/endpoints/{name}/operations?limit=3");
                    waiting.push(format!("{target}\n{}", api.read(&path).await));
                }
            }
            panic!(
                "nothing happens within {LONG:?}: {} {}\n{}",
                rollout["waits_for"],
                rollout["counts"],
                waiting.join("\n")
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
