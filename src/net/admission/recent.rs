//! A table of bounded size that forgets what was not used for longest, roughly.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Two generations of at most half the size: what is used moves to the young one, and when that is
/// full, the old one is dropped as a whole. No list to keep in order, and never more than `2 * half`
/// entries; what was used since the last but one change is there.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// A table of at most `most` entries, and at least two.
    pub(super) fn new(most: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            half: (most / 2).max(1),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// The value of a key, which counts as used.
    pub(super) fn get(&mut self, key: K) -> Option<&mut V> {
        if self.is_full() {
            self.refresh(key);
            return self.young.get_mut(&key);
        }
        match self.young.entry(key) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(entry) => Some(entry.insert(self.old.remove(&key)?)),
        }
    }

    /// The value of a key, made if there is none.
    pub(super) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.is_full() && !self.refresh(key) {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young
            .entry(key)
            .or_insert_with(|| old.remove(&key).unwrap_or_else(make))
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        self.young.remove(&key).or_else(|| self.old.remove(&key))
    }

    fn is_full(&self) -> bool {
        self.young.len() >= self.half
    }

    /// Moves what there is of a key to the young ones, which are full. False when there is nothing.
    fn refresh(&mut self, key: K) -> bool {
        if self.young.contains_key(&key) {
            return true;
        }
        let Some(value) = self.old.remove(&key) else {
            return false;
        };
        self.old = std::mem::take(&mut self.young);
        self.young.insert(key, value);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::new(4);
        for key in 0..100 {
            *recent.get_or_insert_with(key, || 0) = key;
            assert_eq!(recent.get(0), Some(&mut 0), "used at every turn");
        }
        assert_eq!(recent.get(50), None);
        assert_eq!(recent.get(99), Some(&mut 99));
    }

    proptest! {
        #[test]
        fn it_is_never_larger_than_its_bound(keys in prop::collection::vec(0_u8..40, 0..200), most in 0_usize..20) {
            let mut recent = Recent::new(most);
            for key in keys {
                match key % 4 {
                    0 => drop(recent.remove(key)),
                    1 => drop(recent.get(key)),
                    _ => *recent.get_or_insert_with(key, || 0_u8) = key,
                }
                prop_assert!(recent.len() <= most.max(2));
                if let Some(value) = recent.get(key) {
                    prop_assert_eq!(*value, key);
                }
            }
        }
    }
}
