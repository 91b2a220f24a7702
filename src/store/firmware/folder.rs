//! The folder with the files of the images: `KEY.part` while one arrives, `KEY.bin` for good. The key is random, so
//! that no name is used twice and nothing is named after what somebody says.
//!
//! Several processes write here, as `flownexus firmware add` works beside a running server. Whoever writes a file
//! has it locked until it is an image; the operating system lets go of the lock when the process ends, however it
//! ends. So a file without a row that can be locked is nobody's.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _, fchown,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::config::Settings;
use crate::domain::{FirmwareImage, ImageBytes};

/// Where the files of the images are.
#[derive(Clone, Debug)]
pub struct FirmwareFolder(Arc<Path>);

/// Why a file cannot become an image.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It cannot be written.
    #[error("cannot write to {}: {source}", folder.display())]
    Io {
        /// Where.
        folder: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The disk is full.
    #[error("there is no space left for the file")]
    NoSpace,
    /// It has more bytes than an image may have.
    #[error("the file has more than {limit} bytes (firmware.max_image_bytes)")]
    TooLarge {
        /// `firmware.max_image_bytes`
        limit: u64,
    },
}

/// A file that is arriving. Dropped before its end, it is removed.
#[derive(Debug)]
pub struct IncomingFile {
    part: Part,
    hash: Sha256,
    size: u64,
    limit: u64,
}

/// A file that was received wholly, is on disk and counted, and is no image yet. Dropped before it becomes one, it is
/// removed.
#[derive(Debug)]
pub struct ReceivedFile {
    part: Part,
    size: u64,
    sha256: String,
}

/// A file that is in the place of an image and has no row yet, locked.
#[derive(Debug)]
pub(super) struct KeptFile {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) sha256: String,
    path: PathBuf,
    _lock: Arc<File>,
}

/// A file of ours that is locked. What is under its name when this is dropped goes.
#[derive(Debug)]
struct Part {
    key: String,
    path: PathBuf,
    file: Arc<File>,
}

impl FirmwareFolder {
    /// That of these settings; it is made when the first file comes.
    pub fn of(settings: &Settings) -> Self {
        Self(settings.data_dir.join(FOLDER).into())
    }

