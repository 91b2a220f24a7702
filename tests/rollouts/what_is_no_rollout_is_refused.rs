//! A rollout that makes no sense is refused with a sentence, beside the field that is to blame.

use super::*;

async fn refused(api: &Api, body: &Json) -> (String, String) {
    let answer = api.post(ROLLOUTS, body).await;
    let status = answer.status();
    let problem: Json = answer.json().await.expect("JSON");
    assert_eq!(status, 422, "{problem}");
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    (text("field"), text("detail"))
}

#[tokio::test]
async fn each_mistake_has_its_sentence_and_its_field() {
    let server = quick(Server::setup()).start().await;
    let api = server.api();
    let (_, image) = images(&api).await;
    let mut without = fleet(&server, "plain-", 2, 0);
    without.firmware = None;
    with_fleet(without, async |_| {
        let body = |change: &dyn Fn(&mut Json)| {
            let mut body = wanted(&image, "plain-", &json!([{"name": "all"}]));
            change(&mut body);
            body
        };
        for (body, field, words) in [
            (body(&|body| body["filter"] = json!({"names": ["nobody-*"]})), "filter", "no device fits nobody-*"),
            (
                body(&|_| {}),
                "filter",
                "no device of plain-* can be updated: 2 devices of the filter left out: object 5 (Firmware Update) is not announced",
            ),
            (body(&|body| body["firmware_id"] = json!(99)), "firmware_id", "there is no firmware image 99"),
            (body(&|body| body["roll_back_to"] = json!(99)), "roll_back_to", "there is no firmware image 99"),
            (body(&|body| body["roll_back_to"] = image["id"].clone()), "roll_back_to", "given back the image"),
            (body(&|body| body["at_once"] = json!(0)), "at_once", "not 0 (rollouts.max_at_once)"),
            (
                body(&|body| body["at_once"] = json!(10_001)),
                "at_once",
                "1 to 10000 devices are updated at once, not 10001 (rollouts.max_at_once)",
            ),
            (
                body(&|body| body["window"] = json!({"from": "22:00", "to": "22:00", "time_zone": "UTC"})),
                "window",
                "no length",
            ),
            (
                body(&|body| body["groups"] = json!([{"success_percent": 95, "error_percent": 10}])),
                "groups",
                "stand still",
            ),
        ] {
            let (said_field, said) = refused(&api, &body).await;
            assert!(said.contains(words), "`{words}` is not in `{said}`");
            assert!(said_field.starts_with(field), "{said_field}: {said}");
        }
        let all = api.read(ROLLOUTS).await;
        assert_eq!(all["items"].as_array().map(Vec::len), Some(0));
    })
    .await;
}
