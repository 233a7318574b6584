//! What each place costs: strangers with an address, declined addresses that rest.

use std::collections::BTreeMap;

use fseg_model::PlacePath;

/// A place's number: names are long, records are many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PlaceId(u32);

#[derive(Debug, Clone)]
struct PlaceState {
    path: PlacePath,
    strangers: u32,
    resting: u32,
}

/// All places seen. They are as many as the switches have ports: names come from the topology, not from clients.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    ids: BTreeMap<PlacePath, PlaceId>,
    states: Vec<PlaceState>,
}

impl Places {
    /// The number of a place, given out at the first call.
    pub(crate) fn id(&mut self, path: &PlacePath) -> PlaceId {
        if let Some(&id) = self.ids.get(path) {
            return id;
        }
        let id = PlaceId(u32::try_from(self.states.len()).unwrap_or(u32::MAX));
        self.ids.insert(path.clone(), id);
        self.states.push(PlaceState { path: path.clone(), strangers: 0, resting: 0 });
        id
    }

    fn state(&self, id: PlaceId) -> Option<&PlaceState> {
        self.states.get(id.0 as usize)
    }

    fn state_mut(&mut self, id: Option<PlaceId>) -> Option<&mut PlaceState> {
        self.states.get_mut(id?.0 as usize)
    }

    pub(crate) fn path(&self, id: PlaceId) -> Option<&PlacePath> {
        self.state(id).map(|s| &s.path)
    }

    pub(crate) fn strangers(&self, id: PlaceId) -> u32 {
        self.state(id).map_or(0, |s| s.strangers)
    }

    pub(crate) fn resting(&self, id: PlaceId) -> u32 {
        self.state(id).map_or(0, |s| s.resting)
    }

    pub(crate) fn count_stranger(&mut self, id: Option<PlaceId>, more: bool) {
        if let Some(s) = self.state_mut(id) {
            s.strangers = step(s.strangers, more);
        }
    }

    pub(crate) fn count_resting(&mut self, id: Option<PlaceId>, more: bool) {
        if let Some(s) = self.state_mut(id) {
            s.resting = step(s.resting, more);
        }
    }
}

fn step(n: u32, more: bool) -> u32 {
    if more { n.saturating_add(1) } else { n.saturating_sub(1) }
}
