//! `firmware`: images that devices can be given, beside a running server or without one.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{SettingsArgs, print, with_store};
use crate::config::Settings;
use crate::domain::{Doer, FirmwareImage, Selection, Timestamp};
use crate::store::{
    FirmwareFolder, FirmwareStore, FirmwareUpdateReader as _, NewImage, ReceivedFile, Store,
    check_new_image,
};

/// Arguments of `firmware`.
#[derive(Args, Debug)]
pub(super) struct FirmwareArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: FirmwareCommand,
}

#[derive(Debug, Subcommand)]
enum FirmwareCommand {
    /// Store an image; a running server notices within `firmware.reload_s`
    Add(AddArgs),
    /// List the images, newest first: number, version, name, bytes, SHA-256, devices
    List {
        /// Print them as one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Remove an image
    Remove {
        /// Its version, or its number
        #[arg(value_name = "ID_OR_VERSION")]
        image: String,
    },
}

#[derive(Args, Debug)]
struct AddArgs {
    /// The image
    file: PathBuf,
    /// What a device that runs it says of itself (3/0/3)
    #[arg(long)]
    version: String,
    /// The name of the file for devices; its own name when it is missing
    #[arg(long)]
    name: Option<String>,
    /// What people should know of it
    #[arg(long, default_value = "")]
    notes: String,
    /// A pattern of names of devices that it is made for, such as `urn:imei:35*`; may be repeated
    #[arg(long, value_name = "PATTERN")]
    device: Vec<String>,
    /// A tag that devices must have that it is made for; may be repeated
    #[arg(long)]
    tag: Vec<String>,
}

pub(super) fn run(args: FirmwareArgs) -> anyhow::Result<()> {
    let settings = args.settings.load()?;
    with_store(&args.settings, async move |store| match args.command {
        FirmwareCommand::Add(args) => add(&store, &settings, args).await,
        FirmwareCommand::List { json } => list(&store, json).await,
        FirmwareCommand::Remove { image } => remove(&store, &image).await,
    })
}

async fn add(store: &Store, settings: &Settings, args: AddArgs) -> anyhow::Result<()> {
    let AddArgs { file, version, .. } = args;
    let called = file.file_name().and_then(|name| name.to_str());
    let name = args
        .name
        .unwrap_or_else(|| NewImage::name_of(called.unwrap_or_default(), &version));
    let new = NewImage {
        version,
        name,
        notes: args.notes,
        selection: Selection {
            names: args.device,
            tags: args.tag,
        },
        at: Timestamp::system(),
    };
    new.check()
        .map_err(|(field, why)| anyhow::anyhow!("{field}: {why}"))?;
    let images = FirmwareStore::list(store).await?;
    let limit = settings.firmware.max_images;
    check_new_image(&images, Some(&new.version), Some(&new.name), limit)?;
    let received = copy(settings, &file)?;
    let image = FirmwareStore::add(store, new, received, Doer::command_line(), limit).await?;
    print(&format!(
        "added firmware image {}: version {}, {}, {} bytes, SHA-256 {}\n",
        image.id, image.version, image.name, image.size, image.sha256
    ))
}

/// Brings a file into the data folder.
fn copy(settings: &Settings, file: &Path) -> anyhow::Result<ReceivedFile> {
    let about = || format!("cannot read {}", file.display());
    let mut source = File::open(file).with_context(about)?;
    let metadata = source.metadata().with_context(about)?;
    if metadata.is_dir() {
        bail!("{} is a folder", file.display());
    }
    let of_file = || file.display().to_string();
    let folder = FirmwareFolder::of(settings);
    let mut copy = folder.begin(settings.firmware.max_image_bytes)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = source.read(&mut buffer).with_context(about)?;
        if count == 0 {
            return copy.finish().with_context(of_file);
        }
        copy.write(&buffer[..count]).with_context(of_file)?;
    }
}

async fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let images = FirmwareStore::list(store).await?;
    if as_json {
        let items: Vec<_> = images.iter().map(as_item).collect();
        return print(&(serde_json::to_string_pretty(&items)? + "\n"));
    }
    let mut table = String::new();
    for image in images {
        writeln!(
            table,
            "{:>5}  {:<16}  {:<24}  {:>9}  {}  {}",
            image.id, image.version, image.name, image.size, image.sha256, image.selection
        )?;
    }
    print(&table)
}

fn as_item(image: &FirmwareImage) -> serde_json::Value {
    json!({
        "id": image.id,
        "version": image.version,
        "name": image.name,
        "size": image.size,
        "sha256": image.sha256,
        "notes": image.notes,
        "selection": {"names": image.selection.names, "tags": image.selection.tags},
        "created_at": image.created_at.to_string(),
        "created_by": image.created_by,
    })
}

async fn remove(store: &Store, wanted: &str) -> anyhow::Result<()> {
    let images = FirmwareStore::list(store).await?;
    let by_version = images.iter().find(|image| image.version == wanted);
    let by_id = images.iter().find(|image| image.id.to_string() == wanted);
    let image = match (by_version, by_id) {
        (None, None) => bail!("there is no firmware image {wanted}"),
        (Some(one), Some(other)) if one.id != other.id => bail!(
            "{wanted} is the version of image {} and the number of another one: say {} for the \
             one and {} for the other",
            one.id,
            one.id,
            other.version
        ),
        (Some(image), _) | (None, Some(image)) => image,
    };
    let active = store.count_active(image.id).await?;
    if active > 0 {
        bail!(
            "devices are being updated to {} ({active} under way): cancel that or wait for its end",
            image.version
        );
    }
    if !FirmwareStore::remove(store, image.id, Doer::command_line()).await? {
        bail!("there is no firmware image {wanted}");
    }
    print(&format!(
        "removed firmware image {}: version {}, {}\n",
        image.id, image.version, image.name
    ))
}

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
