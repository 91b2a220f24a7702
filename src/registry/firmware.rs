//! Images that devices fetch over CoAP: `GET /binaries/NAME`, block by block (RFC 7959).
//!
//! Each request is answered by itself. Of whoever fetches an image nothing is kept between two blocks: a
//! block is read from the file when it is asked for, and again when it is asked for again, so a thousand
//! devices that fetch 64 MB cost as much memory as one. Files are read beside the arbiter, all blocks that
//! are due at a time together: a slow disk holds up those who read from it, and nobody else.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::task::spawn_blocking;

use super::actor::RegistryActor;
use crate::coap::{Code, Excerpt, Exponent, Options, Request, RequestKey, Response, number};
use crate::domain::{ById, ContentFormat, EndpointId, FirmwareId, ImageBytes, Peer, Progress};
use crate::endpoint::Input;
use crate::lwm2m::register::Refusal;
use crate::store::{FirmwareShelf, Shelved};

/// The images, and what is to be read of them.
pub(super) struct Downloads {
    shelf: Arc<dyn FirmwareShelf>,
    /// The largest blocks, and those for whoever asks for none.
    largest: Exponent,
    /// Blocks that were asked for. Their requests wait for their end, so `coap.max_pending_requests` bounds
    /// them.
    due: Vec<Wanted>,
    is_reading: bool,
    told: Told,
}

/// A block that is to be read.
struct Wanted {
    key: RequestKey,
    excerpt: Excerpt,
    image: Shelved,
}

/// A part of an image went to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    image: FirmwareId,
    /// Where it begins in the image, in bytes.
    offset: u64,
    /// Where it ends.
    progress: Progress,
}

impl Downloads {
    pub(super) fn new(shelf: Arc<dyn FirmwareShelf>, block_size: usize) -> Self {
        Self {
            shelf,
            largest: Exponent::at_most(block_size),
            due: Vec::new(),
            is_reading: false,
            told: Told::default(),
        }
    }
}

impl RegistryActor {
    /// Somebody asks for an image, or for a block of one.
    pub(super) fn fetch_image(&mut self, key: RequestKey, request: &Request, path: &str) {
        let Some(image) = self.downloads.shelf.named(path) else {
            let reason = "there is no image of this name";
            return self.refuse(&key, Refusal::new(Code::NOT_FOUND, reason));
        };
        let tag = image.bytes.tag();
        if let Err(refusal) = check(&request.options, &tag) {
            return self.refuse(&key, refusal);
        }
        let block = key.block2();
        let is_known = request.options.all(number::ETAG).any(|known| *known == tag);
        if is_known && block.is_none_or(|block| block.number() == 0) {
            let mut valid = Response::new(Code::VALID);
            valid.options.add(number::ETAG, &tag);
            return self.links.wire.respond(&key, valid);
        }
        match Excerpt::of(block, image.bytes.size(), self.downloads.largest) {
            Ok(excerpt) => self.downloads.due.push(Wanted {
                key,
                excerpt,
                image,
            }),
            Err(refusal) => {
                self.links.metrics.refusals.inc();
                self.links.wire.respond(&key, refusal);
            }
        }
    }

    /// Reads what is due, unless something is being read: then it is read after that.
    pub(super) fn read_images(&mut self, ctx: &mut Context<Self>) {
        if self.downloads.is_reading || self.downloads.due.is_empty() {
            return;
        }
        self.downloads.is_reading = true;
        let due = std::mem::take(&mut self.downloads.due);
        let files: Vec<_> = due
            .iter()
            .map(|wanted| (Arc::clone(&wanted.image.bytes), wanted.excerpt))
            .collect();
        let reading = spawn_blocking(move || {
            let read = |(bytes, excerpt): &(Arc<dyn ImageBytes>, Excerpt)| read(&**bytes, *excerpt);
            files.iter().map(read).collect::<Vec<_>>()
        });
        ctx.spawn(reading.into_actor(self).map(move |blocks, actor, ctx| {
            actor.downloads.is_reading = false;
            let mut blocks = blocks.unwrap_or_default().into_iter();
            for wanted in due {
                actor.serve(wanted, blocks.next(), ctx);
            }
            actor.read_images(ctx);
        }));
    }

