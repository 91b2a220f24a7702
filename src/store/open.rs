//! Opens the database, and hands everything to the writer or to the readers.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use flownexus_entity::server_state;
use flownexus_migration::Migrator;
use futures_util::future::BoxFuture;
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter};
use sea_orm_migration::MigratorTrait as _;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::Checkpointer;
use super::connect::{Place, checkpointer};
use super::firmware::FirmwareFolder;
use super::history::{self, Historian};
use super::journal::{self, Aside, Folder, Front, Journal, Left, Pending};
use super::lock::DataDirLock;
use super::sql::statement;
use super::tables::Tables;
use super::writer::{Call, Job, MARK_PREFIX, Outcome, Queue, Waiting, Work, Writer};
use super::{Change, Commit, FleetWriter, Ids, Metrics, StoreError, forgiven};
use crate::config::Settings;
use crate::domain::{EndpointId, LiveEvent};

/// Tells the world what is on disk now; called after each transaction, in the order of commits.
/// It must not block: the writer waits for it.
pub type Publisher = Arc<dyn Fn(Vec<LiveEvent>) + Send + Sync>;

/// The store: all of the traits of this room. Clones share it.
///
/// It brings its own threads and runtimes, so that it can be used from any thread and any runtime.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    ids: Arc<Ids>,
    metrics: Metrics,
    /// None once the store is closed.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    queue_length: usize,
    /// What is acknowledged and that readers do not see yet, where there is a journal.
    pending: Option<Arc<Pending>>,
    readers: DatabaseConnection,
    reading: Handle,
    /// Owned here to be ended with the store.
    runtime: Mutex<Option<Runtime>>,
    /// True once the writer has ended.
    ended: watch::Receiver<bool>,
    beside: bool,
    historian: Historian,
    forgiven: forgiven::Sum,
    /// None beside a server that has another one.
    firmware: Option<FirmwareFolder>,
}

impl Store {
    /// Opens the database that the settings name, SQLite in `data_dir` or PostgreSQL, and brings
    /// its schema up to date. One process at a time: the data folder (and on PostgreSQL the
    /// database) is locked until the store is closed or the process ends.
    ///
    /// # Errors
    /// One sentence for people: [`StoreError::DataDir`], [`StoreError::InUse`],
    /// [`StoreError::Database`].
    pub async fn open(settings: &Settings, publish: Publisher) -> Result<Self, StoreError> {
        let lock = DataDirLock::take(&settings.data_dir)?;
        Self::start(settings, publish, Some(lock), true).await
    }

    /// Opens the database for administration (people, tokens, templates), also while a server has
    /// it: then nothing is locked, the schema must be up to date already, and
    /// [commits](FleetWriter::commit) of anything but lines of the audit log are refused. Without a server it is
    /// as [`Store::open`].
    ///
    /// # Errors
    /// One sentence for people, as from [`Store::open`].
    pub async fn open_beside(settings: &Settings) -> Result<Self, StoreError> {
        let publish: Publisher = Arc::new(|_| {});
        let lock = DataDirLock::take(&settings.data_dir);
        // When only its database is in use, the server has another folder.
        let is_folder_shared = lock.is_err();
        let alone = match lock {
            Ok(lock) => Self::start(settings, Arc::clone(&publish), Some(lock), true).await,
            Err(error) => Err(error),
        };
        match alone {
            Err(StoreError::InUse { .. }) => {
                Self::start(settings, publish, None, is_folder_shared).await
            }
            result => result,
        }
    }

