//! An automation file exactly as it is written, in TOML. These types are the format: `pushctl schema automation`
//! prints their JSON Schema, `check` compares a file's keys, types and ranges with it, and `serde` reads the file.
//!
//! Durations are whole minutes, except `max_audience_age`, which has a unit. Shares of recipients are percentages,
//! except `max_failure_rate`, which is a share. Deliberately absent: what the values mean together. That is `check`'s.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Zoned;
use jiff::tz::TimeZone;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quiet_hours::{clock_time, next};
use crate::notify::{HeartbeatKind, WebhookKind};
use crate::settings::MessageSettings;
use crate::template::message_options::{Collapse, MessageOptions, NullLike, Priority};
use crate::template::push::{Variant, Wording};

/// An automation: an audience, the pushes it receives, and their time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomationFile {
    /// The automation's name in every command and record. Letters, digits, `-`, `_` and `.`. Renaming it
    /// makes it another automation: pushes sent under the old name no longer count.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// One sentence that describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it may send without a confirmation. If false, a scheduler skips it, and a live run must be confirmed.
    #[serde(default)]
    pub enabled: bool,
    /// The time at which recipients get it. pushctl never starts itself: an external scheduler does.
    pub schedule: ScheduleTable,
    /// The recipients.
    pub audience: AudienceTable,
    /// The pushes, in order.
    #[schemars(length(min = 1, max = 20))]
    pub push: Vec<PushTable>,
    /// The test pushes before the live ones.
    #[serde(default)]
    pub test: TestTable,
    /// The cancellation window.
    #[serde(default)]
    pub window: WindowTable,
    /// Conditions that stop it.
    #[serde(default)]
    pub safeguards: Safeguards,
    /// The notices.
    #[serde(default)]
    pub notify: NotifyTable,
}

/// `[schedule]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleTable {
    /// The time at which the pushes are sent, on the 24-hour clock of `timezone`: "13:33". Not with `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// The IANA name of the time zone: "America/Chicago". Its clock changes apply.
    pub timezone: String,
    /// The repetition. Not with `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<Frequency>,
    /// With `frequency = "once"`: the date, "2026-11-21".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// With `frequency = "weekly"`: the days of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7))]
    pub weekdays: Option<Vec<Day>>,
    /// With `frequency = "monthly"`: the day of the month. In a shorter month it is the last day, so 31 is always the
    /// last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31))]
    pub day: Option<i8>,
    /// Instead of `send_at` and `frequency`: minute, hour, day of the month, month, day of the week, in `timezone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Minutes before the time at which the audience is generated.
    #[serde(default = "ScheduleTable::default_lead")]
    #[schemars(range(min = 1, max = 720))]
    pub lead_minutes: u16,
    /// Minutes after the time within which a late start still sends. A later start refuses.
    #[serde(default = "ScheduleTable::default_lateness")]
    #[schemars(range(min = 0, max = 720))]
    pub max_lateness_minutes: u16,
}

impl ScheduleTable {
    /// Returns its time zone, which `check` has found; UTC where it is unknown.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.timezone).unwrap_or(TimeZone::UTC)
    }

    pub(super) fn default_lead() -> u16 {
        30
    }

    pub(super) fn default_lateness() -> u16 {
        15
    }
}

/// The repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Frequency {
    /// On one `date`.
    Once,
    /// Every day.
    Daily,
    /// On some `weekdays`.
    Weekly,
    /// On one `day` of each month.
    Monthly,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// `[audience]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceTable {
    /// The audience's name, as `pushctl audiences` lists it.
    pub name: String,
    /// Its parameters, by name; the others keep their defaults.
    #[serde(default)]
    pub params: BTreeMap<String, ParameterValue>,
    /// If the source stays unreachable, use the newest audience of the same query and parameters again, if it is no
    /// older than this: "24h". Default: an earlier audience is never used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_max_age: Option<String>,
}

/// A parameter's value as written. Ids, texts and times are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ParameterValue {
    Integer(i64),
    Boolean(bool),
    Text(String),
}

/// The value as a flag would carry it.
impl fmt::Display for ParameterValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => value.fmt(out),
            Self::Boolean(value) => value.fmt(out),
            Self::Text(value) => value.fmt(out),
        }
    }
}