    fn serve(
        &mut self,
        wanted: Wanted,
        block: Option<io::Result<Vec<u8>>>,
        ctx: &mut Context<Self>,
    ) {
        let Wanted {
            key,
            excerpt,
            image,
        } = wanted;
        let payload = match block {
            Some(Ok(payload)) => payload,
            Some(Err(error)) => {
                let name = &image.image.name;
                tracing::error!(image.name = %name, "The image {name} cannot be read: {error}");
                let refusal = "the image cannot be read";
                return self.refuse(&key, Refusal::new(Code::INTERNAL_SERVER_ERROR, refusal));
            }
            // Whoever reads has panicked: a copy of the request is new.
            None => return self.links.wire.drop_request(&key),
        };
        let mut response = Response::new(Code::CONTENT);
        response.options.add(number::ETAG, &image.bytes.tag());
        response
            .options
            .add_uint(number::CONTENT_FORMAT, OCTETS.into());
        response.payload = payload;
        let sent = self.links.wire.respond_excerpt(&key, excerpt, &response) as u64;
        self.links.metrics.image_bytes.inc_by(sent);
        if sent > 0 {
            self.served(
                key.peer,
                Part {
                    image: image.image.id,
                    offset: excerpt.offset(),
                    progress: Progress {
                        done: excerpt.offset().saturating_add(sent),
                        total: image.bytes.size(),
                        block: excerpt.block_size(),
                    },
                },
                ctx,
            );
        }
    }

    /// A part of an image went to a peer: the device that fetches it hears of it, as far as it is known, with
    /// its first part, with its last, and once in a second.
    fn served(&mut self, peer: Peer, part: Part, ctx: &mut Context<Self>) {
        if let Some(id) = self.downloader(peer, part.image) {
            self.make_known_as(peer, id);
            self.tell_of(id, part, ctx);
        }
    }

    fn tell_of(&mut self, id: EndpointId, part: Part, ctx: &mut Context<Self>) {
        if self.downloads.told.is_due(id, part, Instant::now()) {
            let Part {
                image, progress, ..
            } = part;
            self.deliver(id, None, Input::Served { image, progress }, ctx);
        }
    }

    /// The registered device that a peer fetches an image for. Some devices do that from another socket, so over
    /// plain CoAP it is the only one of its host that is to fetch this image, if there is just one.
    fn downloader(&self, peer: Peer, image: FirmwareId) -> Option<EndpointId> {
        let known = self.from(peer);
        if known.is_some() || peer.is_secure() {
            return known;
        }
        let state = self.tables.state.borrow();
        state.fetcher(image, peer.address.ip())
    }
}

/// A part of an image was fetched by other means than CoAP.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Fetched {
    /// From where.
    pub(super) host: IpAddr,
    pub(super) image: FirmwareId,
    pub(super) offset: u64,
    pub(super) progress: Progress,
}

impl Handler<Fetched> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: Fetched, ctx: &mut Self::Context) {
        let Fetched {
            host,
            image,
            offset,
            progress,
        } = message;
        let fetcher = self.tables.state.borrow().fetcher(image, host);
        if let Some(id) = fetcher {
            let part = Part {
                image,
                offset,
                progress,
            };
            self.tell_of(id, part, ctx);
        }
    }
}

/// What the request makes a condition (RFC 7252 sections 5.10.4 and 5.10.8).
fn check(options: &Options, tag: &[u8]) -> Result<(), Refusal> {
    let refused = |code, reason| Err(Refusal::new(code, reason));
    if options.first(number::ACCEPT).is_some() && options.accept() != Some(OCTETS) {
        return refused(Code::NOT_ACCEPTABLE, "an image is of content format 42");
    }
    let mut wanted = options.all(number::IF_MATCH).peekable();
    if wanted.peek().is_some() && !wanted.any(|one| one.is_empty() || one == tag) {
        let reason = "there is another image under this name now";
        return refused(Code::PRECONDITION_FAILED, reason);
    }
    if options.first(number::IF_NONE_MATCH).is_some() {
        return refused(Code::PRECONDITION_FAILED, "there is such an image");
    }
    Ok(())
}

