//! Too many failures: the devices that were changed get back what they ran before.

use super::*;

#[tokio::test]
async fn devices_that_were_changed_run_again_what_they_ran_before() {
    let server = quick(Server::setup()).start().await;
    let api = server.api();
    let (_, image) = images(&api).await;
    // Every other device fails.
    with_fleet(fleet(&server, "back-", 12, 50), async |fleet| {
        let groups = json!([
            {"name": "canary", "count": 2, "success_percent": 50, "error_percent": 50},
            {"name": "rest", "success_percent": 80, "error_percent": 20},
        ]);
        let rollout = api
            .create(ROLLOUTS, &wanted(&image, "back-", &groups))
            .await;
        let rollout = becomes(&api, &rollout, "ROLLED_BACK").await;
        let reason = rollout["reason"].as_str().expect("a reason");
        assert!(
            reason.contains("devices of group `rest`") && reason.contains("it may on 20 % at most"),
            "{reason}"
        );
        assert!(count(&rollout, "ROLLED_BACK") > 0, "{rollout}");
        assert_eq!(count(&rollout, "SUCCEEDED"), 0);
        let log = log(&rollout);
        let canary = log
            .find("group `canary` goes back: 1 device")
            .expect("the canary");
        assert!(
            canary < log.find("every device that was changed").expect("the end"),
            "{log}"
        );
        assert_nobody_was_updated_twice(&api, &rollout, fleet).await;
        for target in targets(&api, &rollout).await.values() {
            if target["status"] == "FAILED" {
                let reason = target["reason"].as_str().expect("a reason");
                assert!(reason.starts_with("UPDATE_FAILED: "), "{reason}");
            }
            if target["status"] == "ROLLED_BACK" {
                let path = format!("/api/v1/firmware-updates/{}", target["back_update_id"]);
                assert_eq!(api.read(&path).await["version"], BEFORE);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_rollout_that_is_to_pause_waits_for_somebody_and_goes_on() {
    let server = quick(Server::setup()).start().await;
    let api = server.api();
    let (_, image) = images(&api).await;
    with_fleet(fleet(&server, "pause-", 6, 50), async |fleet| {
        let groups = json!([
            {"name": "canary", "count": 2, "success_percent": 80, "error_percent": 20},
            {"name": "rest", "success_percent": 50, "error_percent": 50},
        ]);
        let mut body = wanted(&image, "pause-", &groups);
        body["on_error"] = json!("pause");
        let rollout = api.create(ROLLOUTS, &body).await;
        let paused = becomes(&api, &rollout, "PAUSED").await;
        assert!(
            paused["reason"]
                .as_str()
                .expect("a reason")
                .contains("1 of 2 devices of group `canary` (50 %)"),
            "{paused}"
        );
        assert_eq!(count(&paused, "WAITING"), 4);
        steer(&api, &rollout, "resume").await;
        let rollout = becomes(&api, &rollout, "FINISHED").await;
        assert_eq!(count(&rollout, "FAILED"), 3);
        assert_eq!(count(&rollout, "SUCCEEDED"), 3);
        assert_nobody_was_updated_twice(&api, &rollout, fleet).await;
    })
    .await;
}
