//! What the server asks of the device (OMA-TS-LightweightM2M Core 6.3 and 8.2.3): which operation a
//! request is, and its answer.

use crate::coap::{Code, Request, Response, number};
use crate::domain::{ContentFormat, Lwm2mVersion, Node, Now, Path, Token, ValueType};
use crate::lwm2m::attributes::Attributes;
use crate::lwm2m::codec::{self, CodecError};
use crate::lwm2m::link_format;
use crate::lwm2m::register::Refusal;

use super::super::objects::Mode;
use super::Device;
use super::lifecycle::LINK_FORMAT;

impl Device {
    /// Carries out a request.
    pub(super) fn answer(&mut self, now: Now, token: Token, request: &Request) -> Response {
        self.operate(now, token, request)
            .unwrap_or_else(|refusal| Response::refusal(refusal.code, &refusal.reason))
    }

    fn operate(&mut self, now: Now, token: Token, request: &Request) -> Result<Response, Refusal> {
        let path = path_of(request)?;
        match request.code {
            Code::GET if request.options.accept() == Some(LINK_FORMAT) => self.discover(path),
            Code::GET => self.get(now, token, path, request),
            Code::PUT if request.payload.is_empty() && has_query(request) => {
                self.write_attributes(path, request)
            }
            Code::PUT => self.write(now, path, request, Mode::Replace),
            Code::POST if path.depth() == 1 => self.create(path, request),
            Code::POST if path.depth() == 3 && !self.is_partial_write(path, request) => {
                self.execute(path, request)
            }
            Code::POST => self.write(now, path, request, Mode::Update),
            Code::DELETE => {
                self.objects.delete(path)?;
                self.objects_changed();
                Ok(Response::new(Code::DELETED))
            }
            Code::FETCH if self.speaks(Lwm2mVersion::V1_1) && path == Path::ROOT => {
                self.fetch(now, token, request)
            }
            Code::IPATCH if self.speaks(Lwm2mVersion::V1_1) && path == Path::ROOT => {
                self.write_composite(now, request)
            }
            _ => Err(refusal(Code::METHOD_NOT_ALLOWED, "no such operation here")),
        }
    }

    /// Read, Observe (`Observe` 0) and Cancel Observation (1).
    fn get(
        &mut self,
        now: Now,
        token: Token,
        path: Path,
        request: &Request,
    ) -> Result<Response, Refusal> {
        if request.options.observe() == Some(1) {
            self.cancel_observation(token);
        }
        let mut response = self.read(path, accepted(request)?)?;
        if request.options.observe() == Some(0) {
            let attributes = self.attributes_of_request(path, request)?;
            let format = format_of(&response);
            if self.observe(now, token, vec![path], false, format, attributes) {
                response
                    .options
                    .set_uint(number::OBSERVE, self.next_sequence());
            }
        }
        Ok(response)
    }

    /// Read-Composite, Observe-Composite and the end of it.
    fn fetch(&mut self, now: Now, token: Token, request: &Request) -> Result<Response, Refusal> {
        let given = content_format(request)?;
        let paths = codec::decode_paths(given.code(), &request.payload).map_err(unreadable)?;
        if paths.is_empty() || paths.len() > MAX_PATHS {
            return Err(refusal(Code::BAD_REQUEST, "no paths, or too many"));
        }
        let format = accepted(request)?.unwrap_or(given);
        let mut response = self.read_composite(&paths, format)?;
        match request.options.observe() {
            Some(0) => {
                let attributes = self.attributes_of_request(Path::ROOT, request)?;
                if self.observe(now, token, paths, true, format, attributes) {
                    response
                        .options
                        .set_uint(number::OBSERVE, self.next_sequence());
                }
            }
            Some(1) => self.cancel_observation(token),
            _ if paths
                .iter()
                .all(|path| self.objects.collect(*path).is_empty()) =>
            {
                return Err(refusal(Code::NOT_FOUND, "there is none of these paths"));
            }
            _ => {}
        }
        Ok(response)
    }

    /// What lies at one path, in the format that is accepted or else the one that suits it.
    pub(super) fn read(
        &self,
        path: Path,
        accepted: Option<ContentFormat>,
    ) -> Result<Response, Refusal> {
        let nodes = self.objects.read(path)?;
        let format = accepted.unwrap_or_else(|| self.natural_format(path, &nodes));
        self.content(format, path, &nodes)
    }

    /// What lies at several paths; what does not exist or cannot be read is left out.
    pub(super) fn read_composite(
        &self,
        paths: &[Path],
        format: ContentFormat,
    ) -> Result<Response, Refusal> {
        if !matches!(format, ContentFormat::SenmlCbor | ContentFormat::SenmlJson) {
            return Err(refusal(Code::NOT_ACCEPTABLE, "composites are SenML"));
        }
        let mut nodes: Vec<Node> = paths
            .iter()
            .flat_map(|path| self.objects.collect(*path))
            .collect();
        nodes.sort_by_key(|node| node.path);
        nodes.dedup_by_key(|node| node.path);
        self.content(format, Path::ROOT, &nodes)
    }

