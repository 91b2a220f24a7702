//! `flownexus cert`: what it makes, what it refuses, and that others agree.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

mod files_are_never_lost_by_mistake;
mod names_stand_where_they_can;
mod openssl_agrees;
mod renewal_keeps_the_key;
mod requests_are_signed;

/// A folder for certificates, and the command that makes them.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// With a CA in `ca/`.
    fn with_ca() -> Self {
        let bench = Self::new();
        bench.makes(&["ca", "--out", "ca", "--name", "Test CA"]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn mode(&self, name: &str) -> u32 {
        let found = fs::metadata(self.path(name)).expect("a file");
        found.permissions().mode() & 0o777
    }

    /// `flownexus cert …` in the folder.
    fn cert(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_flownexus"))
            .arg("cert")
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("the binary runs")
    }

    /// A command that must succeed: the files that it names, and what it says to people.
    #[track_caller]
    fn makes(&self, arguments: &[&str]) -> (Vec<String>, String) {
        let output = self.cert(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        let files = String::from_utf8(output.stdout).expect("text");
        (files.lines().map(str::to_owned).collect(), said)
    }

    /// A command that must be refused in one line with these words.
    #[track_caller]
    fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let output = self.cert(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }

    /// One line of `cert show`.
    #[track_caller]
    fn shows(&self, file: &str, label: &str) -> String {
        let (lines, _) = self.makes(&["show", file]);
        let found = lines.iter().find_map(|line| line.strip_prefix(label));
        found
            .unwrap_or_else(|| panic!("no `{label}` in {lines:?}"))
            .trim()
            .to_owned()
    }
}

/// What the `openssl` program prints, in a folder; nothing where it is not installed, which is said
/// on standard error unless `FLOWNEXUS_TEST_REQUIRE` names `openssl`.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<Output> {
    match Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
    {
        Ok(output) => Some(output),
        Err(error) => {
            let required = std::env::var("FLOWNEXUS_TEST_REQUIRE")
                .is_ok_and(|all| all.split(',').any(|one| one.trim() == "openssl"));
            assert!(!required, "openssl is required, but: {error}");
            eprintln!("SKIPPED: the program `openssl` is not installed ({error})");
            None
        }
    }
}

/// The same for one that must succeed.
#[track_caller]
fn openssl_says(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = openssl(folder, arguments)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {said}{failed}"
    );
    Some(said)
}
