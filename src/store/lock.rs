//! One process at a time: the lock on the data folder.

use std::fs::{File, OpenOptions, TryLockError, create_dir_all};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::StoreError;

/// The data folder belongs to this process as long as this lives; the operating system lets go of
/// it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Makes the folder where it is missing, and takes it.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let unusable = |error: std::io::Error| StoreError::DataDir {
            folder: folder.to_owned(),
            why: error.to_string(),
        };
        create_dir_all(folder).map_err(unusable)?;
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(folder.join("lock"))
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // The number is a help for people; without it the sentence is still true.
                let process = match file.read_to_string(&mut owner) {
                    Ok(_) if !owner.trim().is_empty() => format!(" (process {})", owner.trim()),
                    _ => String::new(),
                };
                return Err(StoreError::InUse {
                    what: format!("{}{process}", folder.display()),
                });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        file.set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = DataDirLock::take(folder.path()).expect("free");
        let error = DataDirLock::take(folder.path()).expect_err("taken");
        let text = error.to_string();
        assert!(
            text.contains(&folder.path().display().to_string()),
            "{text}"
        );
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        drop(first);
        DataDirLock::take(folder.path()).expect("free again");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("a file");
        let error = DataDirLock::take(&file.join("data")).expect_err("below a file");
        let text = error.to_string();
        assert!(
            text.starts_with("cannot write to the data folder"),
            "{text}"
        );
        assert!(text.contains("file/data"), "{text}");
    }
}