    /// Begins a file of at most `limit` bytes. It blocks, and so do the other steps until it is received.
    ///
    /// # Errors
    /// [`ReceiveError::Io`], [`ReceiveError::NoSpace`].
    pub fn begin(&self, limit: u64) -> Result<IncomingFile, ReceiveError> {
        Ok(IncomingFile {
            part: self.make().map_err(|error| self.failed(error))?,
            hash: Sha256::new(),
            size: 0,
            limit,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn make(&self) -> io::Result<Part> {
        self.make_folder()?;
        loop {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let key = hex::encode(random);
            let path = self.0.join(format!("{key}.{PART}"));
            let file = create_new(&path)?;
            let part = Part {
                key,
                path,
                file: Arc::new(file),
            };
            // Between these two somebody who clears away may have found it without a lock.
            if part.lock()? {
                return Ok(part);
            }
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        if self.0.is_dir() {
            return Ok(());
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        if let Some(above) = self.0.parent() {
            give_to_owner_of(above, &File::open(&self.0)?);
            sync(above)?;
        }
        Ok(())
    }

    /// Puts a file in its place for good; it is on disk under that name when this returns.
    pub(super) fn keep(&self, received: ReceivedFile) -> Result<KeptFile, ReceiveError> {
        let part = &received.part;
        let path = self.0.join(format!("{}.{IMAGE}", part.key));
        // Renaming would take the place of another file: this one is ours, or it fails.
        let moved = create_new(&path).and_then(|_| {
            fs::rename(&part.path, &path)
                .and_then(|()| sync(&self.0))
                .inspect_err(|_| _ = fs::remove_file(&path))
        });
        moved.map_err(|error| self.failed(error))?;
        Ok(KeptFile {
            key: part.key.clone(),
            size: received.size,
            sha256: received.sha256,
            path,
            _lock: Arc::clone(&part.file),
        })
    }

    /// Removes the file of an image that has no row any more.
    pub(super) fn remove(&self, key: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(format!("{key}.{IMAGE}")))?;
        sync(&self.0)
    }

    /// Opens the file of an image.
    pub(super) fn open(&self, image: &FirmwareImage) -> Result<FileBytes, String> {
        let path = self.0.join(format!("{}.{IMAGE}", image.key));
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = opened.map_err(|error| format!("{}: {error}", path.display()))?;
        if size != image.size {
            return Err(format!(
                "{} has {size} bytes, not {}",
                path.display(),
                image.size
            ));
        }
        let mut tag = [0; 8];
        hex::decode_to_slice(image.sha256.get(..16).unwrap_or_default(), &mut tag)
            .map_err(|error| format!("the SHA-256 of {} is none: {error}", image.version))?;
        Ok(FileBytes { file, size, tag })
    }

    /// Removes the files that were arriving when their process ended, and returns how many.
    pub(super) fn clear_parts(&self) -> io::Result<usize> {
        let mut removed = 0;
        for (_, path) in self.files(PART)? {
            if let Some(_lock) = locked(&path) {
                fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The keys of the files in the place of images that have been there for a while.
    pub(super) fn old_images(&self) -> io::Result<Vec<String>> {
        let now = SystemTime::now();
        let is_old = |path: &Path| {
            let written = fs::metadata(path).and_then(|file| file.modified());
            written.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > ORPHAN_AGE))
        };
        let files = self.files(IMAGE)?.into_iter();
        Ok(files
            .filter(|(_, path)| is_old(path))
            .map(|(key, _)| key)
            .collect())
    }

    /// The file of this key, when nobody is about to make an image of it.
    pub(super) fn lock(&self, key: &str) -> Option<File> {
        locked(&self.0.join(format!("{key}.{IMAGE}")))
    }

    /// The files with this ending whose names are keys.
    fn files(&self, ending: &str) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let key = path.file_stem().and_then(|stem| stem.to_str());
            let is_key =
                |key: &str| key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
            if path.extension().is_some_and(|is| is == ending)
                && let Some(key) = key.filter(|key| is_key(key))
            {
                files.push((key.to_owned(), path));
            }
        }
        Ok(files)
    }

    fn failed(&self, source: io::Error) -> ReceiveError {
        failed(&self.0, source)
    }
}

impl IncomingFile {
    /// Adds these bytes.
    ///
    /// # Errors
    /// [`ReceiveError::TooLarge`], [`ReceiveError::Io`], [`ReceiveError::NoSpace`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        let size = self.size.saturating_add(bytes.len() as u64);
        if size > self.limit {
            return Err(ReceiveError::TooLarge { limit: self.limit });
        }
        let written = (&*self.part.file).write_all(bytes);
        written.map_err(|error| failed(&self.part.path, error))?;
        self.hash.update(bytes);
        self.size = size;
        Ok(())
    }

    /// There is no more; it is on disk when this returns.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Io`], [`ReceiveError::NoSpace`].
    pub fn finish(self) -> Result<ReceivedFile, ReceiveError> {
        if self.size == 0 {
            return Err(ReceiveError::Empty);
        }
        let on_disk = self.part.file.sync_all();
        on_disk.map_err(|error| failed(&self.part.path, error))?;
        Ok(ReceivedFile {
            part: self.part,
            size: self.size,
            sha256: hex::encode(self.hash.finalize()),
        })
    }
}

impl ReceivedFile {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Of its bytes, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl KeptFile {
    /// It has become no image, which is certain.
    pub(super) fn discard(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "Could not remove {}: {error}", self.path.display());
        }
    }
}

impl Part {
    /// False when the file was removed before it was locked.
    fn lock(&self) -> io::Result<bool> {
        self.file.lock()?;
        let ours = self.file.metadata()?;
        Ok(fs::metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // One that stays is removed by a later start.
        _ = fs::remove_file(&self.path);
    }
}

/// The bytes of an image in a file, which is open as long as somebody has this.
#[derive(Debug)]
pub(super) struct FileBytes {
    file: File,
    size: u64,
    tag: [u8; 8],
}

impl ImageBytes for FileBytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn tag(&self) -> [u8; 8] {
        self.tag
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        // Fails where the file has become shorter than it was.
        self.file.read_exact_at(&mut buffer[..count], offset)?;
        Ok(count)
    }
}

fn failed(place: &Path, source: io::Error) -> ReceiveError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ReceiveError::NoSpace,
        _ => ReceiveError::Io {
            folder: place.to_owned(),
            source,
        },
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    if let Some(folder) = path.parent() {
        give_to_owner_of(folder, &file);
    }
    Ok(file)
}

/// Who runs a command as root leaves what the server, which is somebody else, can read.
fn give_to_owner_of(folder: &Path, file: &File) {
    let (Ok(folder), Ok(ours)) = (fs::metadata(folder), file.metadata()) else {
        return;
    };
    if folder.uid() != ours.uid() {
        // Nobody but root may, and nobody else needs it.
        _ = fchown(file, Some(folder.uid()), Some(folder.gid()));
    }
}

/// The file, locked; nothing when somebody has it or it is gone.
fn locked(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "Could not lock {}: {error}", path.display());
            None
        }
    }
}

/// The names in a folder are on disk when this returns.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// In the data folder.
const FOLDER: &str = "firmware";
/// The ending of a file that is arriving.
const PART: &str = "part";
/// The ending of the file of an image.
const IMAGE: &str = "bin";
/// A file without a row is cleared away after this time: far longer than it takes from the file to the row.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);
