//! Settings of messages: the options that `send` takes as flags, and their defaults.

use clap::ValueEnum;
use jiff::Timestamp;

use crate::clock::text::instant;
use crate::error::Result;
use crate::template::message_options::{Collapse, MessageOptions, NullLike, Priority, expiry};

use super::parse::{choice, text, whole_number};
use super::resolver::Resolver;
use super::setting::{Origin, Setting};

/// The options of messages, by their origins: the flags of a command win over the file of an automation, and that over
/// the rest.
#[derive(Debug, Clone, Default)]
pub struct MessageSettings {
    /// By flags.
    pub given: MessageOptions,
    /// By variables, the configuration file, and the defaults.
    pub defaults: MessageOptions,
}

static EXPIRES: Setting = Setting::new(
    "push.message.expires",
    "Time after which an undelivered message is dropped",
)
.flag("--expires", "DURATION")
.variables(&["PUSHCTL_MESSAGE_EXPIRES"])
.default("4h");
static EXPIRES_AT: Setting = Setting::new(
    "push.message.expires_at",
    "Instant after which an undelivered message is dropped",
)
.flag("--expires-at", "TIME")
.variables(&["PUSHCTL_MESSAGE_EXPIRES_AT"]);
static IMAGE: Setting = Setting::new(
    "push.message.image",
    "Picture: an https URL; takes variables",
)
.flag("--image", "URL")
.variables(&["PUSHCTL_MESSAGE_IMAGE"]);
static SOUND: Setting = Setting::new(
    "push.message.sound",
    "Sound: a name in the app, \"default\" or \"none\"",
)
.flag("--sound", "NAME")
.variables(&["PUSHCTL_MESSAGE_SOUND"])
.default("default");
static BADGE: Setting = Setting::new("push.message.badge", "Number on the app's icon")
    .flag("--badge", "N")
    .variables(&["PUSHCTL_MESSAGE_BADGE"]);
static CHANNEL_ID: Setting =
    Setting::new("push.message.channel_id", "Notification channel on Android")
        .flag("--channel-id", "ID")
        .variables(&["PUSHCTL_MESSAGE_CHANNEL_ID"]);
static PRIORITY: Setting = Setting::new(
    "push.message.priority",
    "Whether a message wakes a sleeping phone",
)
.flag("--priority", "PRIORITY")
.choice::<Priority>()
.variables(&["PUSHCTL_MESSAGE_PRIORITY"])
.otherwise("that of the push service");
static ANALYTICS_LABEL: Setting = Setting::new(
    "push.message.analytics_label",
    "Label in the push service's statistics",
)
.flag("--analytics-label", "LABEL")
.variables(&["PUSHCTL_MESSAGE_ANALYTICS_LABEL"]);
static MUTABLE_CONTENT: Setting = Setting::new(
    "push.message.mutable_content",
    "Whether the app may change a message before it is shown (iOS)",
)
.flag("--mutable-content", "YES")
.choice::<Answer>()
.variables(&["PUSHCTL_MESSAGE_MUTABLE_CONTENT"])
.otherwise("true with an image");
static COLLAPSE: Setting = Setting::new(
    "push.message.collapse",
    "Which undelivered messages a message replaces",
)
.flag("--collapse", "WHICH")
.choice::<Collapse>()
.variables(&["PUSHCTL_MESSAGE_COLLAPSE"])
.default("layer");

static NULL_LIKE: Setting = Setting::new(
    "push.message.null_like",
    "Rows with a value like null, undefined or NaN in a variable",
)
.flag("--null-like", "WHAT")
.choice::<NullLike>()
.variables(&["PUSHCTL_MESSAGE_NULL_LIKE"])
.default("skip");

/// The settings that are flags of `send` and `preview`.
pub static FLAGS: [&Setting; 11] = [
    &EXPIRES,
    &EXPIRES_AT,
    &IMAGE,
    &SOUND,
    &BADGE,
    &CHANNEL_ID,
    &PRIORITY,
    &ANALYTICS_LABEL,
    &MUTABLE_CONTENT,
    &COLLAPSE,
    &NULL_LIKE,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Answer {
    True,
    False,
}

impl MessageSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        let mut both = Self::default();
        let Self { given, defaults } = &mut both;
        let length = |given: &str| expiry(given).map(|_| given.to_owned());
        let at = |given: &str| instant(given, Timestamp::now());
        let badge = |given: &str| whole_number(given, 0..=99_999);
        let yes = |given: &str| choice::<Answer>(given).map(|answer| answer == Answer::True);
        (given.expires, defaults.expires) = by_origin(settings, &EXPIRES, length)?;
        (given.expires_at, defaults.expires_at) = by_origin(settings, &EXPIRES_AT, at)?;
        (given.image, defaults.image) = by_origin(settings, &IMAGE, text)?;
        (given.sound, defaults.sound) = by_origin(settings, &SOUND, text)?;
        (given.badge, defaults.badge) = by_origin(settings, &BADGE, badge)?;
        (given.channel_id, defaults.channel_id) = by_origin(settings, &CHANNEL_ID, text)?;
        (given.priority, defaults.priority) = by_origin(settings, &PRIORITY, choice)?;
        (given.analytics_label, defaults.analytics_label) =
            by_origin(settings, &ANALYTICS_LABEL, text)?;
        (given.mutable_content, defaults.mutable_content) =
            by_origin(settings, &MUTABLE_CONTENT, yes)?;
        (given.collapse, defaults.collapse) = by_origin(settings, &COLLAPSE, choice)?;
        (given.null_like, defaults.null_like) = by_origin(settings, &NULL_LIKE, choice)?;
        Ok(both)
    }

    /// Returns the options of a message without an automation.
    pub fn all(&self) -> MessageOptions {
        self.given.clone().or(&self.defaults)
    }
}

/// Reads a setting: its value as a flag, and as anything else.
fn by_origin<T>(
    settings: &mut Resolver<'_>,
    key: &'static Setting,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<(Option<T>, Option<T>)> {
    let value = settings.optional(key, read)?;
    Ok(match settings.origin() {
        Origin::Flag(_) => (value, None),
        _ => (None, value),
    })
}
