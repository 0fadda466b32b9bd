//! `[safeguards]` and `[notify]`.

use std::ops::Range;

use jiff::SignedDuration;

use super::CheckedFile;
use crate::automation::file::environment_name;
use crate::automation::quiet_hours::QuietHours;
use crate::automation::schedule::Schedule;
use crate::automation::toml_tree;
use crate::automation::toml_tree::{Node, part_of};
use crate::clock::text::duration;

impl CheckedFile<'_, '_> {
    /// Checks for limits that contradict each other, and quiet hours that contradict the schedule.
    pub(super) fn safeguards(&mut self, schedule: Option<&Schedule>) {
        let Some(table) = self.table("safeguards") else {
            return;
        };
        let max = toml_tree::integer(table, "max_audience");
        let warn = toml_tree::integer(table, "warn_audience");
        if let (Some((max, _)), Some((warn, span))) = (max, warn)
            && warn >= max
        {
            self.findings.warning(
                "safeguard",
                &span,
                format!("the warning at {warn} never appears: from {max} on the run is refused"),
            );
        }
        let min = toml_tree::integer(table, "min_audience");
        if let (Some((min, span)), Some((max, _))) =
            (min, toml_tree::integer(table, "max_audience"))
            && min > max
        {
            self.findings.error(
                "safeguard",
                &span,
                format!("min_audience = {min} is more than max_audience = {max}: every run would be refused"),
            );
        }
        if let Some((age, span)) = toml_tree::text(table, "max_audience_age")
            && let Err(why) = duration(age)
        {
            self.findings.error("safeguard", &span, why);
        }
        if let Some(quiet) = self.quiet_hours(table)
            && let Some(schedule) = schedule
        {
            self.quiet_pushes(table, quiet, schedule);
        }
    }

    fn quiet_hours(&mut self, table: &Node<'_>) -> Option<QuietHours> {
        let Some((text, span)) = toml_tree::text(table, "quiet_hours") else {
            if let Some(span) = toml_tree::key_span(table, "quiet_hours_action")
                && toml_tree::get(table, "quiet_hours").is_none()
            {
                self.findings.warning(
                    "quiet-hours",
                    &span,
                    "`quiet_hours_action` has no effect without `quiet_hours`",
                );
            }
            return None;
        };
        match text.parse() {
            Ok(quiet) => Some(quiet),
            Err(why) => {
                self.findings.error("quiet-hours", &span, why);
                None
            }
        }
    }

    /// Checks for pushes, and test pushes, in the quiet hours: every run would refuse or delay them.
    fn quiet_pushes(&mut self, table: &Node<'_>, quiet: QuietHours, schedule: &Schedule) {
        let delayed = toml_tree::text(table, "quiet_hours_action")
            .is_some_and(|(action, _)| action == "delay");
        let hours = toml_tree::get(table, "quiet_hours").map_or(table.span(), Node::span);
        let mut check = |what: &str, after: SignedDuration, span: &Range<usize>| {
            // Whether there are test users is not known here.
            let is_certain = !what.contains("test");
            let mut times = schedule.rule.times().map(|time| time.wrapping_add(after));
            let Some(time) = times.find(|time| quiet.contains(*time)) else {
                return false;
            };
            let time = time.strftime("%H:%M");
            let message = format!("{what} due at {time}, inside the quiet hours {quiet}");
            let hint = if delayed {
                format!(
                    "in every run, they wait until {}",
                    quiet.to.strftime("%H:%M")
                )
            } else {
                "every run would be refused: move one of the two, or say quiet_hours_action = \"delay\"".to_owned()
            };
            let finding = if delayed || !is_certain {
                self.findings.warning("quiet-hours", span, message)
            } else {
                self.findings.error("quiet-hours", span, message)
            };
            finding.hint(hint);
            true
        };
        let mut after = SignedDuration::ZERO;
        for (index, push) in toml_tree::entries(self.root, "push").enumerate() {
            let delay = toml_tree::integer(push, "delay_minutes");
            let minutes = delay.as_ref().map_or(0, |(minutes, _)| *minutes);
            after += SignedDuration::from_mins(minutes.clamp(0, 1440));
            if index == 0 {
                // A test at the same time as the pushes needs no second message.
                if !check("the pushes are", after, &hours) {
                    check("the test pushes are", -schedule.window, &hours);
                }
            } else if let Some((1.., span)) = delay {
                check(&format!("push {} is", index + 1), after, &span);
            }
        }
    }

    /// Checks that addresses, which are secrets, are given by the name of an environment variable.
    pub(super) fn notify(&mut self) {
        let Some(table) = self.table("notify") else {
            return;
        };
        for (kind, address) in [("kind", "webhook"), ("heartbeat_kind", "heartbeat")] {
            if let Some(span) = toml_tree::key_span(table, kind)
                && toml_tree::get(table, address).is_none()
            {
                let message = format!("`{kind}` has no effect without `{address}`");
                self.findings.warning("notify", &span, message);
            }
        }
        for (key, example) in [
            ("webhook", "env:SLACK_WEBHOOK_URL"),
            ("heartbeat", "env:HEALTHCHECK_URL"),
        ] {
            let Some((text, span)) = toml_tree::text(table, key) else {
                continue;
            };
            if environment_name(text).is_some() {
                continue;
            }
            let message = if text.contains("://") {
                format!("the address of a {key} is a secret, and must not stand in this file")
            } else if let Some(name) = text.strip_prefix("env:") {
                let span = part_of(self.findings.source(), &span, name);
                self.findings
                    .error(
                        "notify",
                        &span,
                        format!("\"{name}\" cannot be the name of an environment variable"),
                    )
                    .hint("use letters, digits and `_`, without a digit first");
                continue;
            } else {
                format!("`{key}` names no environment variable")
            };
            let named = format!("env:{text}");
            let hint = if environment_name(&named).is_some() {
                format!("did you mean \"{named}\"?")
            } else {
                format!("set an environment variable and name it here: {key} = \"{example}\"")
            };
            self.findings.error("notify", &span, message).hint(hint);
        }
    }
}
