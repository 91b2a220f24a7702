//! Pieces of an image over CoAP: a GET for each block (Block2, RFC 7959 section 2.4), which names the image
//! by its `ETag`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::lookup_host;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;

use crate::coap::{
    self, Block, Code, Event, ExchangeFailure, Exponent, Options, OutgoingRequest, Request,
    Response, number,
};
use crate::domain::{Peer, Token};
use crate::net::CoapTransport;

use super::super::client::small_coap;
use super::{Fetch, FetchError, Means, Piece, SessionAsk};

/// One download.
pub(super) struct Coap {
    way: Way,
    blocks: Blocks,
}

/// Where the requests go.
enum Way {
    /// To the LwM2M server, as everything else that the device says.
    Session(mpsc::Sender<SessionAsk>),
    Socket(Socket),
}

/// A socket of its own.
struct Socket {
    transport: CoapTransport,
    events: mpsc::Receiver<Vec<Event>>,
    peer: Peer,
}

impl Coap {
    /// To where a URI leads.
    pub(super) async fn to(means: &Means, uri: &str) -> Result<Self, FetchError> {
        let blocks = |path| Blocks {
            options: options(path),
            largest: usize::MAX,
            echo: None,
        };
        let session = || Way::Session(means.session.clone());
        if uri.starts_with('/') {
            return Ok(Self {
                way: session(),
                blocks: blocks(uri),
            });
        }
        let place = Place::of(uri)?;
        let found = lookup_host((place.host, place.port)).await;
        let found: Vec<SocketAddr> = found
            .map_err(|error| FetchError::ConnectionLost(format!("{}: {error}", place.host)))?
            .collect();
        let is_server = place.is_secure == means.is_secure && found.contains(&means.server);
        let way = match found.first() {
            _ if is_server => session(),
            Some(_) if place.is_secure => {
                let reason = format!("there are no credentials for {}", place.host);
                return Err(FetchError::UnsupportedProtocol(reason));
            }
            Some(address) => Way::Socket(Socket::to(*address)?),
            None => {
                let reason = format!("{} has no address", place.host);
                return Err(FetchError::ConnectionLost(reason));
            }
        };
        Ok(Self {
            way,
            blocks: blocks(place.path),
        })
    }

    pub(super) async fn piece(&mut self, fetch: &Fetch) -> Result<Piece, FetchError> {
        loop {
            let request = self.blocks.request(fetch)?;
            let answer = match &mut self.way {
                Way::Session(session) => ask(session, request).await,
                Way::Socket(socket) => socket.ask(request).await,
            };
            let answer = answer.map_err(|failure| lost(failure.to_string()))?;
            if let Some(piece) = self.blocks.piece(fetch, answer)? {
                return Ok(piece);
            }
        }
    }
}

async fn ask(
    session: &mpsc::Sender<SessionAsk>,
    request: OutgoingRequest,
) -> Result<Response, ExchangeFailure> {
    let (reply, has_reply) = oneshot::channel();
    let sent = session.send(SessionAsk { request, reply }).await;
    match sent {
        Ok(()) => has_reply.await.unwrap_or(Err(ExchangeFailure::Cancelled)),
        Err(_) => Err(ExchangeFailure::Cancelled),
    }
}

impl Socket {
    fn to(address: SocketAddr) -> Result<Self, FetchError> {
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let seed = getrandom::u64().map_err(|error| lost(error.to_string()))?;
        let counters = coap::Counters::default();
        let transport = CoapTransport::bind_to(own, &small_coap(), counters, seed);
        let transport = transport.map_err(|error| lost(error.to_string()))?;
        let (sender, events) = mpsc::channel(1);
        spawn_local(transport.clone().run(sender));
        Ok(Self {
            transport,
            events,
            peer: Peer::udp(address),
        })
    }

    async fn ask(&mut self, request: OutgoingRequest) -> Result<Response, ExchangeFailure> {
        let token = getrandom::u64().map_err(|_| ExchangeFailure::Cancelled)?;
        let request = OutgoingRequest {
            token: Token::from(token.to_be_bytes()),
            ..request
        };
        let asked = self.transport.request(self.peer, request);
        let asked = asked.map_err(|_| ExchangeFailure::Cancelled)?;
        while let Some(batch) = self.events.recv().await {
            for event in batch {
                match event {
                    Event::Response {
                        exchange,
                        response,
                        acknowledge,
                        ..
                    } => {
                        if let Some(key) = acknowledge {
                            self.transport.acknowledge(&key);
                        }
                        if exchange == asked {
                            return Ok(response);
                        }
                    }
                    Event::Failed {
                        exchange, failure, ..
                    } if exchange == asked => return Err(failure),
                    Event::Notification { key, .. } => self.transport.reject(&key),
                    // Nobody asks anything here.
                    Event::Request { key, .. } => self.transport.drop_request(&key),
                    _ => {}
                }
            }
        }
        Err(ExchangeFailure::Cancelled)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.transport.stop();
    }
}

