//! `user`: people.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::{RoleArg, SettingsArgs, with_store};
use crate::domain::Timestamp;
use crate::store::{User, UserStore};
use crate::web::auth::password;

/// Arguments of `user`.
#[derive(Args, Debug)]
pub(super) struct UserArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account
    Add {
        /// The login name
        name: String,
        /// What the person may do
        #[arg(long)]
        role: RoleArg,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// List the accounts
    List,
    /// Set a new password; all sessions of the person end
    Password {
        /// The login name
        name: String,
        /// Read the password from standard input
        #[arg(long, required = true)]
        password_stdin: bool,
    },
    /// Remove an account and its sessions
    Remove {
        /// The login name
        name: String,
    },
}

pub(super) fn run(args: UserArgs) -> anyhow::Result<()> {
    with_store(&args.settings, async |store| {
        match args.command {
            UserCommand::Add {
                name,
                role,
                password_stdin: _,
            } => {
                let name = name.trim().to_owned();
                if name.is_empty() || name.chars().any(char::is_control) {
                    bail!("`{}` is no login name", name.escape_debug());
                }
                let user = User {
                    id: 0,
                    name,
                    role: role.into(),
                    password_hash: password_from_stdin()?,
                    must_change_password: false,
                    created_at: Timestamp::system(),
                };
                UserStore::add(&store, user).await?;
            }
            UserCommand::List => {
                for user in UserStore::list(&store).await? {
                    println!("{}\t{:?}\tsince {}", user.name, user.role, user.created_at);
                }
            }
            UserCommand::Password {
                name,
                password_stdin: _,
            } => {
                if !store.set_password(&name, &password_from_stdin()?).await? {
                    bail!("there is nobody named `{name}`");
                }
            }
            UserCommand::Remove { name } => {
                if !UserStore::remove(&store, &name).await? {
                    bail!("there is nobody named `{name}`");
                }
            }
        }
        Ok(())
    })
}

/// One line, so that `echo` and a here-string work.
fn password_from_stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .context("cannot read the password from standard input")?;
    let password = text.lines().next().unwrap_or_default();
    password::check_new(password).map_err(anyhow::Error::msg)?;
    Ok(password::hash(password)?)
}

const MAX_PASSWORD_BYTES: u64 = 4096;
