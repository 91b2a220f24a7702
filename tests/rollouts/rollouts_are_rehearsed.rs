//! What a rehearsal foresees is what happens, and no device hears of it.

use super::*;

#[tokio::test]
async fn a_rehearsal_tells_before_what_happens_after() {
    let server = quick(Server::setup()).start().await;
    let api = server.api();
    let (_, image) = images(&api).await;
    with_fleet(fleet(&server, "try-", 10, 30), async |fleet| {
        let groups = json!([{"name": "canary", "count": 5}, {"name": "rest"}]);
        let mut body = wanted(&image, "try-", &groups);
        let fields = body.as_object_mut().expect("an object");
        fields.remove("start");
        fields.insert("failing_percent".to_owned(), json!(30));
        let rehearse = format!("{ROLLOUTS}/rehearse");
        let answer = api.post(&rehearse, &body).await;
        assert_eq!(answer.status(), 200);
        let forecast: Json = answer.json().await.expect("JSON");
        assert_eq!(forecast["state"], "ROLLED_BACK", "{forecast}");
        assert_eq!(forecast["devices"], 10);
        assert!(forecast["duration_s"].as_u64().expect("seconds") > 0);
        let said = forecast["assumptions"].to_string();
        assert!(
            said.contains("the image is not taken by 3 devices, chosen at random"),
            "{said}"
        );
        let list = api.read(ROLLOUTS).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(0));
        for device in fleet.devices() {
            assert_eq!(runs(&device).await, (BEFORE.to_owned(), Vec::new()));
        }
        // In earnest it goes the same way.
        let fields = body.as_object_mut().expect("an object");
        fields.remove("failing_percent");
        fields.insert("start".to_owned(), json!(true));
        let rollout = api.create(ROLLOUTS, &body).await;
        becomes(&api, &rollout, "ROLLED_BACK").await;
    })
    .await;
}