/// What is asked for a piece, and what the answer means.
struct Blocks {
    /// The path and the query.
    options: Options,
    /// The server has no larger ones.
    largest: usize,
    /// The server wants to see this again (RFC 9175).
    echo: Option<Vec<u8>>,
}

impl Blocks {
    fn request(&self, fetch: &Fetch) -> Result<OutgoingRequest, FetchError> {
        let offset = usize::try_from(fetch.offset).map_err(|_| lost("too far".to_owned()))?;
        let largest = fetch.block.min(fetch.most).min(self.largest);
        // Blocks begin at multiples of their size.
        let fits = match offset.trailing_zeros() {
            zeros if offset > 0 && zeros < 10 => 1 << zeros,
            _ => 1024,
        };
        let exponent = Exponent::at_most(largest.min(fits));
        let block = Block::at(offset, false, exponent);
        let block = block.ok_or_else(|| lost(format!("there is no block at {offset}")))?;
        let mut request = Request {
            options: self.options.clone(),
            ..Request::new(Code::GET)
        };
        if let Some(echo) = &self.echo {
            request.options.add(number::ECHO, echo);
        }
        let timeout = small_coap().response_timeout();
        Ok(OutgoingRequest {
            block2: Some(block),
            ..OutgoingRequest::new(request, Token::default(), timeout)
        })
    }

    /// Nothing: it is to be asked again.
    fn piece(&mut self, fetch: &Fetch, answer: Response) -> Result<Option<Piece>, FetchError> {
        let options = &answer.options;
        match answer.code {
            Code::CONTENT => {}
            Code::UNAUTHORIZED if self.echo.is_none() && options.first(number::ECHO).is_some() => {
                self.echo = options.first(number::ECHO).map(<[u8]>::to_vec);
                return Ok(None);
            }
            // There is no such block: the image has become shorter, and begins anew.
            Code::BAD_REQUEST | Code::BAD_OPTION if fetch.offset > 0 => {
                return Ok(Some(Piece {
                    offset: 0,
                    bytes: Vec::new(),
                    tag: None,
                    total: None,
                    is_last: false,
                }));
            }
            code => {
                let reason = String::from_utf8_lossy(&answer.payload);
                let text = format!("the server answers {code} {reason}");
                return Err(match code.class() {
                    5 => lost(text),
                    _ => FetchError::InvalidUri(text),
                });
            }
        }
        let block = Block::of(options, number::BLOCK2);
        let block = block.map_err(|error| lost(error.to_string()))?;
        let tag = options.first(number::ETAG).map(<[u8]>::to_vec);
        let total = options.uint(number::SIZE2).map(u64::from);
        let bytes = answer.payload;
        let Some(block) = block else {
            return Ok(Some(Piece {
                offset: 0,
                total: Some(bytes.len() as u64),
                bytes,
                tag,
                is_last: true,
            }));
        };
        let size = block.exponent.size();
        if bytes.len() > size || (block.more && bytes.len() != size) {
            return Err(lost("a block is not as long as it says".to_owned()));
        }
        if block.offset() as u64 != fetch.offset {
            return Err(lost("another block came than was asked for".to_owned()));
        }
        self.largest = self.largest.min(size);
        Ok(Some(Piece {
            offset: fetch.offset,
            bytes,
            tag,
            total,
            is_last: !block.more,
        }))
    }
}

/// `coap://HOST[:PORT]/PATH`, or `coaps`.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    is_secure: bool,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(uri: &'a str) -> Result<Self, FetchError> {
        let wrong = || FetchError::InvalidUri(format!("`{uri}` is no URI of CoAP"));
        let (scheme, rest) = uri.split_once("://").ok_or_else(wrong)?;
        let is_secure = scheme.eq_ignore_ascii_case("coaps");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
                (host, rest.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| wrong())?,
            None if is_secure => 5684,
            None => 5683,
        };
        match host.is_empty() {
            true => Err(wrong()),
            false => Ok(Self {
                is_secure,
                host,
                port,
                path,
            }),
        }
    }
}

/// Path and query as options (RFC 7252 section 6.4).
fn options(path: &str) -> Options {
    let path = path.split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut options = Options::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        options.add(number::URI_PATH, &decoded(segment));
    }
    for part in query.split('&').filter(|part| !part.is_empty()) {
        options.add(number::URI_QUERY, &decoded(part));
    }
    options
}

