//! The words of a notice, the same in every format.

use super::{Event, Notice};
use crate::count::{counted, number};

/// Returns the sentence that says what happened.
pub(super) fn headline(notice: &Notice) -> String {
    let name = &notice.automation;
    match &notice.event {
        Event::AudienceReady { people } => {
            format!(
                "{name}: the audience is ready, {}",
                counted(*people, "recipients")
            )
        }
        Event::TestSent { accepted, of } => {
            format!(
                "{name}: {} of {} test pushes accepted",
                number(*accepted),
                number(*of)
            )
        }
        Event::WindowOpen {
            people, send_at, ..
        } => {
            format!(
                "{name}: at {} pushes go to {}",
                send_at.strftime("%H:%M %Z"),
                counted(*people, "recipients")
            )
        }
        Event::Done { accepted, of } => {
            format!(
                "{name}: done, {} of {} pushes accepted",
                number(*accepted),
                number(*of)
            )
        }
        Event::Stopped { why } => format!("{name}: stopped: {why}"),
    }
}

/// Returns the names and values below the headline, in order.
pub(super) fn facts(notice: &Notice) -> Vec<(String, String)> {
    let counts = notice.counts.iter();
    let counts = counts.map(|(name, count)| (name.clone(), number(*count)));
    counts.chain(notice.facts.iter().cloned()).collect()
}
