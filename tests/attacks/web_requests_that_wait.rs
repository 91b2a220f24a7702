//! 35: requests that come a byte at a time, heads and bodies, and bodies that grow when they are unpacked.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Siege, resident_kb};
use crate::support::server::Server;
use crate::support::site::address_of;

/// How long the server waits for a body in these tests.
const PATIENCE: Duration = Duration::from_secs(2);

/// No connection lives longer than the head's time of the server, ten seconds, and a little.
const LIMIT: Duration = Duration::from_secs(30);

async fn connect(server: &Server) -> TcpStream {
    let address = address_of(&server.url(""));
    TcpStream::connect(address).await.expect("a connection")
}

/// Sends a beginning, and then a byte now and then until the server has had enough. Returns what it said and when.
async fn drip(server: &Server, beginning: &str) -> (String, Duration) {
    let mut stream = connect(server).await;
    let begun = Instant::now();
    stream.write_all(beginning.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while begun.elapsed() < LIMIT {
        match tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend(buffer.iter().take(read)),
            // Refused: it has closed, and the next read says so.
            Err(_) => {
                let _ = stream.write_all(b"x").await;
            }
        }
    }
    (
        String::from_utf8_lossy(&answer).into_owned(),
        begun.elapsed(),
    )
}

#[tokio::test]
async fn heads_and_bodies_that_never_end_are_given_up_and_others_are_served_meanwhile() {
    let siege = Siege::begin(|setup| setup.setting("web.body_timeout_s", PATIENCE.as_secs())).await;
    let server = &siege.server;
    let login = "POST /api/v1/session HTTP/1.1\r\nHost: nexus\r\nContent-Type: application/json\r\n\
         Content-Length: 100000\r\n\r\n{\"name\": \"";
    let form = "POST /login HTTP/1.1\r\nHost: nexus\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 60000\r\n\r\nname=";
    let head = "GET /health/live HTTP/1.1\r\nHost: nexus\r\nX-";
    let attack = join_all((0..150).map(|number| drip(server, [login, form, head][number % 3])));
    let served = async {
        for _ in 0..20 {
            let begun = Instant::now();
            // Over a connection of its own: one that was kept may have ended in the same moment.
            server.api().read("/api/v1/endpoints").await;
            assert!(begun.elapsed() < LIMIT, "somebody waits for the attackers");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (ended, ()) = tokio::join!(attack, served);
    for (number, (answer, after)) in ended.iter().enumerate() {
        assert!(*after < LIMIT, "{number}: it is still open");
        let said = answer.lines().next().unwrap_or_default();
        let wanted: &[&str] = match number % 3 {
            0 => &["HTTP/1.1 408 "],
            1 => &["HTTP/1.1 400 ", "HTTP/1.1 408 "],
            // The HTTP server answers a head that does not come by itself.
            _ => &["HTTP/1.1 408 ", ""],
        };
        assert!(
            wanted.iter().any(|it| said.starts_with(it)),
            "{number}: {answer}"
        );
    }
    siege.ends_well().await;
}

#[tokio::test]
async fn an_upload_may_take_as_long_as_its_parts_come() {
    let siege = Siege::begin(|setup| setup.setting("web.body_timeout_s", PATIENCE.as_secs())).await;
    let server = &siege.server;
    let body = "--b\r\nContent-Disposition: form-data; name=\"version\"\r\n\r\n1.0\r\n\
         --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"slow.bin\"\r\n\r\nimage\r\n--b--\r\n";
    let mut stream = connect(server).await;
    let head = format!(
        "POST /api/v1/firmware HTTP/1.1\r\nHost: nexus\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        server.token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    // Longer than the patience in all, and each part within it.
    for part in body.as_bytes().chunks(body.len() / 6 + 1) {
        stream.write_all(part).await.expect("sent");
        tokio::time::sleep(PATIENCE / 3).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    siege.ends_well().await;
}

#[tokio::test]
async fn a_body_that_grows_when_it_is_unpacked_is_cut_off() {
    let siege = Siege::begin(|setup| setup).await;
    let server = &siege.server;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..1024 {
        packed.write_all(&zeros).expect("packed");
    }
    let bomb = packed.finish().expect("packed");
    assert!(bomb.len() < 2 << 20, "{} bytes", bomb.len());
    let before = resident_kb(server);
    for (path, kind) in [
        ("/api/v1/endpoints/thing/operations", "application/json"),
        ("/api/v1/session", "application/json"),
        ("/leshan_api/resource/single", "application/json"),
        ("/api/v1/models", "application/xml"),
        ("/login", "application/x-www-form-urlencoded"),
    ] {
        let request = server.api().request(reqwest::Method::POST, path);
        let request = request
            .header("Content-Type", kind)
            .header("Content-Encoding", "gzip");
        let status = match request.body(bomb.clone()).send().await {
            Ok(answer) => answer.status().as_u16(),
            // It is refused before all of it was sent, and the answer may be lost with the connection.
            Err(_) => 415,
        };
        assert_eq!(status, 415, "{path}");
    }
    let grown = resident_kb(server).saturating_sub(before);
    assert!(grown < 100_000, "1 GiB of blanks took {grown} KB");
    siege.ends_well().await;
}
