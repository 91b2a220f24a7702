//! Tells live connections that somebody's rights may have changed, so that they look at once.
//!
//! What another process changes (the command line) they find by themselves within seconds.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// News that wait for a connection; one that is further behind looks without knowing whose they are.
const CAPACITY: usize = 64;

/// Where rights change, and who listens.
#[derive(Clone, Debug)]
pub struct AccessSignal(broadcast::Sender<Affected>);

/// Whose rights may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affected {
    /// Those of one person, by login name.
    Person(String),
    /// Those of a token.
    Tokens,
}

/// A connection's ear.
#[derive(Debug)]
pub struct AccessNews(broadcast::Receiver<Affected>);

impl Default for AccessSignal {
    fn default() -> Self {
        Self(broadcast::channel(CAPACITY).0)
    }
}

impl AccessSignal {
    /// Something of this person has changed.
    pub(super) fn person(&self, name: &str) {
        // Nobody may be listening.
        _ = self.0.send(Affected::Person(name.to_owned()));
    }

    /// A token has changed.
    pub(super) fn tokens(&self) {
        _ = self.0.send(Affected::Tokens);
    }

    /// Listens from here on.
    pub fn listen(&self) -> AccessNews {
        AccessNews(self.0.subscribe())
    }
}

impl AccessNews {
    /// Waits for the next change; an inner nothing when some were missed, nothing when there will be none.
    pub async fn next(&mut self) -> Option<Option<Affected>> {
        match self.0.recv().await {
            Ok(affected) => Some(Some(affected)),
            Err(RecvError::Lagged(_)) => Some(None),
            Err(RecvError::Closed) => None,
        }
    }
}
