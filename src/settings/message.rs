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
        let expires =
            settings.optional(&EXPIRES, |given| expiry(given).map(|_| given.to_owned()))?;
        put(settings, expires, &mut given.expires, &mut defaults.expires);
        let at = settings.optional(&EXPIRES_AT, |given| instant(given, Timestamp::now()))?;
        put(
            settings,
            at,
            &mut given.expires_at,
            &mut defaults.expires_at,
        );
        let image = settings.optional(&IMAGE, text)?;
        put(settings, image, &mut given.image, &mut defaults.image);
        let sound = settings.optional(&SOUND, text)?;
        put(settings, sound, &mut given.sound, &mut defaults.sound);
        let badge = settings.optional(&BADGE, |given| whole_number(given, 0..=99_999))?;
        put(settings, badge, &mut given.badge, &mut defaults.badge);
        let channel = settings.optional(&CHANNEL_ID, text)?;
        put(
            settings,
            channel,
            &mut given.channel_id,
            &mut defaults.channel_id,
        );
        let priority = settings.optional(&PRIORITY, choice)?;
        put(
            settings,
            priority,
            &mut given.priority,
            &mut defaults.priority,
        );
        let label = settings.optional(&ANALYTICS_LABEL, text)?;
        put(
            settings,
            label,
            &mut given.analytics_label,
            &mut defaults.analytics_label,
        );
        let mutable: Option<Answer> = settings.optional(&MUTABLE_CONTENT, choice)?;
        let mutable = mutable.map(|answer| answer == Answer::True);
        put(
            settings,
            mutable,
            &mut given.mutable_content,
            &mut defaults.mutable_content,
        );
        let collapse = settings.optional(&COLLAPSE, choice)?;
        put(
            settings,
            collapse,
            &mut given.collapse,
            &mut defaults.collapse,
        );
        let null_like = settings.optional(&NULL_LIKE, choice)?;
        put(
            settings,
            null_like,
            &mut given.null_like,
            &mut defaults.null_like,
        );
        Ok(both)
    }

    /// Returns the options of a message without an automation.
    pub fn all(&self) -> MessageOptions {
        self.given.clone().or(&self.defaults)
    }
}

/// Puts the value of the last setting where its origin says.
fn put<T>(
    settings: &Resolver<'_>,
    value: Option<T>,
    given: &mut Option<T>,
    default: &mut Option<T>,
) {
    if matches!(settings.origin(), Origin::Flag(_)) {
        *given = value;
    } else {
        *default = value;
    }
}
