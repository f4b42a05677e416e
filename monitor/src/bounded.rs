//! A map with a bounded number of entries: the one that was noticed first makes room.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The map.
#[derive(Debug)]
pub struct Bounded<K, V> {
    entries: HashMap<K, V>,
    /// In the order in which they were first noticed.
    order: VecDeque<K>,
    most: usize,
}

impl<K: Copy + Eq + Hash, V: Default> Bounded<K, V> {
    /// An empty one.
    pub fn of_at_most(most: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), most }
    }

    /// What is kept of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// The same to be changed, empty if the key is new.
    pub fn entry(&mut self, key: K) -> &mut V {
        if !self.entries.contains_key(&key) {
            if self.order.len() == self.most
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.entries.entry(key).or_default()
    }

    /// What is kept of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every entry, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut()
    }

    /// The values, in no order.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values()
    }
}
