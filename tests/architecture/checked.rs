//! The checker is checked: small sources that it must accept or refuse.

use super::rules::{MAX_LINES, Source, crates, faces, io, rooms, too_long, undocumented};
use super::rust::metrics;
use super::tree::{keys, links, metric_base, metric_names};

fn found(path: &str, text: &str) -> Vec<String> {
    let registry = "mod actor; pub use actor::Registry; pub use handle::{Devices, Handle};";
    let endpoint = "mod actor; pub mod session; pub use self::actor::{EndpointActor, Links};";
    let faces = faces(&[
        Source::new("registry/mod.rs", registry.to_owned()),
        Source::new("endpoint/mod.rs", endpoint.to_owned()),
    ]);
    let source = Source::new(path, text.to_owned());
    [rooms(&source, &faces), crates(&source), io(&source)].concat()
}

#[track_caller]
fn refuses(path: &str, text: &str, word: &str) {
    let found = found(path, text);
    assert!(
        found.iter().any(|line| line.contains(word)),
        "{text}: {found:?}"
    );
}

#[track_caller]
fn accepts(path: &str, text: &str) {
    assert_eq!(found(path, text), Vec::<String>::new(), "{text}");
}

#[test]
fn an_edge_outside_the_table_is_found_in_every_way_of_writing_it() {
    for text in [
        "use crate::web::router;",
        "use crate::{domain::Path, web::{self, ws}};",
        "fn f() { let x = crate::web::start(); }",
        "pub(crate) type T = Vec<crate::web::State>;",
        "use super::web::router;",
        "mod inner { use super::super::web; }",
        "macro_rules! m { () => { $crate::web::f() } }",
        "use ::flownexus_entity as _; use crate::web as w;",
    ] {
        refuses("coap/mod.rs", text, "`coap` may not know `web`");
    }
    refuses(
        "coap/block.rs",
        "use super::super::net::udp;",
        "`coap` may not know `net`",
    );
    refuses(
        "config.rs",
        "use crate::domain::Path;",
        "may not know `domain`",
    );
    refuses("surprise/mod.rs", "", "not in the table");
}

#[test]
fn comments_strings_and_own_paths_do_not_count() {
    accepts(
        "coap/mod.rs",
        r##"//! See [`crate::web`].
            /* use crate::web; /* nested */ use crate::net; */
            use crate::coap::block; use crate::domain::{Peer, Token}; use super::config::Coap;
            const A: &str = "crate::web::x"; const B: &str = r#"use crate::"web"::x"#;
            fn f<'a>(c: char) -> bool { c == '"' || c == '\'' || Self::g::<'a>() }
            mod inner { use super::block::Num; }"##,
    );
    accepts(
        "app.rs",
        "use crate::{web, net, store::Store}; use flownexus_migration::Migrator;",
    );
}

#[test]
fn other_rooms_are_reached_by_their_faces_alone() {
    accepts(
        "web/api.rs",
        "use crate::registry::{Handle, Devices}; use crate::registry::handle::X;",
    );
    for text in [
        "use crate::registry::actor::Registry;",
        "use crate::registry::Registry;",
        "use crate::registry;",
        "use crate::registry::*;",
        "fn f() { crate::registry::State::new(); }",
    ] {
        refuses("web/api.rs", text, "the handle of `registry` only");
    }
    refuses(
        "web/api.rs",
        "use crate::coap::Message;",
        "`web` may not know `coap`",
    );
    refuses(
        "endpoint/actor.rs",
        "use crate::net::udp::Socket;",
        "may not know `net`",
    );
}

#[test]
fn the_concrete_store_stays_at_the_root_and_in_tests() {
    refuses(
        "web/api.rs",
        "use crate::store::{EndpointReader, Store};",
        "one of its traits",
    );
    accepts(
        "web/api.rs",
        "#[cfg(test)] mod tests { use crate::store::Store; }",
    );
    refuses(
        "web/api.rs",
        "#[cfg(test)] mod tests { fn f() {} } fn g(s: crate::store::Store) {}",
        "one of its traits",
    );
}

