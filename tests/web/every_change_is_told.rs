//! Every changing route of a whole server: one line of the audit log for a change, none for a refusal.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::firmware::{form, image, send};
use crate::support::device::ScriptedDevice;
use crate::support::server::{Api, Server};

const DDF: &str = r#"<LWM2M><Object ObjectType="MODefinition"><Name>Lamp</Name><ObjectID>33000</ObjectID>
<ObjectVersion>1.0</ObjectVersion><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>
<Resources><Item ID="1"><Name>On</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Optional</Mandatory><Type>Boolean</Type></Item></Resources></Object></LWM2M>"#;

/// A server, and what its audit log has told so far.
struct Watched {
    server: Server,
    api: Api,
    told: usize,
}

impl Watched {
    /// The actions that were told since the last time.
    async fn news(&mut self) -> Vec<String> {
        let page = self.api.read("/api/v1/audit?limit=1000").await;
        let items = page["items"].as_array().expect("a list");
        let new = items.len() - self.told;
        self.told = items.len();
        let lines = items.iter().take(new);
        lines
            .map(|line| {
                // What was done before it started came from nowhere.
                let before = line["actor"] == "cli" || line["actor"] == "first start";
                assert!(before || line["remote"] == "127.0.0.1", "{line}");
                line["action"].as_str().expect("an action").to_owned()
            })
            .collect()
    }

