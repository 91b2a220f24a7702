//! Images over CoAP: fetched by devices in their session and from a socket of their own, and pushed.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use super::tests::{hash, image, offer, until};
use crate::coap::{
    Block, Code, Counters, Event, Exponent, OutgoingBlock, OutgoingRequest, Peer, Request,
    Response, Token, number,
};
use crate::config::{Coap, Settings};
use crate::domain::EndpointName;
use crate::net::CoapTransport;
use crate::sim::{BlockLimit, Quirks, SimClient, SimHandle, SimSettings};

/// A server with an image; it confirms whatever else it is asked.
struct Site {
    transport: CoapTransport,
    image: RefCell<Vec<u8>>,
    /// The image becomes the second one before so many requests more are answered.
    changes: RefCell<Option<(u32, Vec<u8>)>>,
    asked: Cell<u32>,
    answers: mpsc::Sender<Response>,
    device: Cell<Option<Peer>>,
}

impl Site {
    fn start(image: &[u8]) -> (Rc<Self>, mpsc::Receiver<Response>) {
        let settings = Coap {
            // Nothing is kept between the blocks: each is made of the image as it is then.
            max_transfers: 0,
            ..Settings::defaults().coap
        };
        let address: SocketAddr = ([127, 0, 0, 1], 0).into();
        let transport = CoapTransport::bind_to(address, &settings, Counters::default(), 7);
        let transport = transport.expect("a socket");
        let (sender, mut events) = mpsc::channel(64);
        spawn_local(transport.clone().run(sender));
        let (answers, has_answers) = mpsc::channel(64);
        let site = Rc::new(Self {
            transport,
            image: RefCell::new(image.to_vec()),
            changes: RefCell::default(),
            asked: Cell::new(0),
            answers,
            device: Cell::new(None),
        });
        let serving = Rc::clone(&site);
        spawn_local(async move {
            while let Some(batch) = events.recv().await {
                for event in batch {
                    serving.take(event);
                }
            }
        });
        (site, has_answers)
    }

    fn address(&self) -> SocketAddr {
        self.transport.address().expect("a plain socket")
    }

    fn take(&self, event: Event) {
        match event {
            Event::Request { key, request } if request.code == Code::GET => {
                self.asked.set(self.asked.get() + 1);
                let mut changes = self.changes.borrow_mut();
                if let Some((left, _)) = changes.as_mut() {
                    *left = left.saturating_sub(1);
                }
                if let Some((_, image)) = changes.take_if(|(left, _)| *left == 0) {
                    *self.image.borrow_mut() = image;
                }
                let path = request.options.uri_path().unwrap_or_default();
                let response = match path.as_slice() {
                    ["binaries", _] => Response {
                        payload: self.image.borrow().clone(),
                        ..Response::new(Code::CONTENT)
                    },
                    _ => Response::refusal(Code::NOT_FOUND, "there is no such image"),
                };
                self.transport.respond(&key, response);
            }
            Event::Request { key, .. } => {
                self.device.set(Some(key.peer));
                let mut response = Response::new(Code::CREATED);
                response.options.add(number::LOCATION_PATH, b"rd");
                self.transport.respond(&key, response);
            }
            Event::Response { response, .. } => {
                let _ = self.answers.try_send(response);
            }
            Event::Failed { failure, .. } => panic!("{failure}"),
            _ => {}
        }
    }

    /// One block of an image, to the device that has registered.
    fn push(&self, image: &[u8], offset: usize, size: usize) {
        let end = (offset + size).min(image.len());
        let mut request = Request::new(Code::PUT);
        request.options.add_uri_path("/5/0/0");
        request.options.add_uint(number::CONTENT_FORMAT, 42);
        request.payload = image[offset..end].to_vec();
        let block = Block::at(offset, end < image.len(), Exponent::at_most(size));
        let outgoing = OutgoingRequest {
            block1: Some(OutgoingBlock {
                block: block.expect("a block"),
                whole: u32::try_from(image.len()).ok(),
            }),
            ..self.outgoing(request)
        };
        let device = self.device.get().expect("a registered device");
        self.transport.request(device, outgoing).expect("room");
    }