    /// Without a lock it is opened beside the server that has it, which may have another data folder.
    async fn start(
        settings: &Settings,
        publish: Publisher,
        lock: Option<DataDirLock>,
        is_our_folder: bool,
    ) -> Result<Self, StoreError> {
        let place = Place::of(settings)?;
        let beside = lock.is_none();
        let ids = Arc::new(Ids::default());
        let metrics = Metrics::default();
        let (queue, receiver) = mpsc::channel(settings.store.queue_length.max(1));
        let (ready, is_ready) = oneshot::channel();
        let (end, ended) = watch::channel(false);
        let start = Start {
            place: place.clone(),
            folder: settings.data_dir.join(journal::FOLDER),
            queue: receiver,
            ids: Arc::clone(&ids),
            publish,
            metrics: metrics.clone(),
            settings: settings.store.clone(),
            logs: settings.logs.clone(),
            partition_days: settings.history.partition_days,
            beside,
        };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                run_writer(start, lock, ready);
                // Only now may `close` return.
                end.send_replace(true);
            })
            .map_err(thread_error)?;
        let pending = is_ready.await.unwrap_or(Err(StoreError::Closed))?;

        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store-reader")
            .enable_all()
            .build()
            .map_err(thread_error)?;
        let reading = runtime.handle().clone();
        let runtime = Mutex::new(Some(runtime));
        let connections = settings.database.read_connections;
        let connected = reading.spawn(async move {
            let readers = place.readers(connections).await?;
            let forgiven = forgiven::Sum::read(&readers).await?;
            Ok((readers, forgiven))
        });
        let (readers, forgiven) = match connected.await {
            Ok(Ok(connected)) => connected,
            failed => {
                if let Some(runtime) = guard(&runtime).take() {
                    runtime.shutdown_background();
                }
                return Err(failed.map_or(StoreError::Closed, |failed| {
                    failed.err().unwrap_or(StoreError::Closed)
                }));
            }
        };
        let historian = Historian::new(settings, metrics.clone());
        let store = Self {
            shared: Arc::new(Shared {
                ids,
                metrics,
                queue: Mutex::new(Some(queue)),
                queue_length: settings.store.queue_length.max(1),
                pending,
                readers,
                reading,
                runtime,
                ended,
                beside,
                historian: historian.clone(),
                forgiven,
                firmware: is_our_folder.then(|| FirmwareFolder::of(settings)),
            }),
        };
        if !beside {
            tokio::join!(store.clear_firmware(), store.clear_rollouts());
            let weak = WeakStore(Arc::downgrade(&store.shared));
            store.shared.reading.spawn(historian.run(weak));
        }
        Ok(store)
    }

    /// What the writer counts.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Takes nothing more, writes everything that waits, and returns when it is on disk, the
    /// database is closed and another process may have it.
    pub async fn close(&self) {
        guard(&self.shared.queue).take();
        let mut ended = self.shared.ended.clone();
        // An error means that the writer is gone, which is what is waited for.
        _ = ended.wait_for(|ended| *ended).await;
        let readers = self.shared.readers.clone();
        _ = self
            .shared
            .reading
            .spawn(async move { readers.close().await })
            .await;
    }

    /// How much downtime was forgiven so far.
    pub(super) fn forgiven(&self) -> &forgiven::Sum {
        &self.shared.forgiven
    }

    /// What keeps the history in order.
    pub(super) fn historian(&self) -> &Historian {
        &self.shared.historian
    }

    /// How many jobs wait for the writer.
    pub(super) fn waiting(&self) -> usize {
        let queue = guard(&self.shared.queue);
        let waiting = |queue: &mpsc::Sender<Job>| queue.max_capacity() - queue.capacity();
        queue.as_ref().map_or(0, waiting)
    }

    /// Lets the writer do what waits for it, up to a second, before more unimportant work comes.
    pub(super) async fn pause(&self) {
        let mut patience = 0;
        while self.waiting() > 0 && patience < 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            patience += 1;
        }
    }

    /// True once nothing more is taken.
    pub(super) fn is_closed(&self) -> bool {
        guard(&self.shared.queue).is_none()
    }

    /// The next row of `resource`.
    pub(super) fn next_row(&self) -> i64 {
        self.shared.ids.resource.exact()
    }

    /// Lets the rows of `resource` go on from this id, unless they are beyond it.
    pub(super) fn advance_rows(&self, first: i64) {
        self.shared.ids.resource.advance(first);
    }

    /// Runs a query on the threads of the readers. It sees everything that was acknowledged before.
    pub(super) async fn read<T, F, R>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(DatabaseConnection) -> R,
        R: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.settled(None).await?;
        self.read_tables(query).await
    }

    /// Like [`Store::read`], for a query that is about these devices alone.
    pub(super) async fn read_devices<T, F, R>(
        &self,
        devices: &[EndpointId],
        query: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(DatabaseConnection) -> R,
        R: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.settled(Some(devices)).await?;
        self.read_tables(query).await
    }

    /// Returns once what was acknowledged by now is in the tables, of these devices or all of it.
    pub(super) async fn settled(&self, devices: Option<&[EndpointId]>) -> Result<(), StoreError> {
        match (&self.shared.pending, devices) {
            (None, _) => Ok(()),
            (Some(pending), Some(devices)) => pending.settled_for(devices).await,
            (Some(pending), None) => pending.settled().await,
        }
    }

    /// Like [`Store::read`], but what was acknowledged may be missing for a moment. For tables that commits do
    /// not write (people, tokens, models, rules: a call returns when it is in the tables), and for what counts
    /// in the tables alone.
    pub(super) async fn read_tables<T, F, R>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(DatabaseConnection) -> R,
        R: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let query = query(self.shared.readers.clone());
        self.shared
            .reading
            .spawn(query)
            .await
            .unwrap_or(Err(StoreError::Closed))
    }

    /// Where the files of firmware images are.
    pub(super) fn firmware_folder(&self) -> Result<FirmwareFolder, StoreError> {
        let folder = self.shared.firmware.clone();
        folder.ok_or_else(|| {
            StoreError::Database(
                "the server that is running on it keeps its files in another data folder; bring \
                 the image to that server's REST API or to its machine"
                    .to_owned(),
            )
        })
    }

    /// Runs something to its end from now on, whether or not whoever waits for it goes on waiting.
    pub(super) fn run<T, R>(&self, work: R) -> impl Future<Output = Result<T, StoreError>>
    where
        T: Send + 'static,
        R: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let work = self.shared.reading.spawn(work);
        async move { work.await.unwrap_or(Err(StoreError::Closed)) }
    }

    /// Runs something that blocks on a thread for that.
    pub(super) async fn block<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let work = self.shared.reading.spawn_blocking(work);
        work.await.map_err(|_| StoreError::Closed)
    }

    /// Runs something in a transaction of its own, in its turn behind everything that was handed
    /// to the writer before.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, StoreError>>
            + Send
            + 'static,
    {
        let (call, result, done) = call(work);
        self.enqueue(Job::Call(call))?;
        finished(result, done).await
    }

    /// Like [`Store::write`], but waits for a place in the queue: for work in many small pieces.
    pub(super) async fn write_patiently<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, StoreError>>
            + Send
            + 'static,
    {
        let queue = guard(&self.shared.queue).clone();
        let (call, result, done) = call(work);
        queue
            .ok_or(StoreError::Closed)?
            .send(Job::Call(call))
            .await
            .map_err(|_| StoreError::Closed)?;
        finished(result, done).await
    }

    /// The place in the queue is taken here, or it is refused.
    fn enqueue(&self, job: Job) -> Result<(), StoreError> {
        let queue = guard(&self.shared.queue);
        let Some(queue) = queue.as_ref() else {
            return Err(StoreError::Closed);
        };
        match queue.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(StoreError::Closed),
            Err(TrySendError::Full(_)) => {
                self.shared.metrics.refused.inc();
                Err(StoreError::Busy {
                    limit: self.shared.queue_length,
                })
            }
        }
    }
}

