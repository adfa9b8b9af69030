//! Things that are kept once.

use std::collections::HashMap;
use std::hash::Hash;

/// Gives equal things the same place, counted from 0.
#[derive(Debug)]
pub(super) struct Pool<T> {
    places: HashMap<T, u32>,
    items: Vec<T>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { places: HashMap::new(), items: Vec::new() }
    }
}

impl<T: Hash + Eq + Clone> Pool<T> {
    /// The place of a thing, which is new if it was not there.
    pub(super) fn place(&mut self, item: T) -> u32 {
        if let Some(place) = self.places.get(&item) {
            return *place;
        }
        let place = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.items.push(item.clone());
        self.places.insert(item, place);
        place
    }

    /// The things by place.
    pub(super) fn into_items(self) -> Vec<T> {
        self.items
    }
}
