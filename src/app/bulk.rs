//! What somebody asks of many devices at once, carried out on this thread.

use std::sync::Arc;

use crate::config::Settings;
use crate::live::Hub;
use crate::registry::{BulkRunner, Handle};
use crate::store::{BulkNews, Store};

/// Goes on with what is under way, and returns what wakes it for more.
pub(super) fn start(settings: &Settings, store: &Store, devices: Handle, hub: Hub) -> BulkNews {
    let store = Arc::new(store.clone());
    let news = BulkNews::default();
    let runner = BulkRunner {
        bulks: store.clone(),
        endpoints: store,
        devices: Arc::new(devices),
        hub,
        news: news.clone(),
        max_attempts: settings.operations.max_attempts,
    };
    actix_rt::spawn(runner.run());
    news
}