    fn content(
        &self,
        format: ContentFormat,
        base: Path,
        nodes: &[Node],
    ) -> Result<Response, Refusal> {
        let holds_one = match format {
            ContentFormat::Cbor | ContentFormat::Text => true,
            ContentFormat::Opaque => {
                if nodes
                    .iter()
                    .any(|node| node.value.value_type() != ValueType::Opaque)
                {
                    return Err(refusal(Code::NOT_ACCEPTABLE, "this is not opaque"));
                }
                true
            }
            _ => false,
        };
        if holds_one && !matches!(nodes, [node] if node.path == base) {
            return Err(refusal(
                Code::NOT_ACCEPTABLE,
                "the format holds one value only",
            ));
        }
        let known = self.settings.formats().contains(&format.code());
        let payload = match codec::encode(format, base, nodes, self.objects.view()) {
            Ok(payload) if known => payload,
            _ => {
                return Err(refusal(
                    Code::NOT_ACCEPTABLE,
                    "not available in this format",
                ));
            }
        };
        let mut response = Response::new(Code::CONTENT);
        response
            .options
            .add_uint(number::CONTENT_FORMAT, format.code().into());
        response.payload = payload;
        Ok(response)
    }

    fn natural_format(&self, path: Path, nodes: &[Node]) -> ContentFormat {
        if self.speaks(Lwm2mVersion::V1_1) {
            return ContentFormat::SenmlCbor;
        }
        match nodes {
            [node] if node.path == path && node.value.value_type() == ValueType::Opaque => {
                ContentFormat::Opaque
            }
            [node] if node.path == path => ContentFormat::Text,
            _ => ContentFormat::Tlv,
        }
    }

    fn discover(&self, path: Path) -> Result<Response, Refusal> {
        let links = self.objects.discover(path)?;
        let mut response = Response::new(Code::CONTENT);
        response
            .options
            .add_uint(number::CONTENT_FORMAT, LINK_FORMAT.into());
        response.payload = link_format::write(&links).into_bytes();
        Ok(response)
    }

    fn write(
        &mut self,
        now: Now,
        path: Path,
        request: &Request,
        mode: Mode,
    ) -> Result<Response, Refusal> {
        // Whether there is such a thing comes before what its body says.
        self.objects.may_write(path)?;
        let nodes = self.nodes(path, request)?;
        let changed: Vec<Path> = nodes.iter().map(|node| node.path).collect();
        self.objects.write(path, nodes, mode)?;
        self.react(now, &changed);
        Ok(Response::new(Code::CHANGED))
    }

    fn write_composite(&mut self, now: Now, request: &Request) -> Result<Response, Refusal> {
        let format = content_format(request)?;
        if !matches!(format, ContentFormat::SenmlCbor | ContentFormat::SenmlJson) {
            return Err(refusal(
                Code::UNSUPPORTED_CONTENT_FORMAT,
                "composites are SenML",
            ));
        }
        let nodes = self.nodes(Path::ROOT, request)?;
        let changed: Vec<Path> = nodes.iter().map(|node| node.path).collect();
        self.objects.write_composite(nodes)?;
        self.react(now, &changed);
        Ok(Response::new(Code::CHANGED))
    }

    fn write_attributes(&mut self, path: Path, request: &Request) -> Result<Response, Refusal> {
        let changes = attributes_in(request)?;
        self.objects.write_attributes(path, &changes)?;
        Ok(Response::new(Code::CHANGED))
    }

    /// Attributes in an Observe itself, since 1.2.
    fn attributes_of_request(&self, path: Path, request: &Request) -> Result<Attributes, Refusal> {
        let mut attributes = Attributes::default();
        if !self.speaks(Lwm2mVersion::V1_2) {
            return Ok(attributes);
        }
        for (name, value) in attributes_in(request)? {
            attributes
                .set(&name, value.as_deref())
                .map_err(|error| refusal(Code::BAD_REQUEST, &error.to_string()))?;
        }
        attributes
            .inherit(&self.objects.effective(path))
            .check()
            .map_err(|error| refusal(Code::BAD_REQUEST, &error.to_string()))?;
        Ok(attributes)
    }

    fn create(&mut self, path: Path, request: &Request) -> Result<Response, Refusal> {
        let object = path.object_id().unwrap_or_default();
        self.objects.may_create(path)?;
        let format = match content_format(request) {
            Err(_) if request.payload.is_empty() => ContentFormat::Tlv,
            format => format?,
        };
        let body =
            codec::decode_create(format.code(), object, &request.payload, self.objects.view())
                .map_err(unreadable)?;
        let chosen_here = body.instances.is_empty();
        let made = self.objects.create(object, body)?;
        self.objects_changed();
        let mut response = Response::new(Code::CREATED);
        if let (true, Some(path)) = (chosen_here, made.first()) {
            for id in path.ids() {
                response
                    .options
                    .add(number::LOCATION_PATH, id.to_string().as_bytes());
            }
        }
        Ok(response)
    }

