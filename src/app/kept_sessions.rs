//! DTLS sessions outlive the server: between the sockets, which know nothing of a database, and the store.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::config::Coaps;
use crate::domain::{KeptSession, SessionId, Timestamp};
use crate::net::dtls::Keeper;
use crate::store::{Change, Commit, FleetWriter, SecureSessionLoader, StoreError};

/// The sessions of the time before, each with a step of numbers that may be used; nothing when sessions are
/// not to be kept, and then those that were kept are forgotten.
pub(super) async fn take_up(
    settings: &Coaps,
    store: &dyn SecureSessionLoader,
) -> Result<Option<Vec<KeptSession>>, StoreError> {
    let now = Timestamp::system();
    if !settings.enabled {
        return Ok(None);
    }
    if !settings.keep_sessions {
        store.take_up(0, Timestamp::MAX).await?;
        return Ok(None);
    }
    let idle = Duration::from_secs(settings.idle_s.max(1));
    let since = now.minus(idle);
    store
        .take_up(settings.record_number_step, since)
        .await
        .map(Some)
}

/// Writes sessions as part of what happens in the fleet.
pub(super) struct SessionKeeper(Arc<dyn FleetWriter>);

impl SessionKeeper {
    pub(super) fn new(writer: Arc<dyn FleetWriter>) -> Self {
        Self(writer)
    }

    fn write(&self, change: Change) -> BoxFuture<'static, Result<(), StoreError>> {
        self.0.commit(Commit {
            changes: vec![change],
            publish: Vec::new(),
        })
    }
}

impl Keeper for SessionKeeper {
    fn keep(&self, session: KeptSession) -> BoxFuture<'static, bool> {
        let written = self.write(Change::KeepSession(Box::new(session)));
        // The writer tells the log of what it could not write.
        written.map(|written| written.is_ok()).boxed()
    }

    fn forget(&self, id: SessionId) {
        // Queued already. Should it be lost, the session is found at the next start, and ends when it has
        // been idle for long enough.
        drop(self.write(Change::EndSession { id }));
    }
}
