//! The listener behind the `tracing` macros of the library: turns each event into one line.
//!
//! Deliberately absent: spans, and the events of other crates, whose text may hold what must not be shown.

use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::log::{Fields, Log};
use super::output_mode::Loudness;

/// Listens for the rest of the process; a second call changes nothing.
pub(super) fn listen(lines: Arc<Log>, loudness: Loudness) {
    let level = match loudness {
        Loudness::Quiet => LevelFilter::ERROR,
        Loudness::Normal => LevelFilter::WARN,
        Loudness::Verbose => LevelFilter::INFO,
        Loudness::Debug => LevelFilter::DEBUG,
    };
    let ours = Targets::new().with_target("pushctl", level);
    let listener = tracing_subscriber::registry().with(Listener { lines }.with_filter(ours));
    // Fails only if somebody listens already: in a test process, where the first one stays.
    let _ = tracing::subscriber::set_global_default(listener);
}

struct Listener {
    lines: Arc<Log>,
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        self.lines
            .event(*event.metadata().level(), &said.message, said.fields);
    }
}

#[derive(Default)]
struct Said {
    message: String,
    fields: Fields,
}

impl Said {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.add(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // Milliseconds, mostly: they are a number, not a text.
        self.add(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
}
