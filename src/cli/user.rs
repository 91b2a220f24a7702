//! `user`: people.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::{RoleArg, SettingsArgs, with_store};
use crate::domain::Doer;
use crate::store::{TotpStore as _, User, UserChange, UserSource, UserStore};
use crate::web::auth::names::check_login_name;
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
        /// The person has to choose another password at the first login
        #[arg(long)]
        must_change: bool,
    },
    /// Let nobody log in with an account; its sessions end
    Disable {
        /// The login name
        name: String,
    },
    /// Let somebody log in again
    Enable {
        /// The login name
        name: String,
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
        /// The person has to choose another password at the next login
        #[arg(long)]
        must_change: bool,
    },
    /// Remove an account with its sessions and tokens
    Remove {
        /// The login name
        name: String,
    },
    /// Remove somebody's one-time codes, who has lost them
    ResetTotp {
        /// The login name
        name: String,
    },
    /// Change what somebody may do
    Role {
        /// The login name
        name: String,
        /// What the person may do from now on
        role: RoleArg,
    },
}

pub(super) fn run(args: UserArgs) -> anyhow::Result<()> {
    with_store(&args.settings, async |store| {
        let by = Doer::command_line();
        match args.command {
            UserCommand::Add {
                name,
                role,
                password_stdin: _,
                must_change,
            } => {
                let name = name.trim();
                check_login_name(name)?;
                let user = User {
                    must_change_password: must_change,
                    ..User::new(name, role.into(), password_from_stdin()?)
                };
                UserStore::add(&store, user, by).await?;
            }
            UserCommand::Disable { name } => {
                let change = UserChange {
                    disabled: Some(true),
                    ..UserChange::default()
                };
                there(&name, store.change(&name, change, by).await?.is_some())?;
            }
            UserCommand::Enable { name } => {
                let change = UserChange {
                    disabled: Some(false),
                    ..UserChange::default()
                };
                there(&name, store.change(&name, change, by).await?.is_some())?;
            }
            UserCommand::List => {
                for user in UserStore::list(&store).await? {
                    let mut line =
                        format!("{}\t{:?}\tsince {}", user.name, user.role, user.created_at);
                    if user.source == UserSource::Oidc {
                        line.push_str("\tby OpenID Connect");
                    }
                    if user.has_totp {
                        line.push_str("\twith one-time codes");
                    }
                    if user.disabled {
                        line.push_str("\tdisabled");
                    }
                    println!("{line}");
                }
            }
            UserCommand::Password {
                name,
                password_stdin: _,
                must_change,
            } => {
                let hash = password_from_stdin()?;
                there(
                    &name,
                    store.set_password(&name, &hash, must_change, by).await?,
                )?;
            }
            UserCommand::Remove { name } => {
                there(&name, UserStore::remove(&store, &name, by).await?)?;
            }
            UserCommand::ResetTotp { name } => {
                if !store.remove_totp(&name, by).await? {
                    bail!("there is nobody named `{name}` with one-time codes");
                }
            }
            UserCommand::Role { name, role } => {
                let change = UserChange {
                    role: Some(role.into()),
                    ..UserChange::default()
                };
                there(&name, store.change(&name, change, by).await?.is_some())?;
            }
        }
        Ok(())
    })
}

fn there(name: &str, is_there: bool) -> anyhow::Result<()> {
    if !is_there {
        bail!("there is nobody named `{name}`");
    }
    Ok(())
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