#[test]
fn crates_are_found_outside_their_homes() {
    refuses(
        "web/api.rs",
        "use sea_orm::EntityTrait;",
        "`sea_orm` belongs to store",
    );
    refuses(
        "app.rs",
        "fn f() { flownexus_entity::user::f() }",
        "belongs to store",
    );
    refuses("web/api.rs", "use actix_web_actors::ws;", "web/ws.rs");
    refuses("net/udp.rs", "use openssl;", "net/dtls");
    refuses("net/udp.rs", "extern crate openssl;", "net/dtls");
    refuses(
        "store/writer.rs",
        "use actix::prelude::*;",
        "no actor framework",
    );
    refuses(
        "lwm2m/mod.rs",
        "fn f() -> ::actix_web::Result<()> {}",
        "no actor framework",
    );
    accepts(
        "store/writer.rs",
        "use {sea_orm::EntityTrait, flownexus_entity::user};",
    );
    accepts("web/ws.rs", "use actix_web_actors::ws;");
    accepts("net/dtls/handshake.rs", "use openssl::ssl::Ssl;");
    accepts("net/dtls.rs", "use openssl::ssl::Ssl;");
    accepts("web/tls.rs", "use openssl::ssl::Ssl;");
}

#[test]
fn clocks_and_sockets_are_found_in_protocol_rooms() {
    refuses(
        "coap/endpoint.rs",
        "fn f() { let now = std::time::Instant::now(); }",
        "as arguments",
    );
    refuses(
        "coap/endpoint.rs",
        "fn f() { let now = Instant::now(); }",
        "as arguments",
    );
    refuses("lwm2m/mod.rs", "use std::{fs, fmt};", "as arguments");
    refuses("lwm2m/mod.rs", "use tokio::sync::mpsc;", "as arguments");
    accepts(
        "coap/endpoint.rs",
        "use std::time::Instant; use std::net::SocketAddr;",
    );
    accepts(
        "coap/endpoint.rs",
        "#[cfg(test)] mod tests { fn f() { Instant::now(); } }",
    );
    accepts("coap/tests.rs", "fn f() { Instant::now(); }");
    accepts("net/udp.rs", "use std::net::UdpSocket;");
}

#[test]
fn files_without_a_purpose_and_long_files_are_found() {
    let file = |text: &str| Source::new("coap/mod.rs", text.to_owned());
    assert!(undocumented(&file("use a::b;\n//! late")).is_some());
    assert!(undocumented(&file("/// of an item\nfn f() {}")).is_some());
    assert!(undocumented(&file("//! What it owns.\n")).is_none());
    assert!(
        undocumented(&file(
            "#![cfg_attr(\n    not(test),\n    deny(x)\n)]\n\n//! It."
        ))
        .is_none()
    );
    assert!(too_long(&file(&"//\n".repeat(MAX_LINES))).is_none());
    assert!(too_long(&file(&"//\n".repeat(MAX_LINES + 1))).is_some());
}

#[test]
fn links_keys_and_metrics_are_read() {
    let links = links("[a](b.md#c) [d](https://e) [f](#g) ![h](i.png)");
    assert_eq!(links.into_iter().collect::<Vec<_>>(), ["b.md", "i.png"]);
    let keys = keys("a = 1\n# c = 2\n[d]\ne = \"x=y\"\n");
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["a", "d.e"]);
    let names = metric_names("rate(flownexus_a_total{b=\"c\"}[5m]) / flownexus_d_seconds_bucket");
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["flownexus_a_total", "flownexus_d_seconds_bucket"]
    );
    assert_eq!(metric_base("flownexus_d_seconds_bucket"), "flownexus_d");
    let source =
        "fn r() { let r = r.sub_registry_with_prefix(\"flownexus_a\"); r.register(\"b\", 1); }";
    assert_eq!(
        metrics(&Source::new("a.rs", source.to_owned())),
        ["flownexus_a_b"]
    );
}

#[test]
fn the_registry_knows_the_actors_that_it_supervises_but_not_their_inside() {
    accepts(
        "registry/actor.rs",
        "use crate::endpoint::{EndpointActor, Links};",
    );
    refuses(
        "registry/actor.rs",
        "use crate::endpoint::session::Session;",
        "mod.rs` exports only",
    );
    refuses(
        "registry/actor.rs",
        "use crate::endpoint::actor::EndpointActor;",
        "exports only",
    );
}
