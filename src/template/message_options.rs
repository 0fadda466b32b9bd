//! What a message says beside its texts: how long it is worth delivering, its sound, image and channel, and which
//! earlier messages it replaces. Checked offline against the rules of the push service.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::text::duration;

/// How long the push service keeps a message at most.
const LONGEST_EXPIRY: Duration = Duration::from_secs(28 * 86_400);
/// The word for a message without a sound.
const SILENT: &str = "none";

/// The options of a message; a missing one is left to the push service and the app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageOptions {
    /// How long it is worth delivering: "4h".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The instant after which it is not delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The https URL of a picture, with variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The name of a sound in the app; "default", or "none".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sound: Option<String>,
    /// The number on the app's icon; 0 removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub badge: Option<u32>,
    /// The notification channel on Android.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// Whether it wakes a sleeping phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The label in the push service's statistics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analytics_label: Option<String>,
    /// Whether the app may change it before it is shown, on iOS; an image needs that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutable_content: Option<bool>,
    /// Which undelivered messages it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapse: Option<Collapse>,
    /// What becomes of a row with a value like `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_like: Option<NullLike>,
}

/// What becomes of a row in which a variable has a value like `null`, `undefined` or `NaN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum NullLike {
    /// It counts as empty: without a default, the row is skipped.
    Skip,
    /// It is sent as it stands.
    Send,
}

/// Whether a message wakes a sleeping phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// It does.
    High,
    /// It may wait until the phone is awake.
    Normal,
}

/// Which undelivered messages a message replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Collapse {
    /// Those of its layer.
    Layer,
    /// Only copies of itself.
    Push,
    /// None.
    None,
}

/// A fault of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionFault {
    /// The option, as a file names it.
    pub name: &'static str,
    pub reason: String,
}

impl MessageOptions {
    /// Fills in what is missing.
    #[must_use]
    pub fn or(self, others: &Self) -> Self {
        let others = others.clone();
        Self {
            expires: self.expires.or(others.expires),
            expires_at: self.expires_at.or(others.expires_at),
            image: self.image.or(others.image),
            sound: self.sound.or(others.sound),
            badge: self.badge.or(others.badge),
            channel_id: self.channel_id.or(others.channel_id),
            priority: self.priority.or(others.priority),
            analytics_label: self.analytics_label.or(others.analytics_label),
            mutable_content: self.mutable_content.or(others.mutable_content),
            collapse: self.collapse.or(others.collapse),
            null_like: self.null_like.or(others.null_like),
        }
    }

    /// Returns every fault, but those of the image, which is a text with variables.
    pub fn faults(&self) -> Vec<OptionFault> {
        let mut faults = Vec::new();
        let mut check = |name, verdict: Result<(), String>| {
            faults.extend(verdict.err().map(|reason| OptionFault { name, reason }));
        };
        if let Some(text) = &self.expires {
            check("expires", expiry(text).map(drop));
        }
        if let Some(text) = &self.sound {
            check("sound", plain(text, 100));
        }
        if let Some(text) = &self.channel_id {
            check("channel_id", plain(text, 255));
        }
        if let Some(label) = &self.analytics_label {
            check("analytics_label", label_fault(label));
        }
        faults
    }

    /// Returns the name of the sound, unless the message is silent.
    pub fn audible(&self) -> Option<&str> {
        self.sound.as_deref().filter(|sound| *sound != SILENT)
    }

    /// Returns the time that is left for the delivery at `now`: until it expires, and not after `latest`.
    pub fn time_left(&self, now: Timestamp, latest: Option<Timestamp>) -> Option<Duration> {
        let until = |end: Timestamp| {
            let left = end.duration_since(now);
            Duration::try_from(left).unwrap_or(Duration::ZERO)
        };
        let length = self.expires.as_deref().and_then(|text| expiry(text).ok());
        let ends = [self.expires_at, latest].into_iter().flatten().map(until);
        ends.chain(length).min()
    }
}

/// Returns the duration of `expires`.
pub fn expiry(text: &str) -> Result<Duration, String> {
    let length = duration(text)?;
    if length > LONGEST_EXPIRY {
        return Err("the push service keeps a message for at most 28d".to_owned());
    }
    Ok(length)
}

fn plain(text: &str, longest: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.len() > longest || text.chars().any(char::is_control) {
        return Err(format!(
            "it is longer than {longest} bytes, or contains a control character"
        ));
    }
    Ok(())
}

/// The push service takes `^[a-zA-Z0-9-_.~%]{1,50}$`.
fn label_fault(label: &str) -> Result<(), String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
    if !label.is_empty() && label.len() <= 50 && label.bytes().all(is_known) {
        return Ok(());
    }
    Err("expected 1 to 50 letters, digits and - _ . ~ %".to_owned())
}

/// The options in one line, without the image.
impl fmt::Display for MessageOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = |name: &str, value: Option<String>| Some(format!("{name} {}", value?));
        let collapse = self.collapse.and_then(|word| word.to_possible_value());
        let parts = [
            given("expires after", self.expires.clone()),
            given("expires at", self.expires_at.map(|at| format!("{at:.0}"))),
            given("sound", self.sound.clone()),
            given("badge", self.badge.map(|badge| badge.to_string())),
            given("channel", self.channel_id.clone()),
            given("priority", self.priority.map(|word| word.to_string())),
            given("label", self.analytics_label.clone()),
            given("mutable", self.mutable_content.map(|is| is.to_string())),
            given(
                "replaces undelivered of",
                collapse.map(|word| format!("the same {}", word.get_name())),
            ),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        out.write_str(&parts.join(" · ").replace("of the same none", "none"))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::High => "high",
            Self::Normal => "normal",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_all_ends_counts() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-21T13:33:00Z");
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        let mut options = MessageOptions::default();
        assert_eq!(options.time_left(now, None), None);
        options.expires = Some("4h".to_owned());
        assert_eq!(options.time_left(now, None), hours(4));
        assert_eq!(
            options.time_left(now, Some(at("2026-11-21T15:33:00Z"))),
            hours(2)
        );
        options.expires_at = Some(at("2026-11-21T14:33:00Z"));
        assert_eq!(
            options.time_left(now, Some(at("2026-11-21T15:33:00Z"))),
            hours(1)
        );
        options.expires_at = Some(at("2026-11-21T12:33:00Z"));
        assert_eq!(options.time_left(now, None), hours(0));
    }

    #[test]
    fn what_the_service_would_refuse_is_a_fault() {
        let faults = |change: fn(&mut MessageOptions)| {
            let mut options = MessageOptions::default();
            change(&mut options);
            let found = options.faults();
            found.first().map(|fault| fault.name)
        };
        assert_eq!(faults(|o| o.expires = Some("29d".into())), Some("expires"));
        assert_eq!(faults(|o| o.expires = Some("soon".into())), Some("expires"));
        assert_eq!(faults(|o| o.expires = Some("28d".into())), None);
        assert_eq!(faults(|o| o.expires = Some("0s".into())), None);
        assert_eq!(faults(|o| o.sound = Some(" ".into())), Some("sound"));
        assert_eq!(faults(|o| o.sound = Some("none".into())), None);
        assert_eq!(
            faults(|o| o.channel_id = Some("x\n".into())),
            Some("channel_id")
        );
        for label in ["", "a b", "é", &"x".repeat(51)] {
            let options = MessageOptions {
                analytics_label: Some(label.to_owned()),
                ..MessageOptions::default()
            };
            assert_eq!(options.faults().len(), 1, "{label}");
        }
    }
}
