//! What the server asks of the device (OMA-TS-LightweightM2M Core 6.3 and 8.2.3): which operation a
//! request is, and its answer.

use std::collections::VecDeque;

use crate::coap::{Code, Request, Response, number};
use crate::domain::{ContentFormat, Lwm2mVersion, Node, Now, Path, Token, Value, ValueType};
use crate::lwm2m::attributes::Attributes;
use crate::lwm2m::codec::{self, CodecError};
use crate::lwm2m::link_format;
use crate::lwm2m::register::Refusal;

use super::super::objects::{Mode, event_log, test_object};
use super::lifecycle::LINK_FORMAT;
use super::observe::with_records;
use super::{Device, Output, Sending, firmware};

impl Device {
    /// Carries out a request; nothing: it is not answered.
    pub(super) fn answer(
        &mut self,
        now: Now,
        token: Token,
        request: &Request,
        outputs: &mut Vec<Output>,
    ) -> Option<Response> {
        let is_block = request.options.first(number::BLOCK1).is_some();
        let has_firmware = self.settings.firmware.is_some();
        if is_block
            && has_firmware
            && request.code == Code::PUT
            && path_of(request).is_ok_and(|path| path == firmware::PACKAGE)
        {
            return self.push_block(now, request, outputs);
        }
        let response = self
            .operate(now, token, request)
            .unwrap_or_else(|refusal| Response::refusal(refusal.code, &refusal.reason));
        Some(response)
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
                self.execute(now, path, request)
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
        let mut response = self.read(path, accepted(request)?, &VecDeque::new())?;
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
        let given = self.content_format(request)?;
        let paths = codec::decode_paths(given.code(), &request.payload).map_err(unreadable)?;
        if paths.is_empty() || paths.len() > MAX_PATHS {
            return Err(refusal(Code::BAD_REQUEST, "no paths, or too many"));
        }
        let format = accepted(request)?.unwrap_or_else(|| given.of_answers());
        let mut response = self.read_composite(&paths, format, &VecDeque::new())?;
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
    /// `records` come in the place of the values that they are about, where the format can say when
    /// they were measured.
    pub(super) fn read(
        &self,
        path: Path,
        accepted: Option<ContentFormat>,
        records: &VecDeque<Node>,
    ) -> Result<Response, Refusal> {
        let nodes = self.objects.read(path)?;
        let format = accepted.unwrap_or_else(|| self.natural_format(path, &nodes));
        self.told(format, path, nodes, records)
    }

    /// What lies at several paths; what does not exist or cannot be read is left out.
    pub(super) fn read_composite(
        &self,
        paths: &[Path],
        format: ContentFormat,
        records: &VecDeque<Node>,
    ) -> Result<Response, Refusal> {
        if !is_for_composites(format) {
            return Err(refusal(Code::NOT_ACCEPTABLE, "no format for composites"));
        }
        let nodes = self.objects.collect_all(paths);
        self.told(format, Path::ROOT, nodes, records)
    }

    fn told(
        &self,
        format: ContentFormat,
        base: Path,
        nodes: Vec<Node>,
        records: &VecDeque<Node>,
    ) -> Result<Response, Refusal> {
        let quirks = &self.settings.quirks;
        if let Some(path) = quirks.stray_path {
            let stray = [Node::new(path, Value::Integer(1))];
            return self.content(format, Path::ROOT, &stray);
        }
        if let Some(length) = quirks.body_bytes {
            // As text, whatever was asked for: that is what a device does that went astray.
            let mut response = Response::new(Code::CONTENT);
            response
                .options
                .add_uint(number::CONTENT_FORMAT, TEXT.into());
            response.payload = vec![b'x'; length];
            return Ok(response);
        }
        let carries_times = matches!(
            format,
            ContentFormat::Json | ContentFormat::SenmlCbor | ContentFormat::SenmlJson
        );
        let nodes = match carries_times && !records.is_empty() {
            true => with_records(nodes, records),
            false => nodes,
        };
        self.content(format, base, &nodes)
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
        // What is for requests alone answers nothing.
        let known = self.knows(format) && !format.is_etch();
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

    /// Whether it reads and writes a format: what it announces, and does not refuse all the same.
    fn knows(&self, format: ContentFormat) -> bool {
        let code = format.code();
        self.settings.formats().contains(&code)
            && !self.settings.quirks.refused_formats.contains(&code)
    }

    /// The format of a body that it can read; text when it does not say.
    fn content_format(&self, request: &Request) -> Result<ContentFormat, Refusal> {
        let code = request.options.content_format().unwrap_or(TEXT);
        ContentFormat::from_code(code)
            .filter(|format| self.knows(*format))
            .ok_or_else(|| {
                refusal(
                    Code::UNSUPPORTED_CONTENT_FORMAT,
                    "this format cannot be read",
                )
            })
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
        self.check_firmware(&nodes)?;
        let changed: Vec<Path> = nodes.iter().map(|node| node.path).collect();
        let package = package_in(&nodes);
        self.objects.write(path, nodes, mode)?;
        self.react(now, &changed);
        if let Some(package) = package {
            self.package_written(now, &package)?;
        }
        Ok(Response::new(Code::CHANGED))
    }

    fn write_composite(&mut self, now: Now, request: &Request) -> Result<Response, Refusal> {
        let format = self.content_format(request)?;
        if !format.is_composite() {
            return Err(refusal(
                Code::UNSUPPORTED_CONTENT_FORMAT,
                "no format for composites",
            ));
        }
        let changes = codec::decode_changes(format.code(), &request.payload, self.objects.view())
            .map_err(unreadable)?;
        if !changes.removed.is_empty() && !self.speaks(Lwm2mVersion::V1_2) {
            return Err(refusal(Code::BAD_REQUEST, "nothing can be removed here"));
        }
        self.check_firmware(&changes.nodes)?;
        let package = package_in(&changes.nodes);
        let written = changes.nodes.iter().map(|node| node.path);
        let changed: Vec<Path> = written.chain(changes.removed.iter().copied()).collect();
        self.objects.write_composite(changes)?;
        self.react(now, &changed);
        if let Some(package) = package {
            self.package_written(now, &package)?;
        }
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
        let format = match request.payload.is_empty() {
            true => ContentFormat::Tlv,
            false => self.plain_format(request)?,
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

    fn execute(&mut self, now: Now, path: Path, request: &Request) -> Result<Response, Refusal> {
        self.objects.executable(path)?;
        let mut arguments = Vec::new();
        if !request.payload.is_empty() {
            let format = request.options.content_format().unwrap_or(TEXT);
            if format != TEXT {
                return Err(refusal(
                    Code::UNSUPPORTED_CONTENT_FORMAT,
                    "arguments are text",
                ));
            }
            let text = std::str::from_utf8(&request.payload).unwrap_or("?");
            arguments = arguments_in(text)
                .ok_or_else(|| refusal(Code::BAD_REQUEST, "these are no arguments"))?;
        }
        let first = arguments
            .iter()
            .find(|(digit, _)| *digit == 0)
            .and_then(|(_, value)| value.as_deref());
        let objects = &mut self.objects;
        match path.ids() {
            [1, _, 4] => self.disable_wanted = true,
            [1, _, 8] => self.update_wanted = true,
            [3, _, 4] => self.reboot_wanted = true,
            [3, _, 5] => {
                self.reboot_wanted = true;
                self.reset_wanted = true;
            }
            [3, _, 12] => objects.reset_errors(),
            [5, _, 2] => self.begin_update(now)?,
            [5, _, 10] => self.cancel_update(now)?,
            [20, _, 4011] => event_log::start(objects, first),
            [20, _, 4012] => event_log::stop(objects, first),
            [3442, instance, 0] => test_object::reset(objects, *instance),
            [3442, instance, 1] => self.environment.randomize(objects, *instance),
            [3442, instance, 2] => test_object::clear(objects, *instance),
            [3442, instance, 3] => test_object::keep_arguments(objects, *instance, &arguments),
            [3442, instance, 5] => {
                let paths = test_object::to_send(objects, *instance);
                self.want_to_send(Sending::Paths(paths));
            }
            [object, _, 5605] => self.environment.reset_extremes(objects, *object),
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
        let format = self.plain_format(request)?;
        codec::decode(format.code(), base, &request.payload, self.objects.view())
            .map_err(unreadable)
    }

    /// The format of a body that is no composite.
    fn plain_format(&self, request: &Request) -> Result<ContentFormat, Refusal> {
        let format = self.content_format(request)?;
        if format.is_etch() {
            let reason = "this format is for composites";
            return Err(refusal(Code::UNSUPPORTED_CONTENT_FORMAT, reason));
        }
        Ok(format)
    }

    /// The server learns of new and gone instances by an Update.
    pub(super) fn objects_changed(&mut self) {
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

/// 5/0/0, which is not kept.
fn package_in(nodes: &[Node]) -> Option<Vec<u8>> {
    let package = nodes.iter().find(|node| node.path == firmware::PACKAGE)?;
    match &package.value {
        Value::Opaque(bytes) => Some(bytes.clone()),
        _ => None,
    }
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

fn is_for_composites(format: ContentFormat) -> bool {
    format.is_composite() && !format.is_etch()
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
fn arguments_in(text: &str) -> Option<Vec<(u8, Option<String>)>> {
    let mut arguments = Vec::new();
    let mut rest = text;
    loop {
        let digit = rest.bytes().next().filter(u8::is_ascii_digit)?;
        rest = rest.get(1..)?;
        let mut value = None;
        if let Some(quoted) = rest.strip_prefix("='") {
            let (inner, after) = quoted.split_once('\'')?;
            value = Some(inner.to_owned());
            rest = after;
        }
        arguments.push((digit - b'0', value));
        if rest.is_empty() {
            return Some(arguments);
        }
        rest = rest.strip_prefix(',')?;
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