/// A store that may be gone.
#[derive(Debug)]
pub(super) struct WeakStore(Weak<Shared>);

impl WeakStore {
    pub(super) fn upgrade(&self) -> Option<Store> {
        Some(Store {
            shared: self.0.upgrade()?,
        })
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl FleetWriter for Store {
    fn commit(&self, mut commit: Commit) -> BoxFuture<'static, Result<(), StoreError>> {
        let (done, is_done) = oneshot::channel();
        self.forgiven().now().convert(&mut commit);
        let of_fleet = |change: &Change| !matches!(change, Change::Audit(_));
        let queued = if self.shared.beside && commit.changes.iter().any(of_fleet) {
            // Its row ids would be the server's.
            Err(StoreError::Database(
                "the state of devices is written by the server that is running".to_owned(),
            ))
        } else {
            self.enqueue(Job::Commit(Waiting { commit, done }))
        };
        Box::pin(async move {
            queued?;
            is_done.await.unwrap_or(Err(StoreError::Closed))
        })
    }

    fn ids(&self) -> &Ids {
        &self.shared.ids
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A runtime that is dropped inside of another one panics unless it is told not to wait.
        if let Some(runtime) = guard(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

/// What the writer's thread begins with.
struct Start {
    place: Place,
    /// Of the journal.
    folder: PathBuf,
    queue: mpsc::Receiver<Job>,
    ids: Arc<Ids>,
    publish: Publisher,
    metrics: Metrics,
    settings: crate::config::Store,
    logs: crate::config::Logs,
    partition_days: u16,
    beside: bool,
}

/// The writer's thread: opens the database, says whether it could, and writes until the end.
/// Another process may have it as soon as that is over, or could not be begun.
fn run_writer(
    start: Start,
    lock: Option<DataDirLock>,
    ready: oneshot::Sender<Result<Option<Arc<Pending>>, StoreError>>,
) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            _ = ready.send(Err(thread_error(error)));
            return;
        }
    };
    runtime.block_on(async move {
        let lock = lock;
        // When nobody waits any more the queue is closed, and the writer ends at once.
        match prepare(start).await {
            Ok(Ready::Direct(writer)) => {
                _ = ready.send(Ok(None));
                writer.run().await;
            }
            Ok(Ready::Journal(journal)) => journal.run(ready).await,
            Err(error) => {
                drop(lock);
                _ = ready.send(Err(error));
            }
        }
    });
}

/// Who writes.
enum Ready {
    Direct(Box<Writer>),
    Journal(Box<WithJournal>),
}

/// The two ends of the journal.
struct WithJournal {
    front: Front,
    folder: Folder,
    pending: Arc<Pending>,
}

impl WithJournal {
    async fn run(mut self, ready: oneshot::Sender<Result<Option<Arc<Pending>>, StoreError>>) {
        let front = self.front;
        let thread = Builder::new_current_thread().enable_all().build();
        let thread = thread.and_then(|runtime| {
            thread::Builder::new()
                .name("store-journal".to_owned())
                .spawn(move || runtime.block_on(front.run()))
        });
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => {
                _ = ready.send(Err(thread_error(error)));
                return;
            }
        };
        _ = ready.send(Ok(Some(self.pending)));
        let is_folded = self.folder.run().await;
        // It has closed what was pending, or it cannot go on.
        match thread.join() {
            Ok(journal) if is_folded => end_journal(journal),
            Ok(_) => {
                tracing::warn!("What the journal holds goes to the tables with the next start")
            }
            Err(_) => tracing::error!("The journal's thread panicked"),
        }
        self.folder.into_tables().finish().await;
    }
}