/// Without percent signs (RFC 3986 section 2.1).
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let byte = digits.and_then(|digits| hex::decode(digits).ok());
        match byte.as_deref() {
            Some([byte]) => {
                bytes.push(*byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

fn lost(reason: String) -> FetchError {
    FetchError::ConnectionLost(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(offset: u64, block: usize, most: usize) -> Fetch {
        Fetch {
            download: 1,
            uri: "/a".to_owned(),
            offset,
            tag: None,
            most,
            block,
        }
    }

    fn blocks() -> Blocks {
        Blocks {
            options: options("/a"),
            largest: usize::MAX,
            echo: None,
        }
    }

    fn content(block: Option<(usize, bool, usize)>, payload: &[u8]) -> Response {
        let mut response = Response::new(Code::CONTENT);
        if let Some((offset, more, size)) = block {
            let block = Block::at(offset, more, Exponent::at_most(size)).expect("a block");
            block.set(&mut response.options, number::BLOCK2);
        }
        response.payload = payload.to_vec();
        response
    }

    #[test]
    fn uris_are_taken_apart() {
        for (uri, is_secure, host, port, path) in [
            ("coap://host/a/b", false, "host", 5683, "/a/b"),
            ("coaps://[::1]:7000/a?x=1", true, "::1", 7000, "/a?x=1"),
            ("COAPS://192.0.2.1", true, "192.0.2.1", 5684, ""),
        ] {
            let expected = Place {
                is_secure,
                host,
                port,
                path,
            };
            assert_eq!(Place::of(uri), Ok(expected));
        }
        for uri in ["coap://", "coap://:1/a", "coap://[::1/a", "coap://h:x/a"] {
            assert!(Place::of(uri).is_err(), "{uri}");
        }
        let options = options("/binaries/a%20b%2Fc?token=%31&x#part");
        assert_eq!(options.uri_path(), Some(vec!["binaries", "a b/c"]));
        assert_eq!(options.uri_query(), Some(vec!["token=1", "x"]));
        assert_eq!(decoded("100%"), b"100%");
    }

    #[test]
    fn the_size_of_a_block_fits_its_place_and_what_both_ends_can() {
        let mut blocks = blocks();
        let size = |blocks: &Blocks, fetch| {
            let request = blocks.request(&fetch).expect("a block");
            request.block2.expect("a block").exponent.size()
        };
        assert_eq!(size(&blocks, fetch(0, 1024, 16_384)), 1024);
        assert_eq!(size(&blocks, fetch(3 * 1024, 1024, 16_384)), 1024);
        assert_eq!(size(&blocks, fetch(48, 1024, 16_384)), 16);
        assert_eq!(size(&blocks, fetch(0, 256, 100)), 64);
        assert!(blocks.request(&fetch(16 << 21, 1024, 16_384)).is_ok());
        assert!(
            blocks.request(&fetch(16 << 21, 16, 16_384)).is_err(),
            "20 bits"
        );
        let answer = content(Some((0, true, 128)), &[0; 128]);
        blocks
            .piece(&fetch(0, 1024, 16_384), answer)
            .expect("a piece");
        assert_eq!(size(&blocks, fetch(128, 1024, 16_384)), 128);
    }

    #[test]
    fn answers_are_pieces_or_say_what_is_wrong() {
        let at = |offset| fetch(offset, 1024, 16_384);
        let whole = blocks()
            .piece(&at(0), content(None, b"all"))
            .expect("a piece");
        let whole = whole.expect("a piece");
        assert_eq!((whole.total, whole.is_last), (Some(3), true));
        let last = content(Some((64, false, 64)), b"end");
        let last = blocks()
            .piece(&at(64), last)
            .expect("a piece")
            .expect("a piece");
        assert_eq!((last.offset, last.is_last, last.bytes.len()), (64, true, 3));
        for wrong in [
            content(Some((128, true, 64)), &[0; 64]),
            content(Some((64, true, 64)), &[0; 63]),
            Response::new(Code::SERVICE_UNAVAILABLE),
        ] {
            let error = blocks().piece(&at(64), wrong).expect_err("wrong");
            assert!(matches!(error, FetchError::ConnectionLost(_)), "{error}");
        }
        let missing = blocks().piece(&at(0), Response::refusal(Code::NOT_FOUND, "no"));
        assert!(matches!(missing, Err(FetchError::InvalidUri(text)) if text.contains("4.04 no")));
        let shorter = blocks().piece(&at(64), Response::new(Code::BAD_REQUEST));
        assert_eq!(shorter.expect("a piece").expect("a piece").offset, 0);
    }

    #[test]
    fn an_echo_is_shown_once() {
        let mut blocks = blocks();
        let mut asks = Response::new(Code::UNAUTHORIZED);
        asks.options.add(number::ECHO, b"who");
        let at = fetch(0, 1024, 16_384);
        assert_eq!(blocks.piece(&at, asks.clone()), Ok(None));
        let request = blocks.request(&at).expect("a block").request;
        assert_eq!(request.options.first(number::ECHO), Some(&b"who"[..]));
        assert!(blocks.piece(&at, asks).is_err());
    }
}
