//! The images in memory: what is known of each, and its file, which is open while somebody reads it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::ArcSwap;

use super::folder::{FileBytes, FirmwareFolder};
use super::{FirmwareShelf, FirmwareStore, Shelved};
use crate::config::{FirmwareNames, Settings};
use crate::domain::{FirmwareId, FirmwareImage};
use crate::store::StoreError;

/// The images that are stored, for those who serve them, and where they are kept.
#[expect(missing_debug_implementations, reason = "it holds a trait object")]
pub struct Shelf {
    store: Arc<dyn FirmwareStore>,
    folder: FirmwareFolder,
    names: FirmwareNames,
    images: ArcSwap<Images>,
    /// Held while the store is read and the images are replaced, so that an older look never follows a newer one.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Images {
    by_id: HashMap<FirmwareId, Arc<Slot>>,
    by_name: HashMap<String, Arc<Slot>>,
}

#[derive(Default)]
struct Known {
    /// What the store said when it was last read.
    revision: Option<i64>,
    /// Those whose files cannot be used, which has been said.
    missing: HashSet<FirmwareId>,
}

struct Slot {
    image: Arc<FirmwareImage>,
    /// The same one as long as the image is there, also when its description changes.
    file: Arc<OpenFile>,
}

/// The file of an image, open while somebody has its bytes: a thousand images need no thousand open files.
#[derive(Default)]
struct OpenFile {
    bytes: Mutex<Weak<FileBytes>>,
    has_complained: AtomicBool,
}

impl Shelf {
    /// An empty one; what is stored comes with the first [`Shelf::reload`].
    pub fn new(store: Arc<dyn FirmwareStore>, settings: &Settings) -> Self {
        Self {
            store,
            folder: FirmwareFolder::of(settings),
            names: settings.firmware.names,
            images: ArcSwap::default(),
            known: tokio::sync::Mutex::default(),
        }
    }

    /// Where images are kept: for those who may change them. They call [`Shelf::reload`] after each change.
    pub fn store(&self) -> &dyn FirmwareStore {
        &*self.store
    }

    /// Where the files are, for those who bring some.
    pub fn folder(&self) -> &FirmwareFolder {
        &self.folder
    }

    /// Where devices find an image: `/binaries/…`.
    pub fn path(&self, image: &FirmwareImage) -> String {
        match self.names {
            FirmwareNames::Plain => format!("/binaries/{}", image.name),
            FirmwareNames::Unguessable => format!("/binaries/{}/{}", image.key, image.name),
        }
    }

    /// Takes over what is stored; true when that has changed. An image whose file is missing or has another size is
    /// logged and left out.
    ///
    /// # Errors
    /// When the store fails; then everything stays as it was.
    pub async fn reload(&self) -> Result<bool, StoreError> {
        let mut known = self.known.lock().await;
        let revision = self.store.revision().await?;
        if known.revision == Some(revision) && known.missing.is_empty() {
            return Ok(false);
        }
        let stored = self.store.list().await?;
        let last = self.images.load_full();
        let folder = self.folder.clone();
        let missing = std::mem::take(&mut known.missing);
        let looked = tokio::task::spawn_blocking(move || look(&last, &folder, stored, &missing));
        let (images, missing) = looked.await.map_err(|_| StoreError::Closed)?;
        let count = images.by_id.len();
        let before = self.images.swap(Arc::new(images));
        let has_changed = known.revision != Some(revision) || before.by_id.len() != count;
        *known = Known {
            revision: Some(revision),
            missing,
        };
        Ok(has_changed)
    }

    fn shelved(&self, slot: &Slot) -> Option<Shelved> {
        let mut open = slot
            .file
            .bytes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let bytes = match open.upgrade() {
            Some(bytes) => bytes,
            None => match self.folder.open(&slot.image) {
                Ok(bytes) => {
                    let bytes = Arc::new(bytes);
                    *open = Arc::downgrade(&bytes);
                    bytes
                }
                Err(why) => {
                    if !slot.file.has_complained.swap(true, Ordering::Relaxed) {
                        complain(&slot.image, &why);
                    }
                    return None;
                }
            },
        };
        Some(Shelved {
            image: Arc::clone(&slot.image),
            bytes,
        })
    }
}

impl FirmwareShelf for Shelf {
    fn image(&self, id: FirmwareId) -> Option<Shelved> {
        let images = self.images.load();
        self.shelved(images.by_id.get(&id)?)
    }

    fn named(&self, path: &str) -> Option<Shelved> {
        let images = self.images.load();
        let slot = match path.rsplit_once('/') {
            None if self.names == FirmwareNames::Unguessable => return None,
            None => images.by_name.get(path)?,
            Some((key, name)) => {
                let slot = images.by_name.get(name)?;
                if !same(key, &slot.image.key) {
                    return None;
                }
                slot
            }
        };
        self.shelved(slot)
    }
}

/// The images whose files are there, and the others.
fn look(
    before: &Images,
    folder: &FirmwareFolder,
    stored: Vec<FirmwareImage>,
    known_missing: &HashSet<FirmwareId>,
) -> (Images, HashSet<FirmwareId>) {
    let (mut images, mut missing) = (Images::default(), HashSet::new());
    for image in stored {
        let id = image.id;
        let file = match before.by_id.get(&id) {
            Some(slot) => Arc::clone(&slot.file),
            None => match folder.open(&image) {
                Ok(_) => Arc::default(),
                Err(why) => {
                    if !known_missing.contains(&id) {
                        complain(&image, &why);
                    }
                    missing.insert(id);
                    continue;
                }
            },
        };
        let name = image.name.clone();
        let slot = Arc::new(Slot {
            image: Arc::new(image),
            file,
        });
        images.by_id.insert(id, Arc::clone(&slot));
        images.by_name.insert(name, slot);
    }
    (images, missing)
}

fn complain(image: &FirmwareImage, why: &str) {
    tracing::error!(
        firmware.version = %image.version,
        error = why,
        "The firmware image {} cannot be given to devices: {why}",
        image.version
    );
}

/// True when both are the same, in a time that does not tell how much of them is.
fn same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    let differences = pairs.fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}