// The options of the message are fields here, because serde refuses no unknown field of a table that is flattened into
// another.
/// `[[push]]`: one push for one file of the audience.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushTable {
    /// The file of the audience that it goes to, by its name without date: "recent-offer-creators".
    pub audience_file: String,
    /// The cadence layer: 1 platform-wide moments, 2 product and trend triggers, 3 behaviour-responsive, 4 test, 5
    /// new-user series.
    #[schemars(range(min = 1, max = 5))]
    pub layer: u8,
    /// The first line on the phone. `[[var:column]]` is replaced by a column of the file.
    pub title: String,
    /// The text below it, with the same variables.
    pub body: String,
    /// The link that a tap opens: an https link to an allowed host, with the same variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep_link: Option<String>,
    /// More data for the app: texts, with the same variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Minutes after the previous push.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1440))]
    pub delay_minutes: u16,
    /// The time after which an undelivered message is dropped: "4h". It ends when quiet hours begin at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The time of day after which it is dropped, in the schedule's time zone: "21:00".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// A picture: an https URL, with the same variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The sound: a name in the app, "default" or "none".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<String>,
    /// The number on the app's icon; 0 removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 99999))]
    pub badge: Option<u32>,
    /// The notification channel on Android.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// Whether it wakes a sleeping phone: "high" or "normal".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The label in the push service's statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analytics_label: Option<String>,
    /// Whether the app may change it before it is shown (iOS). Default: if it has an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutable_content: Option<bool>,
    /// Which undelivered messages it replaces: those of its "layer", only copies of the "push", or "none".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse: Option<Collapse>,
    /// Rows with a value like `null`, `undefined` or `NaN` in a variable: "skip" them, or "send".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_like: Option<NullLike>,
    /// Other texts for shares of the recipients, which add up to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variant: Vec<VariantTable>,
}

/// `[[push.variant]]`: a title, a body or both for a share of the recipients, by hash of user, automation and push: the
/// same users in every run. The push has what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariantTable {
    /// The name in outcomes and reports. Default: A for the first, B for the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub name: Option<String>,
    /// The title in place of the push's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The body in place of the push's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The share of the recipients in percent.
    #[schemars(range(min = 1, max = 100))]
    pub share: u8,
}

/// Returns the name of a variant by its place, from 0: A, B, …
pub(in crate::automation) fn variant_name(place: usize) -> String {
    u8::try_from(place)
        .ok()
        .filter(|place| *place < 26)
        .map_or_else(
            || format!("variant-{}", place + 1),
            |place| char::from(b'A' + place).to_string(),
        )
}

impl PushTable {
    /// Returns its variants, each with a name.
    pub fn variants(&self) -> Vec<Variant> {
        let tables = self.variant.iter().enumerate();
        let named = tables.map(|(place, table)| Variant {
            name: table.name.clone().unwrap_or_else(|| variant_name(place)),
            title: table.title.clone(),
            body: table.body.clone(),
            share: table.share,
        });
        named.collect()
    }

    /// Returns the texts of the push. `sent` is when it is sent, in the schedule's time zone: `expires_at` is the next
    /// such time after it.
    pub fn wording(&self, sent: &Zoned, given: &MessageSettings) -> Wording {
        let expires_at = self.expires_at.as_deref();
        let expires_at = expires_at.and_then(|text| clock_time(text).ok());
        let own = MessageOptions {
            expires: self.expires.clone(),
            expires_at: expires_at.map(|time| next(time, sent)),
            image: self.image.clone(),
            sound: self.sound.clone(),
            badge: self.badge,
            channel_id: self.channel_id.clone(),
            priority: self.priority,
            analytics_label: self.analytics_label.clone(),
            mutable_content: self.mutable_content,
            collapse: self.collapse,
            null_like: self.null_like,
        };
        Wording {
            title: self.title.clone(),
            body: self.body.clone(),
            deep_link: self.deep_link.clone(),
            data: self.data.clone(),
            variants: self.variants(),
            options: given.given.clone().or(&own).or(&given.defaults),
        }
    }
}

/// `[test]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestTable {
    /// The user ids that get the test pushes. Default: the `test_users` of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ids: Option<Vec<String>>,
    /// Whether a live send requires that every test push was accepted.
    pub required: bool,
}

impl Default for TestTable {
    fn default() -> Self {
        Self {
            user_ids: None,
            required: true,
        }
    }
}

/// `[window]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WindowTable {
    /// Minutes between the test pushes and the live ones, in which `pushctl cancel` stops the run. Shorter than the
    /// lead.
    #[schemars(range(min = 0, max = 720))]
    pub cancel_minutes: u16,
}

impl Default for WindowTable {
    fn default() -> Self {
        Self { cancel_minutes: 25 }
    }
}