fn read(bytes: &dyn ImageBytes, excerpt: Excerpt) -> io::Result<Vec<u8>> {
    let mut block = vec![0; excerpt.length()];
    let length = bytes.read(excerpt.offset(), &mut block)?;
    if length != block.len() {
        let error = format!("it ends {} bytes early", block.len().saturating_sub(length));
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
    }
    Ok(block)
}

/// Of whom was told how they come on. Of each device at most three times in a second: it is told of its first
/// part, of its last part, and of one more.
#[derive(Debug, Default)]
struct Told {
    devices: ById<EndpointId, Telling>,
    /// With so many it is looked through for those of more than a second ago.
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Telling {
    since: Instant,
    first: bool,
    last: bool,
}

impl Told {
    /// Whether it is to be told now; then it counts as told.
    fn is_due(&mut self, id: EndpointId, part: Part, now: Instant) -> bool {
        let is_first = part.offset == 0;
        let is_last = part.progress.done >= part.progress.total;
        let is_recent = |telling: &Telling| now.saturating_duration_since(telling.since) < PERIOD;
        if let Some(telling) = self.devices.get_mut(&id).filter(|one| is_recent(one)) {
            let is_new = (is_first && !telling.first) || (is_last && !telling.last);
            telling.first |= is_first;
            telling.last |= is_last;
            return is_new;
        }
        if self.devices.len() >= self.sweep_at {
            self.devices.retain(|_, telling| is_recent(telling));
            self.sweep_at = self.devices.len().saturating_mul(2).max(LEAST);
        }
        let telling = Telling {
            since: now,
            first: is_first,
            last: is_last,
        };
        self.devices.insert(id, telling);
        true
    }
}

/// `application/octet-stream`
const OCTETS: u16 = ContentFormat::Opaque.code();
/// How often it is told of one device.
const PERIOD: Duration = Duration::from_secs(1);
/// Below this it is not worth while to look for devices that are through.
const LEAST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn part(offset: u64, end: u64) -> Part {
        Part {
            image: FirmwareId(1),
            offset,
            progress: Progress {
                done: end,
                total: 1_000_000,
                block: 1024,
            },
        }
    }

    #[test]
    fn the_first_part_and_the_last_are_told_and_one_in_a_second() {
        let mut told = Told::default();
        let (id, begin) = (EndpointId(1), Instant::now());
        let mut count = 0;
        for block in 0..977_u64 {
            let offset = block * 1024;
            let part = part(offset, (offset + 1024).min(1_000_000));
            let now = begin + Duration::from_millis(block * 5);
            let is_told = told.is_due(id, part, now);
            count += u32::from(is_told);
            if block == 0 || block == 976 {
                assert!(is_told, "block {block}");
            }
        }
        assert_eq!(count, 6, "five seconds, and the end");
    }

    #[test]
    fn whoever_asks_for_one_part_again_and_again_is_told_of_once_in_a_second() {
        let mut told = Told::default();
        let now = Instant::now();
        let all = [part(0, 1024), part(999_000, 1_000_000), part(5_120, 6_144)];
        let mut count = 0;
        for round in 0..3_000 {
            let later = now + Duration::from_millis(round);
            count += u32::from(told.is_due(EndpointId(1), all[round as usize % 3], later));
        }
        assert!(count <= 9, "{count} in three seconds");
        assert!(told.is_due(EndpointId(2), part(5_120, 6_144), now));
    }

    #[test]
    fn devices_that_are_through_take_no_room() {
        let mut told = Told::default();
        let now = Instant::now();
        for id in 0..100_000 {
            let later = now + Duration::from_millis(id as u64);
            told.is_due(EndpointId(id), part(0, 1024), later);
            assert!(
                told.devices.len() <= 2 * LEAST + 2,
                "{}",
                told.devices.len()
            );
        }
    }
}
