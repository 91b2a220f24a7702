//! A rollout from its first group to its last, and what is told of it.

use super::*;
use crate::support::shared::SharedServer;

static SERVER: SharedServer = SharedServer::new(quick);

#[tokio::test]
async fn every_device_runs_the_image_in_the_end() {
    let server = quick(Server::setup()).start().await;
    let api = server.api();
    let (_, image) = images(&api).await;
    with_fleet(fleet(&server, "group-", 8, 0), async |fleet| {
        let groups = json!([
            {"name": "canary", "count": 2, "success_percent": 100, "error_percent": 0},
            {"name": "quarter", "percent": 25},
            {"name": "rest"},
        ]);
        let mut body = wanted(&image, "group-", &groups);
        body["at_once"] = json!(3);
        let rollout = api.create(ROLLOUTS, &body).await;
        assert_eq!(rollout["state"], "RUNNING");
        let rollout = becomes(&api, &rollout, "FINISHED").await;
        assert_eq!(count(&rollout, "SUCCEEDED"), 8);
        let sizes: Vec<_> = rollout["groups"]
            .as_array()
            .expect("groups")
            .iter()
            .collect();
        assert_eq!(
            sizes
                .iter()
                .map(|group| group["devices"].as_u64())
                .collect::<Vec<_>>(),
            [Some(2), Some(2), Some(4)]
        );
        for (before, after) in sizes.iter().zip(sizes.iter().skip(1)) {
            assert!(
                before["passed_at"].as_str() <= after["begun_at"].as_str(),
                "{rollout}"
            );
        }
        let log = log(&rollout);
        for line in [
            "token:test made it for 8 devices",
            "token:test started it",
            "group `canary` begins: 2 devices",
            "group `canary` reached its threshold: 2 of 2 succeeded",
            "group `quarter` begins: 2 devices",
            "group `rest` begins: 4 devices",
            "every device had its turn",
        ] {
            assert!(log.contains(line), "`{line}` is missing:\n{log}");
        }
        assert_nobody_was_updated_twice(&api, &rollout, fleet).await;
        // Each device's update is one of the rollout, with a timeline of its own.
        for target in targets(&api, &rollout).await.values() {
            let update = api
                .read(&format!("/api/v1/firmware-updates/{}", target["update_id"]))
                .await;
            assert_eq!(update["result"], "SUCCESS");
            assert_eq!(update["rollout_id"], rollout["id"]);
            assert_eq!(target["version_before"], BEFORE);
        }
        assert!(server.metric("flownexus_rollout_updates_begun_total").await >= 8.0);
        // It was started with its making.
        let audit = api.read("/api/v1/audit").await.to_string();
        for action in ["rollout.create", "rollout.start"] {
            assert!(audit.contains(action), "{action}: {audit}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_more_devices_than_wanted_are_updated_at_once() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "3.0.0", &labelled("3.0.0", 3, 2_000)).await;
    with_fleet(fleet(&server, "once-", 6, 0), async |_| {
        let mut body = wanted(&image, "once-", &json!([{"name": "all"}]));
        body["at_once"] = json!(2);
        let rollout = api.create(ROLLOUTS, &body).await;
        let most = std::cell::Cell::new(0);
        eventually("it is through", LONG, async || {
            let path = "/api/v1/firmware-updates?result=DEFAULT&limit=100";
            let active = api.read(path).await;
            let items = active["items"].as_array().expect("items").iter();
            let ours = items.filter(|update| update["rollout_id"] == rollout["id"]);
            most.set(ours.count().max(most.get()));
            let rollout = shown(&api, &rollout).await;
            (rollout["state"] == "FINISHED").then_some(())
        })
        .await;
        let most = most.get();
        assert!((1..=2).contains(&most), "{most}");
    })
    .await;
}

#[tokio::test]
async fn devices_that_come_later_join_where_that_is_wanted() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "4.0.0", &labelled("4.0.0", 4, 2_000)).await;
    let mut body = wanted(&image, "late-", &json!([{"name": "all"}]));
    body["newcomers"] = json!(true);
    let rollout = api.create(ROLLOUTS, &body).await;
    assert_eq!(rollout["devices"], 0);
    with_fleet(fleet(&server, "late-", 3, 0), async |_| {
        let all = eventually("all have joined and succeeded", LONG, async || {
            let rollout = shown(&api, &rollout).await;
            (count(&rollout, "SUCCEEDED") == 3).then_some(rollout)
        })
        .await;
        assert_eq!(all["state"], "RUNNING");
        assert_eq!(all["waits_for"], "devices that fit and join");
        // Whoever says that it is enough ends it in order.
        let ended = steer(&api, &rollout, "stop").await;
        assert_eq!(ended["state"], "FINISHED");
    })
    .await;
}

#[tokio::test]
async fn a_device_that_runs_the_image_already_is_left_alone() {
    let server = SERVER.hold().await;
    let api = server.api();
    let image = uploaded(&api, "5.0.0", &labelled("5.0.0", 5, 2_000)).await;
    let mut settings = fleet(&server, "same-", 2, 0);
    settings.firmware.as_mut().expect("object 5").version = "5.0.0".to_owned();
    with_fleet(settings, async |fleet| {
        let body = wanted(&image, "same-", &json!([{"name": "all"}]));
        let rollout = api.create(ROLLOUTS, &body).await;
        let rollout = becomes(&api, &rollout, "FINISHED").await;
        assert_eq!(count(&rollout, "UNCHANGED"), 2);
        for device in fleet.devices() {
            assert_eq!(runs(&device).await, ("5.0.0".to_owned(), Vec::new()));
        }
    })
    .await;
}
