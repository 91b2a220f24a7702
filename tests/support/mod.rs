//! What the tests of the whole program share.

pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod cid;
pub(crate) mod database;
pub(crate) mod device;
pub(crate) mod fake_credentials;
pub(crate) mod fake_firmware;
pub(crate) mod fake_fleet;
pub(crate) mod fake_logs;
pub(crate) mod fake_models;
pub(crate) mod fake_rollouts;
pub(crate) mod fake_rules;
pub(crate) mod fake_store;
pub(crate) mod fake_updates;
pub(crate) mod netem;
pub(crate) mod odd_certificates;
pub(crate) mod postgres;
pub(crate) mod programs;
pub(crate) mod secure;
pub(crate) mod server;
pub(crate) mod shared;
pub(crate) mod site;
pub(crate) mod wire;