    fn outgoing(&self, request: Request) -> OutgoingRequest {
        self.asked.set(self.asked.get() + 1);
        let token = Token::from(u64::from(self.asked.get()).to_be_bytes());
        OutgoingRequest::new(request, token, Duration::from_secs(20))
    }
}

fn device(server: SocketAddr, relay: bool) -> SimHandle {
    let name = EndpointName::new("dev-1").expect("a name");
    let mut settings = SimSettings::new(server, name);
    settings.relay = relay;
    settings.device.retry_min = Duration::from_millis(10);
    SimClient::start(settings).expect("a socket")
}

#[tokio::test]
async fn an_image_comes_in_blocks_in_the_session_or_from_another_host() {
    LocalSet::new()
        .run_until(async {
            let image = image(7, 100_001);
            let (site, _answers) = Site::start(&image);
            let (other, _other_answers) = Site::start(&[]);
            let uri = format!("coap://{}/binaries/v0.4.0.bin", site.address());
            for (server, relay, uri) in [
                (site.address(), false, "/binaries/v0.4.0.bin"),
                (site.address(), true, uri.as_str()),
                (other.address(), false, uri.as_str()),
            ] {
                site.asked.set(0);
                let device = device(server, relay);
                offer(&device, uri).await;
                let report = until(&device, 2, 0).await;
                assert_eq!(report.downloaded_sha256, hash(&image));
                assert_eq!(site.asked.get(), 98, "a GET for each block");
                offer(&device, "").await;
                offer(&device, "/none").await;
                until(&device, 0, 7).await;
                device.stop(false).await;
            }
            assert!(other.asked.get() > 0);
        })
        .await;
}

#[tokio::test]
async fn an_image_that_is_replaced_between_two_blocks_is_never_mixed() {
    LocalSet::new()
        .run_until(async {
            // One that is longer, and one that ends before the block that is asked for.
            for size in [60_000, 10_000] {
                let (old, new) = (image(3, 50_000), image(5, size));
                let (site, _answers) = Site::start(&old);
                *site.changes.borrow_mut() = Some((20, new.clone()));
                let device = device(site.address(), false);
                let small = Quirks {
                    block_limit: Some(BlockLimit::Asks(512)),
                    ..Quirks::default()
                };
                device.set_quirks(small).await.expect("a running device");
                offer(&device, "/binaries/image").await;
                let report = until(&device, 2, 0).await;
                assert_eq!(report.downloaded_sha256, hash(&new));
                assert_eq!((report.restarts, report.received), (1, size as u64));
                device.stop(false).await;
            }
        })
        .await;
}

#[tokio::test]
async fn an_image_of_a_megabyte_is_pushed_block_by_block_with_reads_between_them() {
    LocalSet::new()
        .run_until(async {
            let image = image(11, 1 << 20);
            let (site, mut answers) = Site::start(&[]);
            let device = device(site.address(), true);
            let registered = timeout(Duration::from_secs(20), device.registered()).await;
            registered.expect("in time").expect("registered");
            let mut next = async || {
                let answer = timeout(Duration::from_secs(20), answers.recv()).await;
                answer.expect("in time").expect("an answer")
            };
            for offset in (0..image.len()).step_by(1024) {
                site.push(&image, offset, 1024);
                let is_last = offset + 1024 == image.len();
                let expected = if is_last {
                    Code::CHANGED
                } else {
                    Code::CONTINUE
                };
                assert_eq!(next().await.code, expected, "at {offset}");
                if offset.is_multiple_of(100 * 1024) && !is_last {
                    let mut read = Request::new(Code::GET);
                    read.options.add_uri_path("/5/0/3");
                    read.options.add_uint(number::ACCEPT, 0);
                    let peer = site.device.get().expect("a device");
                    let asked = site.transport.request(peer, site.outgoing(read));
                    asked.expect("room");
                    assert_eq!(next().await.payload, b"1");
                }
            }
            let report = until(&device, 2, 0).await;
            assert_eq!(report.downloaded_sha256, hash(&image));
            device.stop(false).await;
        })
        .await;
}
