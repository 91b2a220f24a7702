//! Images that devices fetch block by block.

use std::io;
use std::sync::{Condvar, Mutex, PoisonError};

use rstest::rstest;

use crate::coap::{Block, Exponent};
use crate::domain::{FirmwareId, FirmwareImage, ImageBytes, Selection, Timestamp};
use crate::store::{FirmwareShelf, Shelved};

use super::*;

/// Images in memory.
#[derive(Default)]
pub(super) struct MemoryShelf(Mutex<HashMap<String, Shelved>>);

#[derive(Debug, Default)]
struct MemoryBytes {
    bytes: Vec<u8>,
    /// So many of them cannot be had.
    missing: usize,
    is_broken: bool,
    /// True while every read has to wait.
    waits: Mutex<bool>,
    goes_on: Condvar,
}

impl ImageBytes for MemoryBytes {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn tag(&self) -> [u8; 8] {
        let sum = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
        self.bytes.iter().fold(7, sum).to_be_bytes()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        while *waits {
            waits = self
                .goes_on
                .wait(waits)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if self.is_broken {
            return Err(io::Error::other("bad sector"));
        }
        let there = &self.bytes[..self.bytes.len() - self.missing];
        let rest = there.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

impl FirmwareShelf for MemoryShelf {
    fn image(&self, id: FirmwareId) -> Option<Shelved> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.values().find(|one| one.image.id == id).cloned()
    }

    fn named(&self, path: &str) -> Option<Shelved> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.get(path).cloned()
    }
}

impl MemoryShelf {
    /// Puts an image there, in the place of one of the same path.
    fn put(&self, path: &str, bytes: MemoryBytes) -> Arc<MemoryBytes> {
        let bytes = Arc::new(bytes);
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let image = FirmwareImage {
            id: FirmwareId(images.len() as i64 + 1),
            version: "1".into(),
            name: path.into(),
            key: String::new(),
            sha256: String::new(),
            size: bytes.size(),
            notes: String::new(),
            selection: Selection::default(),
            created_at: Timestamp::system(),
            created_by: "ada".into(),
        };
        let shelved = Shelved {
            image: Arc::new(image),
            bytes: Arc::<MemoryBytes>::clone(&bytes),
        };
        images.insert(path.to_owned(), shelved);
        bytes
    }
}

fn body(seed: u8, length: usize) -> MemoryBytes {
    let byte = |at: usize| (at as u8).wrapping_mul(seed).wrapping_add((at >> 8) as u8);
    MemoryBytes {
        bytes: (0..length).map(byte).collect(),
        ..MemoryBytes::default()
    }
}

impl House {
    /// A request for a block of `/binaries/v1.bin`, with another option if there is one.
    fn get(&mut self, block: Option<(u32, usize)>, more: Option<(u16, &[u8])>) -> Message {
        self.next_message_id += 1;
        let mut options = Options::new();
        options.add_uri_path("/binaries/v1.bin");
        if let Some((number, value)) = more {
            options.add(number, value);
        }
        if let Some((number, size)) = block {
            let block = Block::new(number, false, Exponent::at_most(size)).expect("a block");
            block.set(&mut options, number::BLOCK2);
        }
        Message {
            kind: MessageType::Confirmable,
            code: Code::GET,
            message_id: self.next_message_id,
            token: Token::from([1; 8]),
            options,
            payload: Vec::new(),
        }
    }

    async fn ask(&mut self, request: Message) -> Message {
        self.deliver(&request).await;
        let answer = self.answer().await;
        assert_eq!(answer.message_id, request.message_id);
        answer
    }

