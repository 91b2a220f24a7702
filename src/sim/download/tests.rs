//! Devices that download over real connections from small servers.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix_web::http::header;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::stream;
use sha2::{Digest as _, Sha256};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use crate::domain::{EndpointName, Path, Value};
use crate::sim::{
    FirmwareBehaviour, FirmwareReport, FirmwareSettings, Midway, Quirks, SimClient, SimHandle,
    SimSettings,
};

/// What the server of images serves, and how.
#[derive(Default)]
struct Site {
    image: Mutex<(Vec<u8>, String)>,
    /// The next answers end after so many bytes of the image.
    breaks_at: Mutex<Vec<usize>>,
    /// The next requests are answered with 503.
    busy: AtomicU32,
    ranges: Mutex<Vec<String>>,
}

impl Site {
    fn serves(&self, image: &[u8], tag: &str) {
        *self.image.lock().expect("no panic") = (image.to_vec(), tag.to_owned());
    }
}

async fn serve(site: web::Data<Site>, request: HttpRequest) -> HttpResponse {
    if site.busy.load(Ordering::Relaxed) > 0 {
        site.busy.fetch_sub(1, Ordering::Relaxed);
        return HttpResponse::ServiceUnavailable().finish();
    }
    let (image, tag) = site.image.lock().expect("no panic").clone();
    let text = |name| request.headers().get(name)?.to_str().ok();
    let range = text(header::RANGE);
    site.ranges
        .lock()
        .expect("no panic")
        .push(range.unwrap_or_default().to_owned());
    let from = range
        .filter(|_| text(header::IF_RANGE).is_none_or(|wanted| wanted == tag))
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0_usize);
    let mut response = match from {
        0 => HttpResponse::Ok(),
        from if from >= image.len() => return HttpResponse::RangeNotSatisfiable().finish(),
        from => {
            let range = format!("bytes {from}-{}/{}", image.len() - 1, image.len());
            let mut partial = HttpResponse::PartialContent();
            partial.insert_header((header::CONTENT_RANGE, range));
            partial
        }
    };
    response.insert_header((header::ETAG, tag));
    let whole = image.len();
    let mut breaks = site.breaks_at.lock().expect("no panic");
    let end = breaks.pop().unwrap_or(whole).max(from);
    response.no_chunking((whole - from) as u64);
    let mut parts: Vec<std::io::Result<Bytes>> = image[from..end]
        .chunks(10_000)
        .map(|part| Ok(Bytes::copy_from_slice(part)))
        .collect();
    if end < whole {
        parts.push(Err(std::io::Error::other("the connection breaks")));
    }
    response.streaming(stream::iter(parts))
}

/// The base of its URIs.
fn start(site: &web::Data<Site>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let site = site.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(site.clone())
            .route("/binaries/{name}", web::get().to(serve))
    })
    .workers(1)
    .disable_signals()
    .listen(listener)
    .expect("a server");
    spawn_local(server.run());
    format!("http://{address}")
}

/// A device that nobody lets register, and that downloads all the same.
fn device(base: &str) -> SimHandle {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = nobody.local_addr().expect("an address");
    let mut settings = SimSettings::new(server, EndpointName::new("dev-1").expect("a name"));
    settings.device.retry_min = Duration::from_millis(10);
    settings.device.firmware = Some(FirmwareSettings {
        protocols: vec![0, 2, 3],
        base: Some(base.to_owned()),
        ..FirmwareSettings::default()
    });
    SimClient::start(settings).expect("a socket")
}

pub(super) async fn offer(device: &SimHandle, uri: &str) {
    let uri = Value::String(uri.to_owned());
    let set = device.set(Path::resource(5, 0, 1), uri).await;
    set.expect("a running device");
}

/// Its report, once it is in this state with this result.
pub(super) async fn until(device: &SimHandle, state: u8, result: i64) -> FirmwareReport {
    let mut last = None;
    let reached = timeout(Duration::from_secs(20), async {
        loop {
            let report = device.firmware().await.expect("object 5");
            if (report.state, report.result) == (state, result) {
                return report;
            }
            last = Some(report);
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    reached.unwrap_or_else(|_| panic!("not in state {state} with result {result}: {last:?}"))
}

pub(super) fn image(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u8).wrapping_mul(seed)).collect()
}

pub(super) fn hash(bytes: &[u8]) -> Option<String> {
    Some(hex::encode(Sha256::digest(bytes)))
}

#[tokio::test]
async fn an_image_comes_over_http_and_goes_on_after_the_connection_broke() {
    LocalSet::new()
        .run_until(async {
            let site = web::Data::new(Site::default());
            let base = start(&site);
            let image = image(7, 500_000);
            site.serves(&image, "\"a\"");
            // From the last to the first.
            *site.breaks_at.lock().expect("no panic") = vec![400_000, 123_456, 50_000];
            site.busy.store(1, Ordering::Relaxed);
            let device = device(&base);
            offer(&device, "/binaries/v0.3.0.bin").await;
            let report = until(&device, 2, 0).await;
            assert_eq!(report.downloaded_sha256, hash(&image));
            assert_eq!((report.downloads, report.restarts), (1, 0));
            let ranges = site.ranges.lock().expect("no panic").clone();
            assert_eq!(ranges.len(), 4, "{ranges:?}");
            assert_eq!(ranges[0], "");
            for (range, at_most) in ranges[1..].iter().zip([50_000, 123_456, 400_000]) {
                let from = range
                    .strip_prefix("bytes=")
                    .and_then(|it| it.strip_suffix('-'));
                let from: usize = from.expect(range).parse().expect(range);
                assert!(from > 0 && from <= at_most, "{range}");
            }
            let version = device.value(Path::resource(5, 0, 7)).await;
            assert_eq!(version, Some(Value::String("0.3.0".to_owned())));
            device.stop(false).await;
        })
        .await;
}

#[tokio::test]
async fn an_image_that_is_replaced_in_the_middle_is_never_mixed() {
    LocalSet::new()
        .run_until(async {
            let site = web::Data::new(Site::default());
            let base = start(&site);
            let (old, new) = (image(3, 300_000), image(5, 200_000));
            site.serves(&old, "\"old\"");
            let device = device(&base);
            let breaks = Quirks {
                firmware: FirmwareBehaviour::LostMidway(Midway::Resumes(Duration::from_millis(
                    300,
                ))),
                ..Quirks::default()
            };
            device.set_quirks(breaks).await.expect("a running device");
            offer(&device, &format!("{base}/binaries/image")).await;
            timeout(Duration::from_secs(20), async {
                while device.firmware().await.expect("object 5").received < 150_000 {
                    sleep(Duration::from_millis(2)).await;
                }
            })
            .await
            .expect("half of it in time");
            site.serves(&new, "\"new\"");
            let report = until(&device, 2, 0).await;
            assert_eq!(report.downloaded_sha256, hash(&new));
            assert_eq!((report.restarts, report.received), (1, new.len() as u64));
            device.stop(false).await;
        })
        .await;
}

#[tokio::test]
async fn what_is_not_there_is_an_invalid_uri_and_a_server_that_is_not_there_a_lost_connection() {
    LocalSet::new()
        .run_until(async {
            let site = web::Data::new(Site::default());
            let base = start(&site);
            let device = device(&base);
            offer(&device, "/nothing").await;
            until(&device, 0, 7).await;
            let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = gone.local_addr().expect("an address");
            drop(gone);
            offer(&device, &format!("http://{address}/image")).await;
            until(&device, 1, 0).await;
            until(&device, 0, 4).await;
            device.stop(false).await;
        })
        .await;
}
