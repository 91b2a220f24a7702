//! The pages over a fleet in memory, for a browser.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use actix_web::dev::ServerHandle;
use flownexus::config::Settings;
use flownexus::domain::{EndpointName, LiveEvent, LiveKind, Timestamp};
use flownexus::live::Hub;

use crate::pages::dashboard::{password_hash, state};
use crate::pages::fleet::Fleet;

/// The pages, served by a thread of their own.
pub(crate) struct Pages {
    pub(crate) address: String,
    pub(crate) fleet: Arc<Fleet>,
    hub: Hub,
    server: ServerHandle,
}

impl Pages {
    pub(crate) fn serve() -> Self {
        let mut settings = Settings::defaults();
        settings.web.listen = "127.0.0.1:0".parse().expect("an address");
        settings.web.workers = 1;
        let hub = Hub::new(&settings.live);
        let fleet = Fleet::new(password_hash());
        let state = state(fleet.clone(), hub.clone(), settings);
        let (sender, started) = channel();
        thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let (server, urls) = flownexus::web::serve(state).expect("it listens");
                let told = sender.send((server.handle(), urls[0].clone()));
                told.expect("the test waits");
                server.await
            })
        });
        let (server, address) = started.recv().expect("it starts");
        Self {
            address,
            fleet,
            hub,
            server,
        }
    }

    pub(crate) fn publish(&self, device: &str, kind: LiveKind, body: serde_json::Value) {
        self.hub.publish(vec![LiveEvent {
            endpoint: EndpointName::new(device).expect("a name"),
            kind,
            time: Timestamp::system(),
            body: body.into(),
        }]);
    }

    pub(crate) fn device(&self, name: &str) -> String {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("{}/devices/{encoded}", self.address)
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}
