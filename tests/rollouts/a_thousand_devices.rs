//! A thousand devices: a few that fail are borne, many are not, and then everybody runs again what it ran before,
//! whatever becomes of the server in the meantime.

use super::*;

/// For a thousand devices on a debug build, beside other tests.
const VERY_LONG: Duration = Duration::from_secs(400);

fn groups() -> Json {
    json!([
        {"name": "canary", "count": 20},
        {"name": "tenth", "percent": 10},
        {"name": "rest"},
    ])
}

fn many(setup: Setup) -> Setup {
    quick(setup).setting("log.level", "info")
}

#[tokio::test]
async fn three_of_a_hundred_may_fail() {
    let server = many(Server::setup()).start().await;
    let api = server.api();
    let (_, image) = images(&api).await;
    with_fleet(fleet(&server, "few-", 1_000, 3), async |fleet| {
        let mut body = wanted(&image, "few-", &groups());
        body["at_once"] = json!(200);
        let rollout = api.create(ROLLOUTS, &body).await;
        let rollout = becomes_within(&api, &rollout, "FINISHED", VERY_LONG).await;
        assert_eq!(count(&rollout, "SUCCEEDED"), 970);
        assert_eq!(count(&rollout, "FAILED"), 30);
        assert_nobody_was_updated_twice(&api, &rollout, fleet).await;
    })
    .await;
}

#[tokio::test]
async fn thirty_of_a_hundred_are_too_many_and_the_others_go_back() {
    let mut server = many(Server::setup()).start().await;
    let (_, image) = images(&server.api()).await;
    with_fleet(fleet(&server, "lot-", 1_000, 30), async |fleet| {
        let api = server.api();
        let mut body = wanted(&image, "lot-", &groups());
        body["at_once"] = json!(200);
        // The canaries alone would bear it.
        body["groups"][0]["success_percent"] = json!(60);
        body["groups"][0]["error_percent"] = json!(40);
        let rollout = api.create(ROLLOUTS, &body).await;
        // Killed amid the second group, and on the way back.
        for state in ["RUNNING", "ROLLING_BACK"] {
            eventually(
                &format!("some devices are done when it is {state}"),
                VERY_LONG,
                async || {
                    let shown = shown(&server.api(), &rollout).await;
                    let done = match state {
                        "RUNNING" => count(&shown, "SUCCEEDED") > 25,
                        _ => count(&shown, "ROLLED_BACK") > 5,
                    };
                    (shown["state"] == state && done || shown["finished_at"].is_string())
                        .then_some(())
                },
            )
            .await;
            server.kill();
            server.restart().await;
        }
        let api = server.api();
        let rollout = becomes_within(&api, &rollout, "ROLLED_BACK", VERY_LONG).await;
        assert_eq!(count(&rollout, "SUCCEEDED"), 0);
        assert_eq!(count(&rollout, "ROLL_BACK_FAILED"), 0);
        assert!(count(&rollout, "ROLLED_BACK") >= 14, "{rollout}");
        assert!(count(&rollout, "CANCELLED") >= 880, "{rollout}");
        let reason = rollout["reason"].as_str().expect("a reason");
        assert!(
            reason.contains("of 100 devices of group `tenth`"),
            "{reason}"
        );
        assert_nobody_was_updated_twice(&api, &rollout, fleet).await;
    })
    .await;
}
