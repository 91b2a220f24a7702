//! The web room on a real socket, above [`FakeStore`] and [`FakeDevices`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::cookie::Key;
use actix_web::web::Data;
use flownexus::config::Settings;
use flownexus::domain::{Doer, FirmwareId, FirmwareImage, Selection, Timestamp};
use flownexus::live::Hub;
use flownexus::security::Sealer;
use flownexus::store::{Role, User, UserStore};
use flownexus::web::auth::tokens::{self, TokenWish};
use flownexus::web::auth::{Stores, password};
use flownexus::web::models::Catalogue;
use flownexus::web::{AppParts, AppState, serve};
use prometheus_client::registry::Registry;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value as Json;

use super::fake_credentials::{fake_certificates, fake_credentials};
use super::fake_devices::FakeDevices;
use super::fake_firmware::fake_firmware_with;
use super::fake_models::FakeModels;
use super::fake_rollouts::VERSION;
use super::fake_store::FakeStore;

/// The password of every person in the tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The device that is there.
pub(crate) const DEVICE: &str = "urn:imei:490154203237518";

/// A running site.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) hub: Hub,
    pub(crate) ready: Arc<AtomicBool>,
    pub(crate) client: Client,
}

impl Site {
    /// A site with one device and the default settings.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::defaults();
        settings.web.listen = ([127, 0, 0, 1], 0).into();
        settings.web.workers = 1;
        change(&mut settings);
        let store = Arc::new(FakeStore::default());
        store.add_device(DEVICE, false);
        let hub = Hub::starting_at(&settings.live, 0);
        let mut metrics = Registry::default();
        hub.counters().register(&mut metrics);
        let ready = Arc::new(AtomicBool::new(true));
        let probe = ready.clone();
        let certificates = fake_certificates();
        let state = AppState::new(AppParts {
            firmware: fake_firmware_with(&settings, vec![image()]),
            settings: Arc::new(settings),
            stores: Stores::new(store.clone()),
            devices: Arc::new(FakeDevices(store.clone())),
            rollouts: store.rollouts.clone(),
            bulk_news: Default::default(),
            hub: hub.clone(),
            lens: flownexus::lens::Lens::new(&Settings::defaults().lens),
            coap: (None, None),
            models: Arc::new(Catalogue::new(Arc::new(FakeModels::told_to(&store.people)))),
            credentials: fake_credentials(&certificates, &store.people),
            certificates,
            metrics,
            ready: Arc::new(move || {
                let ready = probe.load(Ordering::Relaxed);
                let answer = if ready {
                    Ok(())
                } else {
                    Err("the database is gone".into())
                };
                Box::pin(std::future::ready(answer))
            }),
            cookie_key: Key::generate(),
            totp: Sealer::new([7; 32].into()),
        });
        let (server, urls) = serve(Data::new(state)).expect("a free port");
        actix_web::rt::spawn(server);
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a client");
        Self {
            address: address_of(&urls[0]),
            store,
            hub,
            ready,
            client,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        self.client.request(method, self.url(path))
    }

    /// A new token of this role.
    pub(crate) async fn token(&self, role: Role) -> String {
        let name = format!("{role:?}{}", self.store.people().tokens.len());
        let wish = TokenWish {
            name: &name,
            role,
            owner: None,
            expires_in: None,
        };
        let made = tokens::create(&*self.store, wish, Doer::command_line()).await;
        // What the test itself does is not in the log.
        self.store.people().audit.pop();
        made.expect("a token").1
    }

    /// A token of this role whose time is over.
    pub(crate) async fn expired_token(&self, role: Role) -> String {
        let text = self.token(role).await;
        let mut people = self.store.people();
        let token = people.tokens.last_mut().expect("the token");
        token.expires_at = Some(token.created_at);
        text
    }

    /// A person of this role with the password [`PASSWORD`].
    pub(crate) async fn person(&self, name: &str, role: Role) {
        let user = User::new(name, role, password::hash(PASSWORD).expect("a hash"));
        let added = UserStore::add(&*self.store, user, Doer::command_line()).await;
        added.expect("a new person");
        self.store.people().audit.pop();
    }

    pub(crate) async fn try_login(&self, name: &str, password: &str) -> Response {
        self.request("POST", "/api/v1/session")
            .json(&serde_json::json!({"name": name, "password": password}))
            .send()
            .await
            .expect("an answer")
    }

    /// Logs in and returns the cookie.
    pub(crate) async fn login(&self, name: &str) -> String {
        let answer = self.try_login(name, PASSWORD).await;
        assert_eq!(answer.status(), 200);
        cookie_of(&answer)
    }

    /// Asks with this token and returns the status and the body.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Json>,
    ) -> (u16, Json) {
        let mut request = self.request(method, path);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer_to(request).await
    }
}

/// Sends a request and returns the status and the body, as a text where it is no JSON.
pub(crate) async fn answer_to(request: RequestBuilder) -> (u16, Json) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (
        status,
        serde_json::from_str(&text).unwrap_or(Json::String(text)),
    )
}

/// The image that is there, with the number 1.
fn image() -> FirmwareImage {
    FirmwareImage {
        id: FirmwareId(1),
        version: VERSION.to_owned(),
        name: "app.bin".to_owned(),
        key: format!("{:032x}", 1),
        sha256: format!("{:064x}", 1),
        size: 1000,
        notes: String::new(),
        selection: Selection::default(),
        created_at: Timestamp::system(),
        created_by: "ada".to_owned(),
    }
}

/// `name=value` of the cookie that an answer sets.
pub(crate) fn cookie_of(answer: &Response) -> String {
    let cookie = answer.headers().get("set-cookie").expect("a cookie");
    let cookie = cookie.to_str().expect("text");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

/// Where `http://ADDRESS` is.
pub(crate) fn address_of(url: &str) -> SocketAddr {
    let address = url.strip_prefix("http://").expect("plain HTTP");
    address.parse().expect("an address")
}
