//! DTLS sessions outlive the server: between the sockets, which know nothing of a database, and the store.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::config::Coaps;
use crate::domain::{KeptSession, SessionId, Timestamp};
use crate::net::dtls::Keeper;
use crate::store::{Change, Commit, FleetWriter, SecureSessionLoader, StoreError, Witness};

/// The sessions of the time before, each with a step of numbers that may be used; nothing when sessions are
/// not to be kept, and then those that were kept are forgotten.
pub(super) async fn take_up(
    settings: &Coaps,
    store: &dyn SecureSessionLoader,
    witness: &WitnessFile,
) -> Result<Option<Vec<KeptSession>>, StoreError> {
    let now = Timestamp::system();
    // Whether or not DTLS is served this time: the heartbeat that follows hides that it was put back.
    if store.compare_with(witness.as_told()).await? {
        tracing::warn!(
            "The database is not the one that the server ran with last: DTLS sessions in it are forgotten"
        );
    }
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

/// The file that tells whether the database was put back: it notes each heartbeat after the database has, and
/// a copy of it is another file.
pub(super) struct WitnessFile {
    file: File,
    told: Witness,
}

impl WitnessFile {
    /// That of a data folder; made when there is none.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(data_dir.join(WITNESS_FILE))?;
        let metadata = file.metadata()?;
        // Not every file system knows when a file was made.
        let made = metadata.created().ok();
        let made = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        let made = made.map_or(0, |made| made.as_nanos() as u64);
        let mut seen = [0; 8];
        let seen = match file.read_exact_at(&mut seen, 0) {
            Ok(()) => i64::from_be_bytes(seen),
            Err(_) => 0,
        };
        let told = Witness {
            file: (metadata.ino().rotate_left(32) ^ made).cast_signed(),
            seen,
        };
        Ok(Self { file, told })
    }

    fn as_told(&self) -> Witness {
        self.told
    }

    /// The database knows of the heartbeat of this number.
    pub(super) fn note(&self, heartbeat: i64) -> io::Result<()> {
        self.file.write_all_at(&heartbeat.to_be_bytes(), 0)
    }
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

/// In the data folder.
const WITNESS_FILE: &str = "heartbeat";

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::config::Settings;

    /// Notes what it is asked.
    #[derive(Default)]
    struct Asked(Mutex<Vec<&'static str>>);

    #[async_trait]
    impl SecureSessionLoader for Asked {
        async fn take_up(&self, _: u64, _: Timestamp) -> Result<Vec<KeptSession>, StoreError> {
            self.0.lock().expect("no panic").push("take up");
            Ok(Vec::new())
        }

        async fn compare_with(&self, _: Witness) -> Result<bool, StoreError> {
            self.0.lock().expect("no panic").push("compare");
            Ok(true)
        }
    }

    /// Its heartbeats would make a database that was put back look like one that was not, at the next start.
    #[actix_rt::test]
    async fn a_start_without_dtls_finds_out_whether_the_database_was_put_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let witness = WitnessFile::open(folder.path()).expect("a file");
        for (enabled, keep_sessions, expected) in [
            (false, true, &["compare"][..]),
            (false, false, &["compare"]),
            (true, false, &["compare", "take up"]),
            (true, true, &["compare", "take up"]),
        ] {
            let asked = Asked::default();
            let mut settings = Settings::defaults().coaps;
            (settings.enabled, settings.keep_sessions) = (enabled, keep_sessions);
            let taken = take_up(&settings, &asked, &witness).await;
            let is_kept = taken.expect("no error").is_some();
            assert_eq!(is_kept, enabled && keep_sessions);
            assert_eq!(*asked.0.lock().expect("no panic"), expected);
        }
    }
}
