//! Tells a service that limits the whole project from one that limits a few phones: both answer 429. Pure.

use std::collections::VecDeque;

/// The answers that are looked at: the latest ones.
const LATEST: usize = 20;
/// Fewer answers prove nothing.
const FEWEST: usize = 10;

/// The latest answers: whether each was the first 429 of its recipient.
#[derive(Debug, Default)]
pub(super) struct QuotaWatch(VecDeque<bool>);

impl QuotaWatch {
    /// Records an answer.
    pub(super) fn record(&mut self, is_first_429: bool) {
        if self.0.len() == LATEST {
            self.0.pop_front();
        }
        self.0.push_back(is_first_429);
    }

    /// Returns whether most of the latest recipients got a 429: then the project is too fast, and not a phone.
    pub(super) fn is_about_the_project(&self) -> bool {
        let limited = self.0.iter().filter(|limited| **limited).count();
        self.0.len() >= FEWEST && limited * 2 > self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_limited_phones_are_no_limited_project() {
        let watch = |answers: &[bool]| {
            let mut watch = QuotaWatch::default();
            for answer in answers {
                watch.record(*answer);
            }
            watch.is_about_the_project()
        };
        assert!(!watch(&[true; 9]));
        assert!(watch(&[true; 10]));
        // Five in a row, and all others are accepted.
        assert!(!watch(&[[true; 5], [false; 5]].concat()));
        assert!(!watch(&[[false; 15], [true; 15]].concat()[..25]));
        assert!(watch(&[[false; 15], [true; 15]].concat()));
        assert!(!watch(&[[true; 15], [false; 15]].concat()));
    }
}
