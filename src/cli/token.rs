//! `token`: tokens for programs.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{RoleArg, SettingsArgs, with_store};
use crate::domain::Doer;
use crate::store::TokenStore;
use crate::web::auth::tokens::{self, TokenWish};

/// Arguments of `token`.
#[derive(Args, Debug)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it, alone, this once
    Create {
        /// What it is for; unique
        #[arg(long)]
        name: String,
        /// What it may do
        #[arg(long)]
        role: RoleArg,
        /// After how many days it ends; never when absent
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires: Option<u32>,
    },
    /// List the tokens: id, name, role, owner, end, last use
    List,
    /// Remove a token
    Remove {
        /// Its id, as `list` shows it
        id: i64,
    },
}

pub(super) fn run(args: TokenArgs) -> anyhow::Result<()> {
    with_store(&args.settings, async |store| {
        match args.command {
            TokenCommand::Create {
                name,
                role,
                expires,
            } => {
                let expires = expires.map(|days| Duration::from_secs(u64::from(days) * 86_400));
                let wish = TokenWish {
                    name: &name,
                    role: role.into(),
                    owner: None,
                    expires_in: expires,
                };
                let (_, token) = tokens::create(&store, wish, Doer::command_line()).await?;
                println!("{token}");
            }
            TokenCommand::List => {
                for token in TokenStore::list(&store).await? {
                    let end = token
                        .expires_at
                        .map_or_else(|| "never".to_owned(), |at| at.to_string());
                    let used = token
                        .last_used_at
                        .map_or_else(|| "never".to_owned(), |at| at.to_string());
                    let of = token.owner.as_deref().unwrap_or("the server");
                    println!(
                        "{}\t{}\t{:?}\tof {of}\tends {end}\tused {used}",
                        token.id, token.name, token.role
                    );
                }
            }
            TokenCommand::Remove { id } => {
                if !TokenStore::remove(&store, id, None, Doer::command_line()).await? {
                    bail!("there is no token {id}");
                }
            }
        }
        Ok(())
    })
}
