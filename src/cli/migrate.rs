//! `migrate`: brings the database to this version.

use std::sync::Arc;

use super::{SettingsArgs, logging};
use crate::store::Store;

pub(super) fn run(args: &SettingsArgs) -> anyhow::Result<()> {
    logging::start_quiet()?;
    let settings = args.load()?;
    actix_rt::System::new().block_on(async {
        // Opening is what migrates; no server may run meanwhile.
        let store = Store::open(&settings, Arc::new(|_| {})).await?;
        store.close().await;
        println!("the database is up to date");
        Ok(())
    })
}