fn end_journal(journal: Journal) {
    if let Err(error) = journal.remove() {
        tracing::warn!(%error, "Could not remove a file of the journal: {error}");
    }
}

async fn prepare(start: Start) -> Result<Ready, StoreError> {
    let database = start.place.writer(start.beside).await?;
    let gate = Arc::default();
    let mut checkpoints = None;
    if start.beside {
        if !Migrator::get_pending_migrations(&database)
            .await?
            .is_empty()
        {
            return Err(StoreError::Database(
                "the server that is running is older than this program; restart it first"
                    .to_owned(),
            ));
        }
    } else {
        Migrator::up(&database, None).await?;
        restore(&database, &start.ids).await?;
        let rows = &start.ids.resource;
        history::prepare(&database, rows, start.partition_days).await?;
        if let Place::Sqlite { file } = &start.place {
            checkpoints = Some(Checkpointer::new(
                checkpointer(file).await?,
                file,
                start.settings.checkpoint_bytes,
                Arc::clone(&gate),
                start.metrics.clone(),
            ));
        }
    }
    let is_sqlite = matches!(start.place, Place::Sqlite { .. });
    let ids = start.ids;
    let settings = start.settings;
    let metrics = start.metrics;
    let mut tables = Tables::new(
        database.clone(),
        checkpoints,
        gate,
        Arc::clone(&ids),
        metrics.clone(),
        start.logs,
        start.beside,
    );
    let queue = Queue::new(start.queue, settings.clone(), metrics.clone());
    let outcome = Outcome::new(start.publish, metrics.clone());
    if !is_sqlite || start.beside {
        return Ok(Ready::Direct(Box::new(Writer::new(tables, queue, outcome))));
    }
    let aside = Aside::new(&start.folder, metrics.clone());
    let left = Left::find(&start.folder)?;
    let folded = journal::folded(&database).await?;
    let last = journal::replay(&mut tables, &left, folded, &aside).await?;
    if last > folded {
        restore(&database, &ids).await?;
    }
    if !settings.journal {
        left.remove()?;
        return Ok(Ready::Direct(Box::new(Writer::new(tables, queue, outcome))));
    }
    let file_bytes = (settings.journal_bytes / journal::FILES).max(1 << 20);
    let limit = usize::try_from(settings.journal_bytes).unwrap_or(usize::MAX);
    let pending = Arc::new(Pending::new(
        last,
        limit.max(1),
        metrics.journal_bytes.clone(),
    ));
    let front = Front::new(
        queue,
        left.go_on(file_bytes, last)?,
        Arc::clone(&pending),
        outcome,
        ids,
    );
    let age = Duration::from_millis(settings.fold_after_ms);
    let folder = Folder::new(tables, Arc::clone(&pending), metrics, age, aside);
    Ok(Ready::Journal(Box::new(WithJournal {
        front,
        folder,
        pending,
    })))
}

