//! The pages over a fleet in memory, asked as a browser asks.

use std::sync::{Arc, OnceLock};

use actix_web::cookie::Key;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::test::{self, TestRequest};
use actix_web::web::Data;
use flownexus::config::Settings;
use flownexus::live::Hub;
use flownexus::security::Sealer;
use flownexus::web::auth::{Stores, password};
use flownexus::web::models::Catalogue;
use flownexus::web::{AppParts, AppState, app};

use super::fleet::{Fleet, PASSWORD};
use crate::support::fake_credentials::{fake_certificates, fake_credentials};
use crate::support::fake_firmware::fake_firmware_with;
use crate::support::fake_models::FakeModels;

/// What a page was answered with.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) text: String,
}

/// A browser, logged in or not.
pub(crate) struct Browser {
    state: Data<AppState>,
    cookie: String,
}

/// The hash of [`PASSWORD`]; made once, since that is slow on purpose.
pub(crate) fn password_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| password::hash(PASSWORD).expect("a hash"))
}

/// What the pages stand on.
pub(crate) fn state(fleet: Arc<Fleet>, hub: Hub, settings: Settings) -> Data<AppState> {
    let stores = Stores::new(fleet.clone());
    state_over(stores, fleet, hub, settings)
}

/// The same over other stores; the fleet is what is asked of devices.
pub(crate) fn state_over(
    stores: Stores,
    fleet: Arc<Fleet>,
    hub: Hub,
    settings: Settings,
) -> Data<AppState> {
    let certificates = fake_certificates();
    Data::new(AppState::new(AppParts {
        firmware: fake_firmware_with(&settings, fleet.images()),
        settings: Arc::new(settings),
        stores,
        rollouts: fleet.rollouts.clone(),
        bulk_news: Default::default(),
        hub,
        lens: flownexus::lens::Lens::new(&Settings::defaults().lens),
        coap: (None, None),
        models: Arc::new(Catalogue::new(Arc::new(FakeModels::told_to(&fleet.people)))),
        credentials: fake_credentials(&certificates, &fleet.people),
        devices: fleet,
        certificates,
        metrics: Default::default(),
        ready: Arc::new(|| Box::pin(async { Ok(()) })),
        cookie_key: Key::from(&[7; 64]),
        totp: Sealer::new([7; 32].into()),
    }))
}

impl Browser {
    /// A browser of nobody in particular.
    pub(crate) fn new(fleet: Arc<Fleet>) -> Self {
        let settings = Settings::defaults();
        let hub = Hub::new(&settings.live);
        Self {
            state: state(fleet, hub, settings),
            cookie: String::new(),
        }
    }

    /// A browser in which this person has logged in.
    pub(crate) async fn of(name: &str, fleet: Arc<Fleet>) -> Self {
        let mut browser = Self::new(fleet);
        browser.log_in(name).await;
        browser
    }

    /// Another browser at the same server, in which this person has logged in.
    pub(crate) async fn again_as(&self, name: &str) -> Self {
        let mut browser = Self {
            state: self.state.clone(),
            cookie: String::new(),
        };
        browser.log_in(name).await;
        browser
    }

    async fn log_in(&mut self, name: &str) {
        let form = [("name", name), ("password", PASSWORD), ("next", "/")];
        let page = self.post("/login", &form).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    }

    /// Gets a page.
    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.ask(TestRequest::get().uri(path)).await
    }

    /// Sends a form.
    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        self.ask(TestRequest::post().uri(path).set_form(form)).await
    }

    /// Sends a form with files: names and contents, and further fields.
    pub(crate) async fn upload(
        &mut self,
        path: &str,
        files: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Page {
        let mut body = String::new();
        let parts = files
            .iter()
            .map(|(name, content)| (format!("name=\"file\"; filename=\"{name}\""), content))
            .chain(
                fields
                    .iter()
                    .map(|(name, content)| (format!("name=\"{name}\""), content)),
            );
        for (names, content) in parts {
            body.push_str(&format!(
                "--edge\r\nContent-Disposition: form-data; {names}\r\n\r\n{content}\r\n"
            ));
        }
        body.push_str("--edge--\r\n");
        let request = TestRequest::post()
            .uri(path)
            .insert_header((header::CONTENT_TYPE, "multipart/form-data; boundary=edge"))
            .set_payload(body);
        self.ask(request).await
    }

    async fn ask(&mut self, request: TestRequest) -> Page {
        let service = test::init_service(app(self.state.clone())).await;
        let request = request
            .peer_addr("127.0.0.1:40000".parse().expect("an address"))
            .insert_header((header::COOKIE, self.cookie.as_str()))
            .to_request();
        let response: ServiceResponse<_> = service.call(request).await.expect("an answer");
        let status = response.status();
        let text_of = |name: header::HeaderName| {
            let value = response.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let location = text_of(header::LOCATION);
        if let Some((cookie, _)) = text_of(header::SET_COOKIE).split_once(';') {
            self.cookie = cookie.to_owned();
        }
        let body = test::read_body(response).await;
        Page {
            status,
            location,
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}