/// `[safeguards]`: conditions under which a run refuses to start, or stops while sending. A missing key does not apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Safeguards {
    /// Refuse an audience of fewer recipients than this, all pushes together; 0 allows an empty audience.
    pub min_audience: u64,
    /// Refuse an audience of more recipients than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_audience: Option<u64>,
    /// Warn about an audience of more recipients than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub warn_audience: Option<u64>,
    /// Refuse to send an audience file by hand that is older than this: "24h", "90m".
    pub max_audience_age: String,
    /// Refuse when the audience has grown or shrunk by more than this since the last completed run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub max_change_percent: Option<f64>,
    /// Refuse when a larger part of the rows would be skipped because a variable is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_skipped_percent: Option<f64>,
    /// Refuse a push when a larger part of its recipients had it earlier on the day, under another occurrence. Default:
    /// 50, and no limit with `cron`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_overlap_percent: Option<f64>,
    /// Stop while sending when a larger share of the pushes fails: 0.1 is one in ten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub max_failure_rate: Option<f64>,
    /// The hours in which no push is sent, in the schedule's time zone: "21:00-09:00", without the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<String>,
    /// The action for a push that would go out in the quiet hours.
    pub quiet_hours_action: QuietAction,
    /// A control group that gets no pushes, by hash of user and automation: the same users in every run.
    #[schemars(range(min = 0, max = 99))]
    pub holdout_percent: f64,
    /// The action when the notification history cannot be read.
    pub cadence_failure: CadenceFailure,
}

impl Default for Safeguards {
    fn default() -> Self {
        Self {
            min_audience: 1,
            max_audience: None,
            warn_audience: None,
            max_audience_age: "24h".to_owned(),
            max_change_percent: None,
            max_skipped_percent: None,
            max_overlap_percent: None,
            max_failure_rate: None,
            quiet_hours: None,
            quiet_hours_action: QuietAction::default(),
            holdout_percent: 0.0,
            cadence_failure: CadenceFailure::default(),
        }
    }
}

/// The action for a push that would go out in the quiet hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuietAction {
    /// It is not sent.
    #[default]
    Refuse,
    /// It waits until they are over.
    Delay,
}

/// The action when the notification history cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CadenceFailure {
    /// No push is sent.
    #[default]
    Abort,
    /// Every recipient gets the push, and the summary says so.
    Send,
}

/// `[notify]`: notices that the audience is ready, the test sent, the window open, the run done or stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyTable {
    /// A webhook, by the name of the environment variable that holds its URL: `env:SLACK_WEBHOOK_URL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The format of the notices to the webhook.
    pub kind: WebhookKind,
    /// A heartbeat, likewise: the URL is requested at the end, with `/start` at the beginning and `/fail` on failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<String>,
    /// The requests of the heartbeat, if they are to have the run's id: those of healthchecks, with the summary, or
    /// Sentry's check-ins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_kind: Option<HeartbeatKind>,
}

/// Returns the name of the environment variable behind `env:NAME`.
pub fn environment_name(reference: &str) -> Option<&str> {
    let name = reference.strip_prefix("env:")?;
    let mut letters = name.bytes();
    let first = letters.next()?;
    let fits = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    (fits(first) && !first.is_ascii_digit() && letters.all(fits)).then_some(name)
}

/// Returns the JSON Schema of an automation file, in draft 7, which is what TOML editors read.
pub fn json_schema() -> Value {
    let mut settings = SchemaSettings::draft07();
    settings.inline_subschemas = true;
    let schema = settings
        .with_transform(AsToml)
        .into_generator()
        .into_root_schema_for::<AutomationFile>();
    let mut schema = schema.to_value();
    schema["title"] = "pushctl automation".into();
    schema
}

/// TOML has no null, and editors complete from `enum` rather than from a choice of constants.
#[derive(Debug, Clone)]
struct AsToml;

impl Transform for AsToml {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                schema.insert("type".to_owned(), only);
            }
        }
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        object.remove("format");
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice["type"] != "null");
            if let [Value::Object(only)] = choices.as_mut_slice() {
                let only = std::mem::take(only);
                object.remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
        if let Some(Value::Array(choices)) = object.get("oneOf") {
            let values = choices.iter().map(|choice| choice["const"].clone());
            let values: Vec<Value> = values.collect();
            object.remove("oneOf");
            object.insert("type".to_owned(), "string".into());
            object.insert("enum".to_owned(), values.into());
        }
    }
}