/// Lets every counter go on behind what the database holds.
async fn restore(database: &DatabaseConnection, ids: &Ids) -> Result<(), StoreError> {
    use sea_orm::ColumnTrait as _;
    let marks: HashMap<String, i64> = server_state::Entity::find()
        .filter(server_state::Column::Key.starts_with(MARK_PREFIX))
        .all(database)
        .await?
        .into_iter()
        .map(|row| (row.key, row.value))
        .collect();
    for counter in ids.counters() {
        let sql = format!("SELECT MAX(id) FROM \"{}\"", counter.table);
        let largest: Option<i64> = match database
            .query_one_raw(statement(database, &sql, []))
            .await?
        {
            Some(row) => row.try_get_by_index(0)?,
            None => None,
        };
        let mark = marks
            .get(&format!("{MARK_PREFIX}{}", counter.table))
            .copied();
        counter.restore(mark.unwrap_or(0), largest.unwrap_or(0));
    }
    Ok(())
}

type Slot<T> = Arc<Mutex<Option<T>>>;
type Done = oneshot::Receiver<Result<(), StoreError>>;

/// A call whose result is kept back until its transaction is on disk.
fn call<T, F>(work: F) -> (Call, Slot<T>, Done)
where
    T: Send + 'static,
    F: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, StoreError>>
        + Send
        + 'static,
{
    let (done, is_done) = oneshot::channel();
    let result = Slot::default();
    let slot = Arc::clone(&result);
    let work: Work = Box::new(move |transaction| {
        Box::pin(async move {
            let value = work(transaction).await?;
            *guard(&slot) = Some(value);
            Ok(())
        })
    });
    (Call { work, done }, result, is_done)
}

async fn finished<T>(result: Slot<T>, done: Done) -> Result<T, StoreError> {
    done.await.unwrap_or(Err(StoreError::Closed))?;
    guard(&result).take().ok_or(StoreError::Closed)
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn thread_error(error: std::io::Error) -> StoreError {
    StoreError::Database(format!("a thread could not be started: {error}"))
}
