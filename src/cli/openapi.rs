//! `openapi`: prints the document of the REST API.

use crate::web::openapi;

pub(super) fn run() -> anyhow::Result<()> {
    println!("{}", openapi::document().to_pretty_json()?);
    Ok(())
}
