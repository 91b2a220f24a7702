//! `token`: tokens for programs.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::{RoleArg, SettingsArgs, with_store};
use crate::store::TokenStore;
use crate::web::auth::tokens;

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
    /// List the tokens: id, name, role, end, last use
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
                let (_, token) = tokens::create(&store, &name, role.into(), expires).await?;
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
                    println!(
                        "{}\t{}\t{:?}\tends {end}\tused {used}",
                        token.id, token.name, token.role
                    );
                }
            }
            TokenCommand::Remove { id } => {
                if !TokenStore::remove(&store, id).await? {
                    bail!("there is no token {id}");
                }
            }
        }
        Ok(())
    })
}
