//! Answers about images, without a socket: who is told what, and which bytes come.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use actix_http::body::{BodySize, MessageBody as _};
use actix_http::header::{HeaderName, HeaderValue};
use actix_http::{Method, Request, Response, StatusCode, Uri};

use super::body::Body;
use super::http::Answers;
use super::metrics::DownloadMetrics;
use super::{Served, Told};
use crate::domain::{FirmwareId, FirmwareImage, ImageBytes, Selection, Timestamp};
use crate::store::{FirmwareShelf, Shelved};

/// Bytes in memory; those from `damaged_from` on cannot be read.
#[derive(Debug)]
struct InMemory {
    tag: [u8; 8],
    bytes: Vec<u8>,
    damaged_from: u64,
}

impl ImageBytes for InMemory {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn tag(&self) -> [u8; 8] {
        self.tag
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if offset >= self.damaged_from {
            return Err(io::Error::other("damaged"));
        }
        let from = self.bytes.get(offset as usize..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        buffer[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }
}

#[derive(Default)]
struct Shelf(Mutex<BTreeMap<String, Shelved>>);

impl Shelf {
    fn put(&self, path: &str, id: i64, image: InMemory) {
        let known = FirmwareImage {
            id: FirmwareId(id),
            version: id.to_string(),
            name: path.to_owned(),
            key: String::new(),
            sha256: String::new(),
            size: image.size(),
            notes: String::new(),
            selection: Selection::default(),
            created_at: Timestamp::clamped_from_millis(0),
            created_by: String::new(),
        };
        let shelved = Shelved {
            image: Arc::new(known),
            bytes: Arc::new(image),
        };
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.insert(path.to_owned(), shelved);
    }
}

impl FirmwareShelf for Shelf {
    fn image(&self, _: FirmwareId) -> Option<Shelved> {
        None
    }

    fn named(&self, path: &str) -> Option<Shelved> {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.get(path).cloned()
    }
}

struct Bench {
    shelf: Arc<Shelf>,
    answers: Answers,
    told: Arc<Mutex<Vec<Served>>>,
}

impl Bench {
    /// With an image of 200,000 bytes.
    fn new() -> Self {
        let (shelf, told) = (
            Arc::new(Shelf::default()),
            Arc::<Mutex<Vec<Served>>>::default(),
        );
        let telling = Arc::clone(&told);
        let tell: Told = Arc::new(move |served| {
            let mut told = telling.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(served);
        });
        shelf.put("v1+2.bin", 1, image(1, u64::MAX));
        let answers = Answers {
            shelf: shelf.clone(),
            metrics: DownloadMetrics::default(),
            told: tell,
        };
        Self {
            shelf,
            answers,
            told,
        }
    }

