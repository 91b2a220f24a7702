//! `models`: object models, beside a running server or without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{SettingsArgs, print, with_store};
use crate::config::Settings;
use crate::domain::{Doer, Timestamp};
use crate::lwm2m::ddf;
use crate::store::{ModelEntry, ModelStore, Store};
use crate::web::models::{Catalogue, limits, to_store};

/// Arguments of `models`.
#[derive(Args, Debug)]
pub(super) struct ModelsArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// Store the object models of definition files (DDF); a running server notices within
    /// `models.reload_s`
    Import {
        /// A file, or a folder with *.xml files at any depth
        path: PathBuf,
        /// Put them in the place of uploaded ones of the same object and version that say
        /// something else
        #[arg(long)]
        replace: bool,
    },
    /// List the object models: object, version, source, resources, name
    List {
        /// Print them as one JSON array
        #[arg(long)]
        json: bool,
        /// Only those that were uploaded or imported
        #[arg(long)]
        uploaded: bool,
    },
}

pub(super) fn run(args: ModelsArgs) -> anyhow::Result<()> {
    let settings = args.settings.load()?;
    match args.command {
        ModelsCommand::Import { path, replace } => {
            let files = definition_files(&path)?;
            with_store(&args.settings, async move |store| {
                import(&store, &settings, &files, replace).await
            })
        }
        ModelsCommand::List { json, uploaded } => with_store(&args.settings, async move |store| {
            list(store, json, uploaded).await
        }),
    }
}

/// What happened to the objects of the files.
#[derive(Debug, Default)]
struct Tally {
    added: usize,
    replaced: usize,
    unchanged: usize,
    failed: usize,
}

async fn import(
    store: &Store,
    settings: &Settings,
    files: &[PathBuf],
    replace: bool,
) -> anyhow::Result<()> {
    let mut tally = Tally::default();
    for file in files {
        if let Err(error) = import_file(store, settings, file, replace, &mut tally).await {
            tally.failed += 1;
            eprintln!("{}: {error:#}", file.display());
        }
    }
    let Tally {
        added,
        replaced,
        unchanged,
        failed,
    } = tally;
    println!(
        "{} files: {added} objects added, {replaced} replaced, {unchanged} unchanged; {failed} \
         files failed",
        files.len()
    );
    if failed > 0 {
        bail!("{failed} of {} files could not be imported", files.len());
    }
    Ok(())
}

/// Stores the objects of one file, all or none.
async fn import_file(
    store: &Store,
    settings: &Settings,
    file: &Path,
    replace: bool,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let limits = limits(&settings.models);
    let size = fs::metadata(file)?.len();
    if size > u64::try_from(limits.max_bytes).unwrap_or(u64::MAX) {
        bail!(
            "the file has more than {} bytes (models.max_ddf_bytes)",
            limits.max_bytes
        );
    }
    let (mut models, mut unchanged) = (Vec::new(), 0);
    for definition in ddf::parse(&fs::read(file)?, &limits)? {
        let stored = store
            .find(definition.model.id, &definition.model.version)
            .await?;
        let same = stored.is_some_and(|stored| {
            stored.source == definition.source
                || (!replace && says_the_same(&stored.source, &definition))
        });
        if same {
            unchanged += 1;
        } else {
            models.push(to_store(
                definition,
                Doer::COMMAND_LINE,
                Timestamp::system(),
            ));
        }
    }
    let added = store
        .add(
            models,
            replace,
            settings.models.max_uploaded,
            Doer::command_line(),
        )
        .await
        .map_err(|error| match error {
            crate::store::StoreError::Exists(what) => {
                anyhow!("{what} exists already and says something else; see --replace")
            }
            other => other.into(),
        })?;
    let replaced = added.iter().filter(|model| model.replaced).count();
    tally.added += added.len() - replaced;
    tally.replaced += replaced;
    tally.unchanged += unchanged;
    Ok(())
}

/// True when a stored definition differs in nothing that counts.
fn says_the_same(stored: &str, definition: &ddf::Definition) -> bool {
    ddf::parse(stored.as_bytes(), &ddf::Limits::ACCEPTED)
        .is_ok_and(|stored| stored.iter().any(|stored| stored.model == definition.model))
}

async fn list(store: Store, as_json: bool, only_uploaded: bool) -> anyhow::Result<()> {
    let uploads: BTreeMap<(u16, String), ModelEntry> = ModelStore::list(&store)
        .await?
        .into_iter()
        .map(|entry| ((entry.object_id, entry.version.clone()), entry))
        .collect();
    let catalogue = Catalogue::new(Arc::new(store));
    catalogue.refresh().await?;
    let models = catalogue.library().current();
    let shown = models
        .objects()
        .filter(|object| !only_uploaded || models.is_uploaded(object));
    if as_json {
        let items: Vec<_> = shown
            .map(|object| {
                let entry = uploads.get(&(object.id, object.version.clone()));
                json!({
                    "object_id": object.id,
                    "version": object.version,
                    "name": object.name,
                    "source": source(models.is_uploaded(object)),
                    "resource_count": object.resources.len(),
                    "uploaded_at": entry.map(|entry| entry.created_at.to_string()),
                    "uploaded_by": entry.map(|entry| entry.created_by.as_str()),
                })
            })
            .collect();
        return print(&(serde_json::to_string_pretty(&items)? + "\n"));
    }
    let mut table = String::new();
    for object in shown {
        table.push_str(&format!(
            "{:>5}  {:<5}  {:<8}  {:>4}  {}\n",
            object.id,
            object.version,
            source(models.is_uploaded(object)),
            object.resources.len(),
            object.name
        ));
    }
    print(&table)
}

fn source(uploaded: bool) -> &'static str {
    if uploaded { "uploaded" } else { "builtin" }
}

/// The file, or the `*.xml` files of the folder and those below it, by name.
fn definition_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let about = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(about)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let about = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(about)? {
            let entry = entry.with_context(about)?;
            let (path, kind) = (entry.path(), entry.file_type().with_context(about)?);
            // A link to a folder is not followed: it may lead back up.
            if kind.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("xml"))
            {
                files.push(path);
            }
        }
    }
    if files.is_empty() {
        bail!("{} holds no *.xml file", path.display());
    }
    files.sort();
    Ok(files)
}