    async fn block(&mut self, number: u32, size: usize) -> Message {
        let request = self.get(Some((number, size)), None);
        self.ask(request).await
    }
}

fn block_of(message: &Message) -> (u32, bool, usize) {
    let block = Block::of(&message.options, number::BLOCK2)
        .expect("valid")
        .expect("a Block2");
    (block.number(), block.more, block.exponent.size())
}

#[rstest]
#[case::in_the_largest(1024, 1024)]
#[case::in_small_ones(64, 64)]
#[case::in_the_smallest(16, 16)]
#[actix_rt::test]
async fn an_image_comes_in_blocks_of_the_size_that_is_asked_for(
    #[case] asked: usize,
    #[case] size: usize,
) {
    let mut house = House::new(|_| {}).await;
    let image = house.shelf.put("v1.bin", body(3, 5_000));
    let mut fetched = Vec::new();
    loop {
        let number = (fetched.len() / size) as u32;
        let answer = house.block(number, asked).await;
        assert_eq!(answer.code, Code::CONTENT);
        let more = fetched.len() + size < 5_000;
        assert_eq!(block_of(&answer), (number, more, size));
        assert_eq!(
            answer.options.first(number::ETAG),
            Some(image.tag().as_slice())
        );
        assert_eq!(answer.options.content_format(), Some(42));
        let size2 = (number == 0).then_some(5_000);
        assert_eq!(answer.options.uint(number::SIZE2), size2);
        fetched.extend_from_slice(&answer.payload);
        if !more {
            break;
        }
    }
    assert_eq!(fetched, image.bytes);
    assert_eq!(house.metrics.image_bytes.get(), 5_000);
}

#[actix_rt::test]
async fn who_names_no_block_gets_blocks_as_the_settings_have_them_and_a_small_image_in_one() {
    let mut house = House::new(|settings| settings.coap.block_size_bytes = 256).await;
    house.shelf.put("v1.bin", body(3, 5_000));
    let first = house.get(None, None);
    let first = house.ask(first).await;
    assert_eq!(block_of(&first), (0, true, 256));
    let last = house.block(19, 256).await;
    assert_eq!(block_of(&last), (19, false, 256));
    assert_eq!(last.payload.len(), 5_000 - 19 * 256);
    let image = house.shelf.put("v1.bin", body(3, 200));
    let whole = house.get(None, None);
    let whole = house.ask(whole).await;
    assert_eq!(whole.payload, image.bytes);
    assert_eq!(whole.options.first(number::BLOCK2), None);
}

#[actix_rt::test]
async fn any_block_can_be_asked_for_at_any_time_and_again() {
    let mut house = House::new(|_| {}).await;
    let image = house.shelf.put("v1.bin", body(3, 5_000));
    for number in [4, 0, 2, 2, 4, 1] {
        let answer = house.block(number, 1024).await;
        let from = number as usize * 1024;
        let expected = &image.bytes[from..(from + 1024).min(5_000)];
        assert_eq!(answer.payload, expected);
    }
    // A copy of the same message too: it is read anew.
    let request = house.get(Some((1, 1024)), None);
    let first = house.ask(request.clone()).await;
    assert_eq!(house.ask(request).await, first);
    let behind = house.block(5, 1024).await;
    assert_eq!(behind.code, Code::BAD_REQUEST);
}

#[actix_rt::test]
async fn blocks_of_two_images_under_one_name_have_two_tags() {
    let mut house = House::new(|_| {}).await;
    let old = house.shelf.put("v1.bin", body(3, 5_000));
    let first = house.block(0, 1024).await;
    let new = house.shelf.put("v1.bin", body(5, 5_000));
    let second = house.block(1, 1024).await;
    assert_eq!(first.options.first(number::ETAG), Some(&old.tag()[..]));
    assert_eq!(second.options.first(number::ETAG), Some(&new.tag()[..]));
    assert_eq!(second.payload, new.bytes[1024..2048]);
    // Who says which one it wants gets nothing of the other.
    for (tag, code) in [
        (old.tag(), Code::PRECONDITION_FAILED),
        (new.tag(), Code::CONTENT),
    ] {
        let request = house.get(Some((2, 1024)), Some((number::IF_MATCH, &tag)));
        assert_eq!(house.ask(request).await.code, code);
    }
}

#[actix_rt::test]
async fn who_has_the_image_already_need_not_fetch_it() {
    let mut house = House::new(|_| {}).await;
    let image = house.shelf.put("v1.bin", body(3, 5_000));
    for block in [None, Some((0, 64))] {
        let request = house.get(block, Some((number::ETAG, &image.tag())));
        let answer = house.ask(request).await;
        assert_eq!((answer.code, answer.payload.len()), (Code::VALID, 0));
        assert_eq!(answer.options.first(number::ETAG), Some(&image.tag()[..]));
        assert_eq!(answer.options.first(number::BLOCK2), None);
    }
    // A block in the middle is what it is asked for.
    let request = house.get(Some((1, 64)), Some((number::ETAG, &image.tag())));
    assert_eq!(house.ask(request).await.payload, image.bytes[64..128]);
    let request = house.get(None, Some((number::ETAG, b"another")));
    assert_eq!(house.ask(request).await.code, Code::CONTENT);
}

#[rstest]
#[case::nothing_else(0, b"", Code::CONTENT)]
#[case::a_query(number::URI_QUERY, b"device=7", Code::CONTENT)]
#[case::accept_of_its_format(number::ACCEPT, &[42], Code::CONTENT)]
#[case::accept_of_text(number::ACCEPT, b"", Code::NOT_ACCEPTABLE)]
#[case::accept_of_cbor(number::ACCEPT, &[60], Code::NOT_ACCEPTABLE)]
#[case::any_image_will_do(number::IF_MATCH, b"", Code::CONTENT)]
#[case::only_another_image_will_do(number::IF_MATCH, b"another", Code::PRECONDITION_FAILED)]
#[case::only_none_will_do(number::IF_NONE_MATCH, b"", Code::PRECONDITION_FAILED)]
#[case::an_observation(number::OBSERVE, b"", Code::CONTENT)]
#[case::the_reserved_size(number::BLOCK2, &[7], Code::BAD_REQUEST)]
#[case::an_option_of_the_future(65_001, b"", Code::BAD_OPTION)]
#[actix_rt::test]
async fn options_mean_what_they_say(#[case] number: u16, #[case] value: &[u8], #[case] code: Code) {
    let mut house = House::new(|_| {}).await;
    house.shelf.put("v1.bin", body(3, 100));
    let option = (number > 0).then_some((number, value));
    let request = house.get(None, option);
    let answer = house.ask(request).await;
    assert_eq!(answer.code, code);
    assert_eq!(answer.options.observe(), None);
}

#[rstest]
#[case::another_name(Code::GET, "binaries/v2.bin", Code::NOT_FOUND)]
#[case::no_name(Code::GET, "binaries", Code::NOT_FOUND)]
#[case::a_key_and_a_name(Code::GET, "binaries/key/v3.bin", Code::CONTENT)]
#[case::too_deep(Code::GET, "binaries/key/v3.bin/v3.bin", Code::NOT_FOUND)]
#[case::above(Code::GET, "binaries/../v1.bin", Code::NOT_FOUND)]
#[case::elsewhere(Code::GET, "v1.bin", Code::NOT_FOUND)]
#[case::written(Code::PUT, "binaries/v1.bin", Code::METHOD_NOT_ALLOWED)]
#[case::removed(Code::DELETE, "binaries/v1.bin", Code::METHOD_NOT_ALLOWED)]
#[case::posted(Code::POST, "binaries/key/v3.bin", Code::METHOD_NOT_ALLOWED)]
#[case::fetched(Code::FETCH, "binaries/v1.bin", Code::METHOD_NOT_ALLOWED)]
#[actix_rt::test]
async fn other_paths_and_methods_are_refused(
    #[case] method: Code,
    #[case] path: &str,
    #[case] code: Code,
) {
    let mut house = House::new(|_| {}).await;
    house.shelf.put("v1.bin", body(3, 100));
    house.shelf.put("key/v3.bin", body(3, 100));
    house.send(method, path, "", b"").await;
    assert_eq!(house.answer().await.code, code);
}

#[actix_rt::test]
async fn a_slash_in_a_segment_is_no_slash_between_two() {
    let mut house = House::new(|_| {}).await;
    house.shelf.put("key/v3.bin", body(3, 100));
    let mut request = house.get(None, None);
    request.options.remove(number::URI_PATH);
    request.options.add(number::URI_PATH, b"binaries");
    request.options.add(number::URI_PATH, b"key/v3.bin");
    assert_eq!(house.ask(request).await.code, Code::NOT_FOUND);
}

#[actix_rt::test]
async fn a_file_that_cannot_be_read_is_an_error_of_ours() {
    let mut house = House::new(|_| {}).await;
    let broken = MemoryBytes {
        is_broken: true,
        ..body(3, 5_000)
    };
    house.shelf.put("v1.bin", broken);
    let answer = house.block(1, 1024).await;
    assert_eq!(answer.code, Code::INTERNAL_SERVER_ERROR);
    let short = MemoryBytes {
        missing: 10,
        ..body(3, 5_000)
    };
    house.shelf.put("v1.bin", short);
    assert_eq!(house.block(1, 1024).await.code, Code::CONTENT);
    let answer = house.block(4, 1024).await;
    assert_eq!(answer.code, Code::INTERNAL_SERVER_ERROR);
}

#[actix_rt::test]
async fn a_disk_that_hangs_holds_up_nobody_but_those_who_read_from_it() {
    let mut house = House::new(|_| {}).await;
    let hanging = MemoryBytes {
        waits: Mutex::new(true),
        ..body(3, 5_000)
    };
    let image = house.shelf.put("v1.bin", hanging);
    let wanted = [0, 1, 2].map(|number| house.get(Some((number, 1024)), None));
    for request in &wanted {
        house.deliver(request).await;
    }
    house.register().await;
    // A copy of what is being read is no second request.
    house.deliver(&wanted[1]).await;
    *image.waits.lock().unwrap_or_else(PoisonError::into_inner) = false;
    image.goes_on.notify_all();
    for request in &wanted {
        let answer = house.answer().await;
        assert_eq!(answer.message_id, request.message_id);
        assert_eq!(answer.payload.len(), 1024);
    }
    house.register().await;
}
