//! A PostgreSQL cluster for the tests of one process: found, started and stopped without help.
//!
//! It lives in a folder below the system's temporary folder and listens on a Unix socket there, so
//! that it takes no port. A watchdog holds its life: a shell that waits for the end of its standard
//! input, which this process holds. However this process ends, kill -9 included, the watchdog then
//! stops the cluster and removes the folder.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DbErr};
use tokio::runtime::Runtime;

/// Names what must not be skipped, separated by commas: `postgres`.
const REQUIRE: &str = "FLOWNEXUS_TEST_REQUIRE";

/// How long the cluster may take to start.
const START: Duration = Duration::from_secs(60);

/// The URL of a new, empty database; nothing where PostgreSQL is not installed, which is said on
/// standard error.
///
/// # Panics
/// When PostgreSQL is missing but required by `FLOWNEXUS_TEST_REQUIRE`, or does not start.
pub(crate) fn new_database() -> Option<String> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let Some(cluster) = CLUSTER.get_or_init(Cluster::start) else {
        let required = std::env::var(REQUIRE)
            .is_ok_and(|all| all.split(',').any(|one| one.trim() == "postgres"));
        assert!(
            !required,
            "{REQUIRE} asks for PostgreSQL, but it is not installed"
        );
        eprintln!(
            "SKIPPED: PostgreSQL is not installed (no `initdb` on the PATH or below /usr/lib/postgresql)"
        );
        return None;
    };
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    cluster
        .sql(&format!("CREATE DATABASE {name}"))
        .expect("a new database");
    Some(cluster.url(&name))
}

struct Cluster {
    folder: PathBuf,
    /// Its standard input is what keeps the cluster alive.
    _watchdog: Child,
}

impl Cluster {
    fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = std::env::temp_dir().join(format!("flownexus-pg-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let data = folder.join("data");
        let unprivileged = unprivileged(&folder);
        // The order of ICU is not that of bytes: a list that leans on the order of the cluster
        // fails here. Not every build has ICU.
        let initialised = initialise(
            &unprivileged,
            &programs,
            &data,
            &["--locale-provider=icu", "--icu-locale=en"],
        ) || initialise(&unprivileged, &programs, &data, &[]);
        assert!(initialised, "initdb failed in {}", folder.display());

        let mut watchdog = Command::new("sh");
        watchdog
            .arg("-c")
            .arg(
                "log=$1; folder=$2; shift 2; \"$@\" >\"$log\" 2>&1 </dev/null & server=$!; \
                 cat >/dev/null; kill -QUIT $server; wait $server; rm -rf \"$folder\"",
            )
            .arg("watchdog")
            .arg(folder.join("log"))
            .arg(&folder)
            .args(&unprivileged)
            .arg(programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&folder);
        // A crash of the machine may lose this data; a crash of a process may not.
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "max_connections=300",
            "shared_buffers=32MB",
        ] {
            watchdog.args(["-c", setting]);
        }
        let watchdog = watchdog
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C reaches this process alone, and its end reaches the watchdog.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let cluster = Self {
            folder,
            _watchdog: watchdog,
        };
        cluster.wait_until_ready();
        Some(cluster)
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + START;
        while let Err(error) = self.sql("SELECT 1") {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "PostgreSQL did not start: {error}\n{}",
                log()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The URL of a database of this cluster.
    fn url(&self, database: &str) -> String {
        let folder = self.folder.display();
        format!("postgres://postgres@localhost/{database}?host={folder}")
    }

    /// Runs a statement. On a thread with a runtime of its own: the caller may be in one.
    fn sql(&self, statement: &str) -> Result<(), DbErr> {
        let mut options = ConnectOptions::new(self.url("postgres"));
        options
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .sqlx_logging(false);
        let work = async move {
            let database = Database::connect(options).await?;
            database.execute_unprepared(statement).await?;
            database.close().await
        };
        thread::scope(|scope| {
            let worker = scope.spawn(|| Runtime::new().expect("a runtime").block_on(work));
            worker.join().expect("no panic")
        })
    }
}

fn initialise(unprivileged: &[String], programs: &Path, data: &Path, locale: &[&str]) -> bool {
    let mut words = unprivileged
        .iter()
        .map(PathBuf::from)
        .chain([programs.join("initdb")]);
    let status = Command::new(words.next().expect("a program"))
        .args(words)
        .args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--no-sync",
            "--no-instructions",
        ])
        .args(locale)
        .arg("-D")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// PostgreSQL does not run as root: then the words in front of its programs that make them run as
/// `postgres` or `nobody`, and the folder is given to that user.
fn unprivileged(folder: &Path) -> Vec<String> {
    // Who owns a new folder is who this process is.
    if fs::metadata(folder).expect("the folder").uid() != 0 {
        return Vec::new();
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    for name in ["postgres", "nobody"] {
        let Some(user) = users
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))
        else {
            continue;
        };
        let ids: Vec<u32> = user
            .split(':')
            .skip(2)
            .take(2)
            .filter_map(|id| id.parse().ok())
            .collect();
        let [user, group] = ids[..] else { continue };
        chown(folder, Some(user), Some(group)).expect("root may give folders away");
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("root may do this");
        return [
            "setpriv",
            &format!("--reuid={user}"),
            &format!("--regid={group}"),
            "--clear-groups",
            "--",
        ]
        .map(str::to_owned)
        .to_vec();
    }
    panic!("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`");
}

/// Where the programs are: on the PATH, or where Debian puts them, the newest first.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
        .collect();
    packaged.sort_by_key(|folder| {
        let version = folder
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str()?.parse::<u32>().ok());
        std::cmp::Reverse(version)
    });
    std::env::split_paths(&path).chain(packaged).find(|folder| {
        ["initdb", "postgres"]
            .iter()
            .all(|program| folder.join(program).is_file())
    })
}