    fn execute(&mut self, path: Path, request: &Request) -> Result<Response, Refusal> {
        self.objects.executable(path)?;
        if !request.payload.is_empty() {
            let format = request.options.content_format().unwrap_or(TEXT);
            if format != TEXT {
                return Err(refusal(
                    Code::UNSUPPORTED_CONTENT_FORMAT,
                    "arguments are text",
                ));
            }
            let arguments = std::str::from_utf8(&request.payload).unwrap_or("?");
            if !are_arguments(arguments) {
                return Err(refusal(Code::BAD_REQUEST, "these are no arguments"));
            }
        }
        match path.ids() {
            [1, _, 8] => self.update_wanted = true,
            [3, _, 4] => self.reboot_wanted = true,
            // 3/0/12: no error has happened, so there is none to reset.
            [3, _, 12] => {}
            [5, _, 2] => {
                return Err(refusal(
                    Code::METHOD_NOT_ALLOWED,
                    "nothing has been downloaded",
                ));
            }
            [object, _, 5605] => self.environment.reset_extremes(&mut self.objects, *object),
            _ => return Err(refusal(Code::METHOD_NOT_ALLOWED, "nothing to execute here")),
        }
        Ok(Response::new(Code::CHANGED))
    }

    /// A POST on a resource is an Execute, unless it brings instances of a multiple resource.
    fn is_partial_write(&self, path: Path, request: &Request) -> bool {
        let structured = request
            .options
            .content_format()
            .is_some_and(|format| format != TEXT);
        structured && self.objects.executable(path).is_err() && self.objects.may_write(path).is_ok()
    }

    fn nodes(&self, base: Path, request: &Request) -> Result<Vec<Node>, Refusal> {
        let format = content_format(request)?;
        codec::decode(format.code(), base, &request.payload, self.objects.view())
            .map_err(unreadable)
    }

    /// The server learns of new and gone instances by an Update.
    fn objects_changed(&mut self) {
        self.announce.objects = true;
        self.update_wanted = true;
    }
}

fn path_of(request: &Request) -> Result<Path, Refusal> {
    let unknown = || refusal(Code::NOT_FOUND, "there is nothing here");
    let segments = request.options.uri_path().ok_or_else(unknown)?;
    let text = segments.join("/");
    if text.is_empty() {
        return Ok(Path::ROOT);
    }
    text.parse().map_err(|_| unknown())
}

fn has_query(request: &Request) -> bool {
    request.options.first(number::URI_QUERY).is_some()
}

/// The format of the answer, if the server asks for a certain one.
fn accepted(request: &Request) -> Result<Option<ContentFormat>, Refusal> {
    let Some(code) = request.options.accept() else {
        return Ok(None);
    };
    match ContentFormat::from_code(code) {
        Some(format) => Ok(Some(format)),
        None => Err(refusal(Code::NOT_ACCEPTABLE, "this format is unknown")),
    }
}

/// The format of the body; text when it does not say.
fn content_format(request: &Request) -> Result<ContentFormat, Refusal> {
    let code = request.options.content_format().unwrap_or(TEXT);
    ContentFormat::from_code(code)
        .ok_or_else(|| refusal(Code::UNSUPPORTED_CONTENT_FORMAT, "this format is unknown"))
}

fn format_of(response: &Response) -> ContentFormat {
    response
        .options
        .content_format()
        .and_then(ContentFormat::from_code)
        .unwrap_or(ContentFormat::Text)
}

fn attributes_in(request: &Request) -> Result<Vec<(String, Option<String>)>, Refusal> {
    let query = request
        .options
        .uri_query()
        .ok_or_else(|| refusal(Code::BAD_REQUEST, "the query is no text"))?;
    let split = |part: &str| match part.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (part.to_owned(), None),
    };
    Ok(query.into_iter().map(split).collect())
}

/// `0='text',3` (Core 7.4.1 and 6.3.5): digits, each with or without a quoted value.
fn are_arguments(text: &str) -> bool {
    let mut rest = text;
    loop {
        let Some(after) = rest.strip_prefix(|digit: char| digit.is_ascii_digit()) else {
            return false;
        };
        rest = after;
        if let Some(quoted) = rest.strip_prefix("='") {
            let Some((_, after)) = quoted.split_once('\'') else {
                return false;
            };
            rest = after;
        }
        if rest.is_empty() {
            return true;
        }
        let Some(after) = rest.strip_prefix(',') else {
            return false;
        };
        rest = after;
    }
}

fn unreadable(error: CodecError) -> Refusal {
    let code = match error {
        CodecError::UnsupportedFormat(_) => Code::UNSUPPORTED_CONTENT_FORMAT,
        _ => Code::BAD_REQUEST,
    };
    refusal(code, &error.to_string())
}

fn refusal(code: Code, reason: &str) -> Refusal {
    Refusal::new(code, reason)
}

/// `text/plain`
const TEXT: u16 = 0;
/// Paths of one composite request.
const MAX_PATHS: usize = 100;
