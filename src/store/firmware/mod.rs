//! Firmware: images with their files, and the updates of devices.
//!
//! An image is a row and a file, and the file is there as long as the row is: it comes before the row and goes
//! behind it. What a crash leaves of a file that has no row is cleared away by a later start.

mod folder;
mod images;
mod shelf;

use std::sync::Arc;

use async_trait::async_trait;

pub use folder::{FirmwareFolder, IncomingFile, ReceiveError, ReceivedFile};
pub use shelf::Shelf;

use super::StoreError;
use crate::domain::{
    Doer, EndpointId, FirmwareId, FirmwareImage, FirmwareUpdate, FirmwareUpdateId, ImageBytes,
    RolloutId, Selection, Timestamp, UpdateResult, UpdateStep,
};

/// What is said of a file that is to become an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage {
    /// See [`FirmwareImage::version`].
    pub version: String,
    /// See [`FirmwareImage::name`].
    pub name: String,
    /// See [`FirmwareImage::notes`].
    pub notes: String,
    /// See [`FirmwareImage::selection`].
    pub selection: Selection,
    /// When it was uploaded.
    pub at: Timestamp,
}

impl NewImage {
    /// The name of a file that somebody calls so: that, where it is one that devices can ask for, or else one made of
    /// the version.
    pub fn name_of(file: &str, version: &str) -> String {
        match FirmwareImage::check_name(file) {
            Ok(()) => file.to_owned(),
            Err(_) => format!("{version}.bin"),
        }
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// Names the field that cannot be used, and says why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let of = |field: &'static str| move |why: String| (field, why);
        FirmwareImage::check_version(&self.version).map_err(of("version"))?;
        FirmwareImage::check_name(&self.name).map_err(of("name"))?;
        Self::check_description(&self.notes, &self.selection)
    }

    /// Checks what can be changed later.
    ///
    /// # Errors
    /// As [`NewImage::check`].
    pub fn check_description(
        notes: &str,
        selection: &Selection,
    ) -> Result<(), (&'static str, String)> {
        let (longest, bytes) = (FirmwareImage::MAX_NOTES_BYTES, notes.len());
        if bytes > longest {
            let why = format!("notes have at most {longest} bytes, these have {bytes}");
            return Err(("notes", why));
        }
        selection.check().map_err(|why| ("selection", why))
    }
}

/// Whether there may be one more image of this version and name, as far as they are known already, beside these.
///
/// # Errors
/// [`StoreError::Exists`], [`StoreError::Full`].
pub fn check_new_image(
    images: &[FirmwareImage],
    version: Option<&str>,
    name: Option<&str>,
    limit: u64,
) -> Result<(), StoreError> {
    for image in images {
        let FirmwareImage {
            version: is,
            name: called,
            ..
        } = image;
        if version == Some(is) {
            let what = format!("a firmware image of version {is} ({called})");
            return Err(StoreError::Exists(what));
        }
        if name == Some(called) {
            let what = format!("a firmware image of the name {called} (version {is})");
            return Err(StoreError::Exists(what));
        }
    }
    if images.len() as u64 >= limit {
        let what = "firmware images";
        return Err(StoreError::Full { what, limit });
    }
    Ok(())
}

/// Keeps images. What changes them writes a line of the audit log, in the same transaction.
#[async_trait]
pub trait FirmwareStore: Send + Sync {
    /// All of them, newest first.
    async fn list(&self) -> Result<Vec<FirmwareImage>, StoreError>;

    /// One of them.
    async fn find(&self, id: FirmwareId) -> Result<Option<FirmwareImage>, StoreError>;

    /// Makes an image of a file: gives it its row, puts the file in its place for good, and both are on disk when
    /// this returns.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when version or name are taken, [`StoreError::Full`] when there are `limit` already.
    async fn add(
        &self,
        image: NewImage,
        file: ReceivedFile,
        by: Doer,
        limit: u64,
    ) -> Result<FirmwareImage, StoreError>;

    /// Changes what people say of one; nothing when there is none of this id.
    async fn describe(
        &self,
        id: FirmwareId,
        notes: String,
        selection: Selection,
        by: Doer,
    ) -> Result<Option<FirmwareImage>, StoreError>;

    /// Removes one and its file; false when there is none of this id. Whoever reads the file goes on reading it.
    async fn remove(&self, id: FirmwareId, by: Doer) -> Result<bool, StoreError>;

    /// Changes with each of these changes, whichever process made it; cheap.
    async fn revision(&self) -> Result<i64, StoreError>;
}

/// An image with what it is made of.
#[derive(Clone, Debug)]
pub struct Shelved {
    /// What is known of it.
    pub image: Arc<FirmwareImage>,
    /// Its bytes.
    pub bytes: Arc<dyn ImageBytes>,
}

/// Images that can be read at once, in memory, for whoever serves them.
pub trait FirmwareShelf: Send + Sync {
    /// The image of this id.
    fn image(&self, id: FirmwareId) -> Option<Shelved>;

    /// What devices find under `/binaries/`: `NAME`, or `KEY/NAME` when names cannot be guessed.
    fn named(&self, path: &str) -> Option<Shelved>;
}

/// Which updates to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateFilter {
    /// Only those of this device.
    pub endpoint: Option<EndpointId>,
    /// Only those of this image.
    pub firmware: Option<FirmwareId>,
    /// Only those of this rollout.
    pub rollout: Option<RolloutId>,
    /// Only those with this result; DEFAULT: those that are not over.
    pub result: Option<UpdateResult>,
    /// Only those before this one (the last of the page before).
    pub before: Option<FirmwareUpdateId>,
}

/// Reads updates. They are changed by the endpoint's actor alone, through [`FleetWriter`](super::FleetWriter).
#[async_trait]
pub trait FirmwareUpdateReader: Send + Sync {
    /// Updates, newest first, at most `limit`.
    async fn list(
        &self,
        filter: &UpdateFilter,
        limit: u64,
    ) -> Result<Vec<FirmwareUpdate>, StoreError>;

    /// One update with its timeline, oldest first.
    async fn find(
        &self,
        id: FirmwareUpdateId,
    ) -> Result<Option<(FirmwareUpdate, Vec<UpdateStep>)>, StoreError>;

    /// The updates of a rollout on these devices, in both directions, oldest first.
    async fn of_rollout(
        &self,
        rollout: RolloutId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<FirmwareUpdate>, StoreError>;

    /// How many updates with this image are not over.
    async fn count_active(&self, firmware: FirmwareId) -> Result<u64, StoreError>;
}
