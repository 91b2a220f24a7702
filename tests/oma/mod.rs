//! The server's side of the OMA interoperability tests (OMA-ETS-LightweightM2M), against simulated
//! clients over UDP and through the REST API: the ids in the names are those of the specification.
//! docs/src/reference/conformance.md lists them.

mod attributes;
mod blockwise;
mod composites;
mod formats;
mod harness;
mod misbehaviour;
mod portfolio;
mod reads;
mod registration;
mod reporting;
mod sends;
mod separate_responses;
mod the_table_is_true;
mod writes;
