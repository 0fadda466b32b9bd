//! Which connections are open and have room, and whom to wake when there is something to do.

use std::task::Waker;

use super::Dispatch;

/// The state of one connection, as far as handing out work depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fcm) enum PoolSlot {
    Closed,
    Opening,
    Room,
    Full,
}

impl Dispatch {
    /// Whether `lane`, which is closed, should open: there is work, no connection has room, and none is being opened.
    pub(in crate::fcm) fn may_open(&self, lane: usize) -> bool {
        let awaited = |(slot, _): &(PoolSlot, Option<Waker>)| {
            matches!(slot, PoolSlot::Room | PoolSlot::Opening)
        };
        self.halt.is_none()
            && self.queued() > 0
            && self
                .lanes
                .get(lane)
                .is_some_and(|(slot, _)| *slot == PoolSlot::Closed)
            && !self.lanes.iter().any(awaited)
    }

    /// Connections that are open.
    pub(in crate::fcm) fn connections(&self) -> usize {
        let open = |slot: PoolSlot| matches!(slot, PoolSlot::Room | PoolSlot::Full);
        self.lanes.iter().filter(|(slot, _)| open(*slot)).count()
    }

    /// Sets a lane's state, and whom to wake when it has something to do.
    pub(in crate::fcm) fn slot(&mut self, lane: usize, slot: PoolSlot, waker: &Waker) {
        if let Some(place) = self.lanes.get_mut(lane) {
            place.0 = slot;
            match &mut place.1 {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    /// Sets a lane's state from outside its connection.
    pub(in crate::fcm) fn set_berth(&mut self, lane: usize, slot: PoolSlot) {
        if let Some(place) = self.lanes.get_mut(lane) {
            place.0 = slot;
        }
    }

    /// How many lanes there are.
    pub(in crate::fcm) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Whom to wake after a change that `author` (a lane, or somebody else) made: the first lane with room, or else a
    /// closed one that may open. The author has looked for work itself.
    pub(in crate::fcm) fn next_lane(&self, author: Option<usize>) -> Option<Waker> {
        if self.queued() == 0 {
            return None;
        }
        let first = |wanted: PoolSlot| self.lanes.iter().position(|(slot, _)| *slot == wanted);
        let lane = first(PoolSlot::Room)
            .or_else(|| first(PoolSlot::Closed).filter(|lane| self.may_open(*lane)))
            .filter(|lane| Some(*lane) != author)?;
        self.lanes.get(lane)?.1.clone()
    }

    /// Every lane, for what concerns them all.
    pub(in crate::fcm) fn everybody(&self) -> Vec<Waker> {
        self.lanes
            .iter()
            .filter_map(|(_, waker)| waker.clone())
            .collect()
    }
}
