//! Messages that are told together: put together once for everybody, and written once.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytestring::ByteString;

use crate::domain::{EndpointName, LiveBody, LiveEvent, Path, Topic};

use super::message::{Fact, Message};

/// Messages of some moments, oldest first: at least one, of each path of a device one value at most, and of each rollout and
/// bulk operation one.
#[derive(Debug)]
pub struct Batch {
    messages: Vec<Arc<Message>>,
    text: OnceLock<ByteString>,
}

impl Batch {
    /// Nothing when there are no messages.
    pub(super) fn of(messages: Vec<Arc<Message>>) -> Option<Self> {
        (!messages.is_empty()).then(|| Self {
            messages,
            text: OnceLock::new(),
        })
    }

    /// What is in it.
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// The number of the newest message.
    pub(super) fn last_seq(&self) -> u64 {
        self.messages.last().map_or(0, |message| message.seq)
    }

    /// A JSON array of the messages. Made once, for whoever asks first; copies share it.
    pub fn text(&self) -> ByteString {
        let made = self.text.get_or_init(|| {
            let mut text = String::from("[");
            for message in &self.messages {
                if text.len() > 1 {
                    text.push(',');
                }
                text.push_str(message.text());
            }
            text.push(']');
            text.into()
        });
        made.clone()
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.messages == other.messages
    }
}

/// The batch that comes next.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Without those that a newer value has taken the place of.
    messages: Vec<Option<Arc<Message>>>,
    /// Where the newest value of each path is.
    newest: HashMap<Key, usize>,
    /// When it ends; nothing while it is empty.
    due: Option<Instant>,
    limit: usize,
}

/// What only the newest message is told of.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    /// What a topic's state is now.
    News(Topic),
    /// The value of a path.
    Value(EndpointName, Path),
}

impl Gathering {
    /// Of at most so many messages.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            messages: Vec::new(),
            newest: HashMap::new(),
            due: None,
            limit,
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_full(&self) -> bool {
        self.messages.len() >= self.limit
    }

    /// Adds a message. The first one says when the batch ends. True when it took the place of an older one.
    pub(super) fn add(&mut self, message: &Arc<Message>, due: Instant) -> bool {
        self.due.get_or_insert(due);
        let at = self.messages.len();
        self.messages.push(Some(message.clone()));
        let key = match message.fact() {
            Fact::Device(LiveEvent {
                endpoint,
                body: LiveBody::Resource { path, .. },
                ..
            }) => Key::Value(endpoint.clone(), *path),
            Fact::Device(_) => return false,
            Fact::News(news) => Key::News(news.topic.clone()),
        };
        let older = self.newest.insert(key, at);
        let older = older.and_then(|at| self.messages.get_mut(at));
        older.is_some_and(|older| older.take().is_some())
    }

    /// Ends it.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.due = None;
        self.newest.clear();
        let messages = std::mem::take(&mut self.messages);
        Batch::of(messages.into_iter().flatten().collect())
    }
}
