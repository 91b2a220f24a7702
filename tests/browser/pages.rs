//! The pages over a fleet in memory or over a store, for a browser.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use flownexus::config::Settings;
use flownexus::domain::{EndpointName, LiveEvent, LiveKind, Timestamp};
use flownexus::live::Hub;
use flownexus::store::Store;
use flownexus::web::AppState;
use flownexus::web::auth::Stores;

use crate::pages::dashboard::{password_hash, state_over};
use crate::pages::fleet::Fleet;
use crate::support::site::address_of;

/// The pages, served by a thread of their own.
pub(crate) struct Pages {
    pub(crate) address: String,
    pub(crate) fleet: Arc<Fleet>,
    hub: Hub,
    server: ServerHandle,
    listens: SocketAddr,
    stores: Stores,
}

impl Pages {
    pub(crate) fn serve() -> Self {
        let fleet = Fleet::new(password_hash());
        Self::over(Stores::new(fleet.clone()), fleet)
    }

    /// Over a store, with nobody to be asked.
    pub(crate) fn serve_store(store: Store) -> Self {
        let fleet = Fleet::empty(password_hash());
        Self::over(Stores::new(Arc::new(store)), fleet)
    }

    fn over(stores: Stores, fleet: Arc<Fleet>) -> Self {
        let settings = Settings::defaults();
        let hub = Hub::new(&settings.live);
        let anywhere = "127.0.0.1:0".parse().expect("an address");
        let (server, listens) = start(stores.clone(), fleet.clone(), hub.clone(), anywhere);
        Self {
            address: format!("http://{listens}"),
            fleet,
            hub,
            server,
            listens,
            stores,
        }
    }

    pub(crate) fn publish(&self, device: &str, kind: LiveKind, body: serde_json::Value) {
        self.publish_all(vec![event(device, kind, body)]);
    }

    pub(crate) fn publish_all(&self, events: Vec<LiveEvent>) {
        self.hub.publish(events);
    }

    pub(crate) fn device(&self, name: &str) -> String {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        format!("{}/devices/{encoded}", self.address)
    }

    /// Nothing listens any more; what is published meanwhile is remembered.
    pub(crate) async fn go_away(&self) {
        self.server.stop(false).await;
    }

    /// At the same address as before.
    pub(crate) fn come_back(&mut self) {
        let parts = (self.stores.clone(), self.fleet.clone(), self.hub.clone());
        (self.server, _) = start(parts.0, parts.1, parts.2, self.listens);
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}

/// A message about a device.
pub(crate) fn event(device: &str, kind: LiveKind, body: serde_json::Value) -> LiveEvent {
    LiveEvent {
        endpoint: EndpointName::new(device).expect("a name"),
        kind,
        time: Timestamp::system(),
        body: body.into(),
    }
}

fn start(
    stores: Stores,
    fleet: Arc<Fleet>,
    hub: Hub,
    address: SocketAddr,
) -> (ServerHandle, SocketAddr) {
    let mut settings = Settings::defaults();
    settings.web.listen = address;
    settings.web.workers = 1;
    let state: Data<AppState> = state_over(stores, fleet, hub, settings);
    let (sender, started) = channel();
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let (server, urls) = flownexus::web::serve(state).expect("it listens");
            let told = sender.send((server.handle(), address_of(&urls[0])));
            told.expect("the test waits");
            server.await
        })
    });
    started.recv().expect("it starts")
}
