//! Turns each `tracing` event of the library into one log line.
//!
//! Spans and the events of other crates are left out: their text may contain secrets.

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
    // Fails only if a listener exists: in a test process, where the first one stays.
    let _ = tracing::subscriber::set_global_default(listener);
}

struct Listener {
    lines: Arc<Log>,
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut recorded = Recorded::default();
        event.record(&mut recorded);
        self.lines.event(
            *event.metadata().level(),
            &recorded.message,
            recorded.fields,
        );
    }
}

#[derive(Default)]
struct Recorded {
    message: String,
    fields: Fields,
}

impl Recorded {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Recorded {
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
