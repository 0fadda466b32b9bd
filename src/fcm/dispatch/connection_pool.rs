//! Decides which connection is opened, and which one is woken when there is work.

use std::task::Waker;

use super::Dispatch;

/// The state of one connection slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fcm) enum PoolSlot {
    Closed,
    Opening,
    Room,
    Full,
}

impl Dispatch {
    /// Returns whether closed slot `number` should open: there is work, no connection has capacity, and none is being
    /// opened.
    pub(in crate::fcm) fn may_open(&self, number: usize) -> bool {
        let awaited = |(slot, _): &(PoolSlot, Option<Waker>)| {
            matches!(slot, PoolSlot::Room | PoolSlot::Opening)
        };
        self.halt.is_none()
            && self.queued() > 0
            && self
                .slots
                .get(number)
                .is_some_and(|(slot, _)| *slot == PoolSlot::Closed)
            && !self.slots.iter().any(awaited)
    }

    /// Returns the number of open connections.
    pub(in crate::fcm) fn open_connections(&self) -> usize {
        let open = |slot: PoolSlot| matches!(slot, PoolSlot::Room | PoolSlot::Full);
        self.slots.iter().filter(|(slot, _)| open(*slot)).count()
    }

    /// Sets a slot's state, and the waker of its task.
    pub(in crate::fcm) fn register_slot(&mut self, number: usize, slot: PoolSlot, waker: &Waker) {
        if let Some(place) = self.slots.get_mut(number) {
            place.0 = slot;
            match &mut place.1 {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
    }

    /// Sets a slot's state and keeps its waker.
    pub(in crate::fcm) fn set_slot(&mut self, number: usize, slot: PoolSlot) {
        if let Some(place) = self.slots.get_mut(number) {
            place.0 = slot;
        }
    }

    /// Returns the number of slots, open or not.
    pub(in crate::fcm) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// Returns the waker of the task that should look for work after a change: the first connection with capacity, or
    /// else the first closed slot that may open. `author` is the slot that made the change; its task looks for work by
    /// itself.
    pub(in crate::fcm) fn next_waker(&self, author: Option<usize>) -> Option<Waker> {
        if self.queued() == 0 {
            return None;
        }
        let first = |wanted: PoolSlot| self.slots.iter().position(|(slot, _)| *slot == wanted);
        let number = first(PoolSlot::Room)
            .or_else(|| first(PoolSlot::Closed).filter(|number| self.may_open(*number)))
            .filter(|number| Some(*number) != author)?;
        self.slots.get(number)?.1.clone()
    }

    /// Returns the wakers of all tasks, for a change that concerns them all.
    pub(in crate::fcm) fn all_wakers(&self) -> Vec<Waker> {
        self.slots
            .iter()
            .filter_map(|(_, waker)| waker.clone())
            .collect()
    }
}
