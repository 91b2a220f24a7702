//! Whom a client believes, against a server of HTTPS by hand.

use std::net::TcpListener;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use openssl::ssl::{SslAcceptor, SslFiletype};
use tempfile::TempDir;
use tokio::task::{LocalSet, spawn_local};

use super::*;
use crate::domain::Timestamp;
use crate::security::certificates::{
    AltName, Authority, CA_CERTIFICATE, Folder, Lifetime, SERVER_CERTIFICATE, SERVER_KEY,
};

#[test]
fn ranges_are_read() {
    assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
    for text in ["bytes */10", "5-9/10", "bytes 5/10", "bytes x-9/10", ""] {
        assert_eq!(content_range(text), None, "{text}");
    }
}

#[test]
fn what_is_no_certificate_is_nobody_to_believe() {
    let broken = b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    for pem in [&b""[..], b"who?", broken] {
        assert!(Trust::authorities(pem).is_err());
    }
}

/// A CA, and a server with a certificate of it.
struct Site {
    folder: TempDir,
    port: u16,
    server: ServerHandle,
}

impl Site {
    /// For these hosts, on the loopback address of one of the families.
    fn start(hosts: &[&str], listen: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Folder::new(folder.path(), false);
        let (now, lifetime) = (Timestamp::system(), Lifetime::days(30));
        Authority::create(&files, None, lifetime, now).expect("a CA");
        let authority = Authority::load(folder.path()).expect("a CA");
        let hosts: Vec<AltName> = hosts
            .iter()
            .map(|host| AltName::host(host).expect("a host"))
            .collect();
        let issued = authority.server(&files, &hosts, lifetime, now);
        issued.expect("a certificate");
        let mut acceptor =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("OpenSSL");
        let path = |name| folder.path().join(name);
        acceptor
            .set_certificate_chain_file(path(SERVER_CERTIFICATE))
            .expect("a certificate");
        acceptor
            .set_private_key_file(path(SERVER_KEY), SslFiletype::PEM)
            .expect("a key");
        let listener = TcpListener::bind(listen).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = HttpServer::new(|| {
            App::new().route(
                "/file",
                web::get().to(async || HttpResponse::Ok().body("bytes")),
            )
        })
        .workers(1)
        .disable_signals()
        .listen_openssl(listener, acceptor)
        .expect("a server")
        .run();
        let handle = server.handle();
        spawn_local(server);
        Self {
            folder,
            port,
            server: handle,
        }
    }

    fn trust(&self) -> Trust {
        let pem = std::fs::read(self.folder.path().join(CA_CERTIFICATE)).expect("a certificate");
        Trust::authorities(&pem).expect("a CA")
    }

    async fn file(&self, trust: &Trust, host: &str) -> Result<Bytes, HttpError> {
        let url = format!("https://{host}:{}/file", self.port);
        let mut download = Download::begin(trust, &url, 0, None).await?;
        assert_eq!((download.offset, download.total), (0, Some(5)));
        Ok(download.next().await?.expect("bytes"))
    }
}

#[tokio::test]
async fn a_server_is_believed_for_its_name_and_its_addresses_alone() {
    LocalSet::new()
        .run_until(async {
            let site = Site::start(&["localhost", "127.0.0.1"], "127.0.0.1:0");
            let (trust, anybody) = (site.trust(), Trust::anybody().expect("OpenSSL"));
            for host in ["127.0.0.1", "localhost"] {
                let file = site.file(&trust, host).await;
                assert_eq!(file.expect(host), "bytes");
            }
            // The loopback address goes by other names, which the certificate does not have.
            let other = site.file(&trust, "127.0.0.2").await;
            assert!(
                matches!(other, Err(HttpError::Untrusted(_) | HttpError::Broken(_))),
                "{other:?}"
            );
            let stranger = Site::start(&["localhost", "127.0.0.1"], "127.0.0.1:0");
            for host in ["127.0.0.1", "localhost"] {
                let file = stranger.file(&trust, host).await;
                assert!(matches!(file, Err(HttpError::Untrusted(_))), "{file:?}");
                let file = stranger.file(&anybody, host).await;
                assert_eq!(file.expect("whoever it is"), "bytes");
            }
            site.server.stop(false).await;
            stranger.server.stop(false).await;
        })
        .await;
}

#[tokio::test]
async fn an_address_of_ipv6_is_held_to_the_certificate_too() {
    LocalSet::new()
        .run_until(async {
            let site = Site::start(&["::1"], "[::1]:0");
            assert_eq!(
                site.file(&site.trust(), "[::1]").await.expect("a file"),
                "bytes"
            );
            let other = Site::start(&["::2", "localhost"], "[::1]:0");
            let file = other.file(&other.trust(), "[::1]").await;
            assert!(matches!(file, Err(HttpError::Untrusted(_))), "{file:?}");
            let stranger = site.file(&other.trust(), "[::1]").await;
            assert!(
                matches!(stranger, Err(HttpError::Untrusted(_))),
                "{stranger:?}"
            );
            site.server.stop(false).await;
            other.server.stop(false).await;
        })
        .await;
}

#[tokio::test]
async fn what_cannot_be_had_says_why() {
    LocalSet::new()
        .run_until(async {
            let site = Site::start(&["127.0.0.1"], "127.0.0.1:0");
            let trust = site.trust();
            let base = format!("https://127.0.0.1:{}", site.port);
            let missing = Download::begin(&trust, &format!("{base}/none"), 0, None).await;
            let status = missing.map(drop).expect_err("there is none");
            assert_eq!(status, HttpError::Status(StatusCode::NOT_FOUND));
            for url in ["", "/file", "https://", "ftp://127.0.0.1/file", "a b"] {
                let error = Download::begin(&trust, url, 0, None).await;
                let error = error.map(drop).expect_err(url);
                assert!(matches!(error, HttpError::InvalidUrl(_)), "{url}: {error}");
            }
            site.server.stop(false).await;
            let nobody = Download::begin(&trust, &format!("{base}/file"), 0, None).await;
            let nobody = nobody.map(drop).expect_err("nobody is there");
            assert!(matches!(nobody, HttpError::Broken(_)), "{nobody}");
        })
        .await;
}