    /// Asks; the status must be as wanted, and of a change one line of this action is told.
    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Json>,
        status: u16,
        action: &str,
    ) -> Json {
        let mut request = self.api.request(method.clone(), path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let got = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        assert_eq!(got, status, "{method} {path}: {text}");
        let wanted: &[&str] = if action.is_empty() { &[] } else { &[action] };
        assert_eq!(self.news().await, wanted, "{method} {path}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn change(&mut self, method: Method, path: &str, body: Json, action: &str) -> Json {
        let status = match method {
            Method::POST => 201,
            Method::DELETE => 204,
            _ => 200,
        };
        let body = Some(body).filter(|body| !body.is_null());
        self.ask(method, path, body, status, action).await
    }

    async fn refused(&mut self, method: Method, path: &str, body: Json, status: u16) {
        let body = Some(body).filter(|body| !body.is_null());
        self.ask(method, path, body, status, "").await;
    }
}

#[tokio::test]
async fn once_in_the_audit_log_and_a_refusal_never() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("told-of", server.coap());
    let register = device.register(300, "</3/0>");
    device.send(&register);
    device.expect("the answer to the Register");
    let api = server.api();
    let mut it = Watched {
        server,
        api,
        told: 0,
    };
    it.news().await;
    let (post, put) = (|| Method::POST, || Method::PUT);
    let (patch, delete) = (|| Method::PATCH, || Method::DELETE);

    // What is made, changed and removed by its number.
    let rule = |name: &str| json!({"name": name, "path": "/3303", "condition": {"kind": "absence", "after_s": 7200}});
    let template = json!({"path": "/3303/0/5700", "kind": "observe"});
    for (list, made, changed, what) in [
        ("/api/v1/rules", rule("a"), Some(rule("b")), "rule"),
        (
            "/api/v1/observation-templates",
            template.clone(),
            Some(json!({"path": "/3304/0/5700", "kind": "observe"})),
            "template",
        ),
        (
            "/api/v1/log-resources",
            json!({"path": "/20/0/4014"}),
            None,
            "log_resource",
        ),
        (
            "/api/v1/tokens",
            json!({"name": "ci", "role": "viewer"}),
            None,
            "token",
        ),
        (
            "/api/v1/credentials",
            json!({"endpoint": "a", "psk": {"identity": "i", "key": "00112233445566778899aabbccddeeff"}}),
            None,
            "credential",
        ),
    ] {
        let one = it
            .change(post(), list, made.clone(), &format!("{what}.create"))
            .await;
        let id = one["id"]
            .as_i64()
            .or_else(|| one["credential"]["id"].as_i64());
        let path = format!("{list}/{}", id.unwrap_or_else(|| panic!("no id: {one}")));
        if what != "template" {
            it.refused(post(), list, made, 409).await;
        }
        it.refused(post(), list, json!({}), 422).await;
        if let Some(changed) = changed {
            it.change(put(), &path, changed.clone(), &format!("{what}.update"))
                .await;
            it.refused(put(), &format!("{list}/999"), changed, 404)
                .await;
        }
        // What was removed comes back in another shape: a status of its own.
        let status = if what == "credential" { 200 } else { 204 };
        it.ask(delete(), &path, None, status, &format!("{what}.delete"))
            .await;
        it.refused(delete(), &path, Json::Null, 404).await;
    }

    // What is saved under the same name is replaced.
    let filters = "/api/v1/saved-filters";
    let filter = json!({"name": "lab", "view": "tag=lab"});
    let one = it
        .change(post(), filters, filter.clone(), "saved_filter.create")
        .await;
    it.ask(post(), filters, Some(filter), 200, "saved_filter.update")
        .await;
    it.refused(post(), filters, json!({}), 422).await;
    let one = format!("{filters}/{}", one["id"]);
    it.change(delete(), &one, Json::Null, "saved_filter.delete")
        .await;
    it.refused(delete(), &one, Json::Null, 404).await;

    // People.
    let person = json!({"name": "ada", "role": "viewer", "password": "a long password"});
    it.change(post(), "/api/v1/users", person.clone(), "user.create")
        .await;
    it.refused(post(), "/api/v1/users", person, 409).await;
    let ada = "/api/v1/users/ada";
    it.change(patch(), ada, json!({"role": "operator"}), "user.update")
        .await;
    it.ask(patch(), ada, Some(json!({"role": "operator"})), 200, "")
        .await;
    it.change(patch(), ada, json!({"disabled": true}), "user.update")
        .await;
    it.refused(
        patch(),
        "/api/v1/users/admin",
        json!({"disabled": true}),
        409,
    )
    .await;
    let password = format!("{ada}/password");
    let new = json!({"password": "another password"});
    it.ask(put(), &password, Some(new), 204, "user.password")
        .await;
    it.refused(put(), &password, json!({"password": "short"}), 422)
        .await;
    it.refused(delete(), &format!("{ada}/totp"), Json::Null, 404)
        .await;
    it.refused(delete(), "/api/v1/sessions/0", Json::Null, 404)
        .await;
    it.change(delete(), ada, Json::Null, "user.delete").await;
    it.refused(delete(), ada, Json::Null, 404).await;

    // A login, its end, and one that is refused.
    let login = |password: &str| json!({"name": "admin", "password": password});
    let right = login(&it.server.admin_password());
    it.ask(
        post(),
        "/api/v1/session",
        Some(login("wrong")),
        401,
        "session.refused",
    )
    .await;
    it.ask(post(), "/api/v1/session", Some(right), 200, "session.start")
        .await;
    let sessions = it.api.read("/api/v1/sessions").await;
    let id = sessions["items"][0]["id"]
        .as_str()
        .expect("a session")
        .to_owned();
    let path = format!("/api/v1/sessions/{id}");
    it.change(delete(), &path, Json::Null, "session.revoke")
        .await;
    it.refused(delete(), &path, Json::Null, 404).await;

    // Certificates, and how long values are kept.
    let revoked = json!({"serial": "0abc", "reason": "stolen"});
    let list = "/api/v1/credentials/revoked";
    it.change(post(), list, revoked.clone(), "certificate.revoke")
        .await;
    it.refused(post(), list, revoked, 409).await;
    it.change(
        delete(),
        &format!("{list}/0abc"),
        Json::Null,
        "certificate.restore",
    )
    .await;
    it.refused(delete(), &format!("{list}/0abc"), Json::Null, 404)
        .await;
    let path = "/api/v1/resource-types/3303/5700/retention";
    it.change(
        put(),
        path,
        json!({"raw_days": 30}),
        "resource_type.retention",
    )
    .await;
    it.refused(put(), path, json!({"raw_days": 36_501}), 422)
        .await;

    // Models and images, which are no JSON.
    for (status, action) in [(201, Some("model.create")), (409, None)] {
        let request = it.api.request(post(), "/api/v1/models");
        let request = request.header("content-type", "application/xml");
        let answer = request.body(DDF).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{:?}", answer.text().await);
        assert_eq!(it.news().await, Vec::from_iter(action));
    }
    let model = "/api/v1/models/33000/1.0";
    it.change(delete(), model, Json::Null, "model.delete").await;
    it.refused(delete(), model, Json::Null, 404).await;
    for (status, action) in [(201, Some("firmware.add")), (409, None)] {
        let answer = send(&it.api, form("1.0", "a.bin", &image(1, 2_000))).await;
        assert_eq!(answer.status(), status, "{:?}", answer.text().await);
        assert_eq!(it.news().await, Vec::from_iter(action));
    }

    // A device.
    let path = "/api/v1/endpoints/told-of";
    it.change(patch(), path, json!({"tags": ["lab"]}), "endpoint.update")
        .await;
    it.refused(patch(), path, json!({"tags": 5}), 422).await;
    let read = json!({"kind": "read", "path": "/3/0/0"});
    let operations = format!("{path}/operations");
    it.ask(
        post(),
        &operations,
        Some(read.clone()),
        201,
        "operation.create",
    )
    .await;
    it.refused(
        post(),
        &operations,
        json!({"kind": "read", "path": "/"}),
        422,
    )
    .await;
    it.refused(post(), "/api/v1/endpoints/nobody/operations", read, 404)
        .await;
    it.change(delete(), path, Json::Null, "endpoint.delete")
        .await;
    it.refused(delete(), path, Json::Null, 404).await;
}