    fn ask(
        &self,
        method: Method,
        path: &'static str,
        headers: &[(&'static str, &str)],
    ) -> Response<Body> {
        let mut request = Request::new();
        request.head_mut().method = method;
        request.head_mut().uri = Uri::from_static(path);
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a value");
            let name = HeaderName::from_static(name);
            request.head_mut().headers_mut().append(name, value);
        }
        self.answers.answer(&request)
    }

    fn get(&self, path: &'static str) -> Response<Body> {
        self.ask(Method::GET, path, &[])
    }

    fn told(&self) -> Vec<Served> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }
}

fn image(seed: u8, damaged_from: u64) -> InMemory {
    let bytes = (0..200_000_u32).map(|at| (at % 251) as u8 ^ seed);
    InMemory {
        tag: [seed; 8],
        bytes: bytes.collect(),
        damaged_from,
    }
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    let value = response.headers().get(name).expect(name);
    value.to_str().expect("text")
}

async fn chunk(body: &mut Body) -> Option<io::Result<bytes::Bytes>> {
    poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await
}

async fn all(response: Response<Body>) -> io::Result<Vec<u8>> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunk(&mut body).await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn an_image_comes_whole_and_in_parts() {
    let bench = Bench::new();
    let expected = image(1, u64::MAX).bytes;
    for path in [
        "/binaries/v1+2.bin",
        "/binaries/v1%2B2.bin",
        "/binaries/v1+2.bin?x=1",
    ] {
        let response = bench.get(path);
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(header(&response, "etag"), "\"0101010101010101\"");
        assert_eq!(header(&response, "accept-ranges"), "bytes");
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(
            header(&response, "content-type"),
            "application/octet-stream"
        );
        assert_eq!(response.body().size(), BodySize::Sized(200_000));
        assert_eq!(all(response).await.expect("bytes"), expected);
    }
    let response = bench.ask(
        Method::GET,
        "/binaries/v1+2.bin",
        &[("range", "bytes=100000-199998")],
    );
    assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        header(&response, "content-range"),
        "bytes 100000-199998/200000"
    );
    assert_eq!(response.body().size(), BodySize::Sized(99_999));
    assert_eq!(
        all(response).await.expect("bytes"),
        expected[100_000..199_999]
    );
    let over = bench.told().into_iter().filter(|served| served.is_over);
    let over: Vec<_> = over
        .map(|served| (served.status, served.offset, served.served_to))
        .collect();
    let whole = (200, 0, 200_000);
    assert_eq!(over, [whole, whole, whole, (206, 100_000, 199_999)]);
    assert!(
        bench
            .told()
            .iter()
            .all(|served| served.is_complete && served.size == 200_000)
    );
}

#[tokio::test]
async fn what_was_begun_is_finished_with_the_same_bytes() {
    let bench = Bench::new();
    let mut body = bench.get("/binaries/v1+2.bin").into_body();
    let first = chunk(&mut body).await.expect("a chunk").expect("bytes");
    bench.shelf.put("v1+2.bin", 2, image(2, u64::MAX));
    let mut bytes = first.to_vec();
    while let Some(chunk) = chunk(&mut body).await {
        bytes.extend_from_slice(&chunk.expect("bytes"));
    }
    assert_eq!(bytes, image(1, u64::MAX).bytes);
    // Gone on with after that, it is the new one from its beginning.
    let range = ("range", "bytes=65536-");
    let response = bench.ask(
        Method::GET,
        "/binaries/v1+2.bin",
        &[range, ("if-range", "\"0101010101010101\"")],
    );
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        all(response).await.expect("bytes"),
        image(2, u64::MAX).bytes
    );
}

#[tokio::test]
async fn who_goes_away_in_the_middle_is_told_of() {
    let bench = Bench::new();
    let mut body = bench.get("/binaries/v1+2.bin").into_body();
    for _ in 0..2 {
        chunk(&mut body).await.expect("a chunk").expect("bytes");
    }
    drop(body);
    let told = bench.told();
    let last = told.last().expect("something");
    // The second chunk was given away, and nobody knows whether it went out.
    assert_eq!(
        (last.served_to, last.is_over, last.is_complete),
        (65_536, true, false)
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_breaks_the_answer_off() {
    let bench = Bench::new();
    bench.shelf.put("damaged.bin", 3, image(3, 65_536));
    let broken = all(bench.get("/binaries/damaged.bin")).await;
    assert_eq!(broken.expect_err("an error").to_string(), "damaged");
    let told = bench.told();
    assert!(
        told.last()
            .is_some_and(|served| served.is_over && !served.is_complete)
    );
}

#[tokio::test]
async fn what_is_no_image_is_not_there() {
    let bench = Bench::new();
    for path in [
        "/",
        "/binaries",
        "/binaries/",
        "/binaries/v1",
        "/binaries/%FF",
        "/v1+2.bin",
    ] {
        let response = bench.get(path);
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            all(response).await.expect("text"),
            b"there is no such file\n"
        );
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let response = bench.ask(method, "/binaries/v1+2.bin", &[]);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, "allow"), "GET, HEAD");
    }
    assert_eq!(bench.told(), []);
}

#[tokio::test]
async fn answers_without_a_body_say_what_it_would_be() {
    let bench = Bench::new();
    let path = "/binaries/v1+2.bin";
    let range = ("range", "bytes=200000-");
    let head = bench.ask(Method::HEAD, path, &[range]);
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.body().size(), BodySize::Sized(200_000));
    assert_eq!(all(head).await.expect("nothing"), b"");

    let beyond = bench.ask(Method::GET, path, &[range]);
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&beyond, "content-range"), "bytes */200000");

    let same = [("if-none-match", "\"0101010101010101\"")];
    let unchanged = bench.ask(Method::GET, path, &same);
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.body().size(), BodySize::None);

    let other = bench.ask(Method::GET, path, &[("if-match", "\"other\"")]);
    assert_eq!(other.status(), StatusCode::PRECONDITION_FAILED);
    let statuses: Vec<_> = bench.told().iter().map(|served| served.status).collect();
    assert_eq!(statuses, [200, 416, 304, 412]);
}
