//! What devices of one kind announce alike is in memory once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::Session;
use crate::domain::AnnouncedObject;

/// Object lists and links of all sessions of an arbiter.
#[derive(Debug, Default)]
pub struct Shared {
    objects: Pool<[AnnouncedObject]>,
    links: Pool<str>,
}

/// Values that are the same, once. It holds no more than twice as many as are in use, and a few.
#[derive(Debug)]
struct Pool<T: ?Sized> {
    known: HashSet<Arc<T>>,
    /// At this size those that nobody uses any more are let go of.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            known: HashSet::new(),
            sweep_at: SMALLEST,
        }
    }
}

impl<T: Eq + Hash + ?Sized> Pool<T> {
    fn share(&mut self, value: &mut Arc<T>) {
        if let Some(known) = self.known.get(value) {
            *value = Arc::clone(known);
            return;
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.known.shrink_to_fit();
            self.sweep_at = self.known.len().saturating_mul(2).max(SMALLEST);
        }
        self.known.insert(Arc::clone(value));
    }
}

impl Session {
    /// Takes what others have alike from them.
    pub fn share(&mut self, shared: &mut Shared) {
        if std::mem::replace(&mut self.is_shared, true) {
            return;
        }
        if let Some(registration) = &mut self.registration {
            shared.objects.share(&mut registration.objects);
            shared.links.share(&mut registration.raw_links);
        }
    }
}

/// Fewer than this are not worth a look.
const SMALLEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_there_once_and_goes_with_its_last_user() {
        let mut pool: Pool<str> = Pool::default();
        let mut first: Arc<str> = "</3/0>".into();
        let mut second: Arc<str> = "</3/0>".into();
        pool.share(&mut first);
        pool.share(&mut second);
        assert!(Arc::ptr_eq(&first, &second));
        for number in 0..SMALLEST * 10 {
            pool.share(&mut number.to_string().into());
            assert!(pool.known.len() <= SMALLEST);
        }
        assert!(pool.known.contains(&first));
        drop((first, second));
        for number in 0..SMALLEST {
            pool.share(&mut number.to_string().into());
        }
        assert!(!pool.known.contains("</3/0>"));
    }
}
