//! Tests of the whole program, one folder for each part and one file for each behaviour.

mod attacks;
mod browser;
mod certificates;
mod conformance;
mod credentials;
mod devices;
mod downloads;
mod durability;
mod firmware;
mod gateway;
mod lens;
mod oma;
mod pages;
mod rollouts;
mod start;
mod store;
mod support;
mod web;
