//! The text of a new automation file, with a push for each file of its audience. It passes `check` and sends nothing:
//! it is not enabled, and its only test user does not exist.

use toml::Value;

use super::file_name;
use super::toml_writer::TomlWriter;
use crate::audience::Definition;
use crate::audience::parameters::{Declaration, Type};

/// A user id that no user has. A test push to it is never accepted, so no live push follows.
pub(super) const NO_USER: &str = "00000000-0000-0000-0000-000000000000";

/// The maximum of pushes.
pub(super) const MAX_PUSHES: usize = 20;

/// Returns the text of a new automation. `has_test_users`: the configuration names test users.
pub fn starter(name: &str, audience: &Definition, has_test_users: bool) -> String {
    let mut out = TomlWriter::new();
    out.comment(
        "An automation: an audience, its pushes and a time. Every key: `pushctl schema automation`.",
    );
    out.set("name", name);
    out.set("description", audience.header.title.as_str());
    out.set_saying(
        "enabled",
        false,
        "true: it may send without a person; a scheduler skips it otherwise",
    );
    schedule(&mut out);
    out.table("audience");
    out.set("name", audience.name.as_str());
    parameters(&mut out, audience);
    for file in audience.header.files.iter().take(MAX_PUSHES) {
        let variables: Vec<String> = file
            .column_names()
            .map(|column| format!("[[var:{column}]]"))
            .collect();
        out.blank();
        if !file.help.is_empty() {
            out.comment(&format!("To: {}.", file.help));
        }
        out.comment(&format!("Variables: {}", variables.join(" ")));
        out.entry("push");
        out.set("audience_file", file_name(file));
        out.set_saying(
            "layer",
            2,
            "1 platform-wide, 2 product and trend, 3 behaviour, 5 new users",
        );
        out.set("title", "Write the title here");
        out.set("body", "Write the text here");
        out.offer(
            "deep_link",
            "https://example.com/",
            "the link that a tap opens",
        );
    }
    out.table("test");
    test_users(&mut out, has_test_users);
    out.table("window");
    out.set_saying(
        "cancel_minutes",
        25,
        &format!("time between test and live pushes in which `pushctl cancel {name}` stops it"),
    );
    out.table("safeguards");
    out.set_saying("max_audience", 10_000, "refuse more recipients than this");
    out.set_saying(
        "max_failure_rate",
        0.1,
        "stop sending above this share of failures",
    );
    out.set_saying("quiet_hours", "21:00-09:00", "no push in these hours");
    out.finish()
}

fn schedule(out: &mut TomlWriter) {
    out.table("schedule");
    out.set_saying("send_at", "13:33", "when recipients receive it");
    out.set_saying(
        "timezone",
        "UTC",
        "of send_at and quiet_hours: a name like \"America/Chicago\"",
    );
    out.set_saying(
        "frequency",
        "daily",
        "or \"weekly\" with weekdays = [\"tue\"], \"monthly\" with day, \"once\" with date",
    );
    out.set_saying(
        "lead_minutes",
        30,
        "the audience is generated this long before",
    );
    out.set_saying(
        "max_lateness_minutes",
        15,
        "a start that is later than this sends nothing",
    );
}

/// Writes the parameters that the audience needs, and offers the others.
fn parameters(out: &mut TomlWriter, audience: &Definition) {
    let (required, others): (Vec<_>, Vec<_>) =
        audience.parameters.iter().partition(|one| one.required);
    if required.is_empty() && others.is_empty() {
        return;
    }
    if required.is_empty() {
        out.blank();
        out.comment("Parameters keep their defaults unless they are set here:");
        out.comment("[audience.params]");
    } else {
        out.table("audience.params");
    }
    for one in required {
        out.set_saying(
            &one.name,
            stand_in(one),
            &format!("replace this: {}", one.help),
        );
    }
    for one in others {
        let default = one.default_text().unwrap_or_default();
        out.offer(&one.name, typed(one, &default), &one.help);
    }
}

/// Writes the test users: those of the configuration, or one that does not exist.
pub(super) fn test_users(out: &mut TomlWriter, has_test_users: bool) {
    if has_test_users {
        out.offer(
            "user_ids",
            vec![NO_USER],
            "in place of the configuration's test_users",
        );
    } else {
        out.comment(
            "Replace this by the ids of your test users. Until then no test push is accepted, and no live push is sent.",
        );
        out.set("user_ids", vec![NO_USER]);
    }
    out.set_saying(
        "required",
        true,
        "a live push needs every test push to be accepted",
    );
}

/// Returns a value that fits a parameter, for a person to replace.
pub(super) fn stand_in(parameter: &Declaration) -> Value {
    match parameter.kind {
        Type::Integer => parameter
            .min
            .unwrap_or(1)
            .min(parameter.max.unwrap_or(1))
            .into(),
        Type::Text => "replace".into(),
        Type::Uuid => NO_USER.into(),
        Type::Timestamp => "2026-01-01T00:00:00Z".into(),
        Type::Boolean => false.into(),
    }
}

/// Returns a value of a parameter, which has been checked, as TOML has it.
pub(super) fn typed(parameter: &Declaration, text: &str) -> Value {
    match parameter.kind {
        Type::Integer => text
            .parse::<i64>()
            .map_or_else(|_| text.into(), Value::from),
        Type::Boolean => (text == "true").into(),
        Type::Text | Type::Uuid | Type::Timestamp => text.into(),
    }
}
