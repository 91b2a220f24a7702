//! `credential`: what devices prove themselves with, beside a running server or without one.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::{SettingsArgs, print, with_store};
use crate::domain::{CredentialId, Doer, EndpointName, Timestamp};
use crate::security::certificates::DeviceEnds;
use crate::security::{CheckedCredential, Keyring, Vault, credential_input};
use crate::store::{CredentialFilter, StoredCredential, StoredProof};
use crate::web::credentials::{AfterRemoval, CredentialError, Credentials, NewCredential};

/// Arguments of `credential`.
#[derive(Args, Debug)]
pub(super) struct CredentialArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: CredentialCommand,
}

#[derive(Debug, Subcommand)]
enum CredentialCommand {
    /// Let a device prove itself with a key or certificate, and print the id of this credential; a
    /// running server notices within `credentials.reload_s`
    Add {
        /// The endpoint name; the device need not have been seen yet
        endpoint: String,
        #[command(flatten)]
        proof: ProofArgs,
        /// What to remember about it
        #[arg(long, default_value = "", value_name = "TEXT")]
        note: String,
    },
    /// List credentials: id, endpoint, kind, identity or fingerprint or serial number, end, last use,
    /// note; never a key
    List {
        /// Only those of this endpoint
        endpoint: Option<String>,
        /// Print them as one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Remove a credential; sessions that it opened end. The serial number of a certificate of our CA is
    /// revoked with it
    Remove {
        /// Its id, as `list` shows it
        id: i64,
        /// Do not revoke the serial number of a certificate
        #[arg(long)]
        keep_serial: bool,
    },
    /// Trust no certificate with this serial number any more
    Revoke {
        /// In hex, with or without colons
        serial: String,
        /// Why
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// List the revoked serial numbers: serial number, since when, by whom, endpoint, reason
    Revoked {
        /// Print them as one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Trust certificates with this serial number again
    Restore {
        /// In hex, with or without colons
        serial: String,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct ProofArgs {
    /// A pre-shared key; `-` reads this from standard input, where no shell history sees it
    #[arg(long, value_name = "IDENTITY:HEXKEY")]
    psk: Option<String>,
    /// The same from a file
    #[arg(long, value_name = "FILE")]
    psk_file: Option<PathBuf>,
    /// The certificate of the device, PEM or DER; `-` reads standard input
    #[arg(long, value_name = "PEM")]
    x509: Option<PathBuf>,
    /// The public key of the device (P-256), PEM or DER; `-` reads standard input
    #[arg(long, value_name = "PEM")]
    rpk: Option<PathBuf>,
}

pub(super) fn run(args: CredentialArgs) -> anyhow::Result<()> {
    let settings = args.settings.load()?;
    // What is wrong with the input is said before the database is touched.
    let work = match args.command {
        CredentialCommand::Add {
            endpoint,
            proof,
            note,
        } => {
            let endpoint = EndpointName::new(&endpoint)?;
            let checked = proof.read(&endpoint, settings.certificates.warn_ahead())?;
            Work::Add {
                endpoint,
                checked,
                note,
            }
        }
        CredentialCommand::List { endpoint, json } => Work::List {
            endpoint: endpoint.as_deref().map(EndpointName::new).transpose()?,
            json,
        },
        CredentialCommand::Remove { id, keep_serial } => Work::Remove {
            id: CredentialId(id),
            then: if keep_serial {
                AfterRemoval::Keep
            } else {
                AfterRemoval::RevokeOurs
            },
        },
        CredentialCommand::Revoke { serial, reason } => Work::Revoke {
            serial: credential_input::serial(&serial)?,
            reason,
        },
        CredentialCommand::Revoked { json } => Work::Revoked { json },
        CredentialCommand::Restore { serial } => Work::Restore {
            serial: credential_input::serial(&serial)?,
        },
    };
    with_store(&args.settings, async move |store| {
        let credentials = Credentials::new(
            Arc::new(store.clone()),
            Vault::open(&settings.data_dir)?,
            Keyring::default(),
            DeviceEnds::default(),
            &settings.data_dir,
        )
        .at_most(settings.credentials.max);
        work.run(&credentials).await
    })
}

/// A command with its arguments checked.
enum Work {
    Add {
        endpoint: EndpointName,
        checked: CheckedCredential,
        note: String,
    },
    List {
        endpoint: Option<EndpointName>,
        json: bool,
    },
    Remove {
        id: CredentialId,
        then: AfterRemoval,
    },
    Restore {
        serial: String,
    },
    Revoke {
        serial: String,
        reason: String,
    },
    Revoked {
        json: bool,
    },
}

impl Work {
    async fn run(self, credentials: &Credentials) -> anyhow::Result<()> {
        match self {
            Self::Add {
                endpoint,
                checked,
                note,
            } => {
                let new = NewCredential {
                    endpoint,
                    proof: checked.proof,
                    note,
                    by: Doer::command_line(),
                };
                let added = credentials.add(new).await.map_err(for_admins)?;
                for warning in checked.warnings {
                    eprintln!("warning: {warning}");
                }
                println!("{}", added.id);
                Ok(())
            }
            Self::List { endpoint, json } => list(credentials, endpoint, json).await,
            Self::Remove { id, then } => {
                let Some(removed) = credentials.remove(id, then, Doer::command_line()).await?
                else {
                    bail!("there is no credential {id}");
                };
                if let Some(serial) = removed.revoked {
                    println!("the serial number {serial} is revoked");
                }
                Ok(())
            }
            Self::Revoke { serial, reason } => {
                if credentials
                    .revoke(&serial, &reason, None, Doer::command_line())
                    .await?
                    .is_none()
                {
                    bail!("the serial number {serial} is revoked already");
                }
                Ok(())
            }
            Self::Revoked { json } => revoked(credentials, json).await,
            Self::Restore { serial } => {
                if !credentials.restore(&serial, Doer::command_line()).await? {
                    bail!("the serial number {serial} is not revoked");
                }
                Ok(())
            }
        }
    }
}

impl ProofArgs {
    /// A certificate that ends within `warn_ahead` is warned of.
    fn read(
        &self,
        endpoint: &EndpointName,
        warn_ahead: Duration,
    ) -> anyhow::Result<CheckedCredential> {
        let checked = if let Some(pair) = &self.psk {
            let read;
            let pair = if pair == "-" {
                read = first_line(Path::new("-"))?;
                read.as_str()
            } else {
                pair
            };
            credential_input::psk_pair(pair)?
        } else if let Some(file) = &self.psk_file {
            credential_input::psk_pair(&first_line(file)?)?
        } else if let Some(file) = &self.x509 {
            credential_input::x509(&bytes(file)?, endpoint, Timestamp::system(), warn_ahead)?
        } else if let Some(file) = &self.rpk {
            credential_input::rpk(&bytes(file)?)?
        } else {
            bail!("give one of --psk, --psk-file, --x509 and --rpk");
        };
        Ok(checked)
    }
}

/// All of a file, or of standard input for `-`; wiped after use, as it may be a key.
fn bytes(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)
    };
    input
        .take(MAX_INPUT_BYTES)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", file.display()))?;
    Ok(bytes)
}

/// The first line, so that `echo` and a here-string work.
fn first_line(file: &Path) -> anyhow::Result<Zeroizing<String>> {
    let bytes = bytes(file)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| anyhow!("a pre-shared key is given as text, IDENTITY:HEXKEY"))?;
    Ok(Zeroizing::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

async fn list(
    credentials: &Credentials,
    endpoint: Option<EndpointName>,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut filter = CredentialFilter {
        endpoint,
        limit: ROWS_AT_ONCE,
        ..CredentialFilter::default()
    };
    let (mut items, mut table) = (Vec::new(), String::new());
    loop {
        let rows = credentials.list(&filter).await?;
        let Some(last) = rows.last() else {
            break;
        };
        filter.after = Some((last.endpoint.clone(), last.id));
        for row in &rows {
            if as_json {
                items.push(as_item(row));
            } else {
                write_line(&mut table, row)?;
            }
        }
    }
    if as_json {
        table = serde_json::to_string_pretty(&items)? + "\n";
    }
    print(&table)
}

fn as_item(row: &StoredCredential) -> serde_json::Value {
    let certificate = match &row.proof {
        StoredProof::X509(certificate) => Some(certificate),
        StoredProof::Psk { .. } | StoredProof::Rpk { .. } => None,
    };
    json!({
        "id": row.id,
        "endpoint": row.endpoint,
        "kind": row.proof.kind(),
        "label": row.proof.label(),
        "subject": certificate.map(|certificate| certificate.subject.as_str()),
        "not_before": certificate.map(|certificate| certificate.not_before),
        "not_after": certificate.map(|certificate| certificate.not_after),
        "note": row.note,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "last_used_at": row.last_used_at,
    })
}

fn write_line(table: &mut String, row: &StoredCredential) -> anyhow::Result<()> {
    let end = match &row.proof {
        StoredProof::X509(certificate) => format!("ends {}", certificate.not_after),
        StoredProof::Psk { .. } | StoredProof::Rpk { .. } => "ends never".to_owned(),
    };
    let used = row
        .last_used_at
        .map_or_else(|| "never".to_owned(), |at| at.to_string());
    writeln!(
        table,
        "{}\t{}\t{}\t{}\t{end}\tused {used}\t{}",
        row.id,
        row.endpoint,
        row.proof.kind(),
        row.proof.label(),
        row.note.escape_debug()
    )?;
    Ok(())
}

async fn revoked(credentials: &Credentials, as_json: bool) -> anyhow::Result<()> {
    let revoked = credentials.revoked().await?;
    if as_json {
        let items: Vec<_> = revoked
            .iter()
            .map(|certificate| {
                json!({
                    "serial": certificate.serial,
                    "reason": certificate.reason,
                    "endpoint": certificate.endpoint,
                    "revoked_at": certificate.revoked_at,
                    "revoked_by": certificate.revoked_by,
                })
            })
            .collect();
        return print(&(serde_json::to_string_pretty(&items)? + "\n"));
    }
    let mut table = String::new();
    for certificate in revoked {
        let endpoint = certificate.endpoint.as_ref();
        writeln!(
            table,
            "{}\t{}\t{}\t{}\t{}",
            certificate.serial,
            certificate.revoked_at,
            certificate.revoked_by,
            endpoint.map_or("", EndpointName::as_str),
            certificate.reason.escape_debug()
        )?;
    }
    print(&table)
}

fn for_admins(error: CredentialError) -> anyhow::Error {
    anyhow!(error.for_admins())
}

const ROWS_AT_ONCE: u64 = 1_000;
/// More than any key or certificate has.
const MAX_INPUT_BYTES: u64 = 131_072;
