//! `[[push]]`: the file it goes to, its texts against that file's columns, its layer and its delay.

use std::collections::BTreeMap;
use std::ops::Range;

use super::CheckedFile;
use crate::audience::Definition;
use crate::audience::header::OutputFile;
use crate::automation::file::variant_name;
use crate::automation::quiet_hours::clock_time;
use crate::automation::toml_tree;
use crate::automation::toml_tree::{Node, part_of};
use crate::automation::{file_name, file_named};
use crate::suggest::nearest;
use crate::template::message_options::MessageOptions;
use crate::template::push::{Problem, PushTemplate, Variant, Wording, variant_place};
use crate::template::{Fault, Flaw, LITERAL_HINT, Template};

/// The options of a message that are texts without variables.
const OPTIONS: [&str; 4] = ["expires", "sound", "channel_id", "analytics_label"];

impl<'c> CheckedFile<'c, '_> {
    /// Checks the audience, and every push against it.
    pub(super) fn audience_and_pushes(&mut self) {
        let definition = self.audience();
        for (index, push) in toml_tree::entries(self.root, "push").enumerate() {
            let file = definition
                .as_ref()
                .and_then(|definition| self.audience_file(push, definition));
            self.texts(push, file);
            if let Some((4, span)) = toml_tree::integer(push, "layer") {
                self.findings
                    .warning("layer", &span, "layer 4 is for tests: no cadence rule limits these pushes")
                    .hint("1 platform-wide moments, 2 product and trend triggers, 3 behaviour-responsive, 5 new-user series");
            }
            if index == 0
                && let Some((1.., span)) = toml_tree::integer(push, "delay_minutes")
            {
                self.findings
                    .error(
                        "delay",
                        &span,
                        "the first push has no push before it to wait for",
                    )
                    .hint("it goes out at send_at; move that instead");
            }
        }
    }

    fn audience_file<'d>(
        &mut self,
        push: &Node<'_>,
        definition: &'d Definition,
    ) -> Option<&'d OutputFile> {
        let (written, span) = toml_tree::text(push, "audience_file")?;
        if let Some(index) = file_named(definition, written) {
            return definition.header.files.get(index);
        }
        let names: Vec<&str> = definition.header.files.iter().map(file_name).collect();
        let hint = match nearest(written, names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it has: {}", names.join(", ")),
        };
        self.findings
            .error(
                "audience-file",
                &span,
                format!("the audience {} has no file \"{written}\"", definition.name),
            )
            .hint(hint);
        None
    }

    fn texts(&mut self, push: &'c Node<'_>, file: Option<&OutputFile>) {
        let mut spans = BTreeMap::new();
        let mut text = |table: &'c Node<'_>, key: &str, place: String| {
            let (text, span) = toml_tree::text(table, key)?;
            spans.insert(place, (text, span));
            Some(text.to_owned())
        };
        let title = text(push, "title", "title".into());
        let body = text(push, "body", "body".into());
        let deep_link = text(push, "deep_link", "deep_link".into());
        let mut option = |key: &str| text(push, key, key.to_owned());
        let options = MessageOptions {
            expires: option("expires"),
            image: option("image"),
            sound: option("sound"),
            channel_id: option("channel_id"),
            analytics_label: option("analytics_label"),
            ..MessageOptions::default()
        };
        let mut data = BTreeMap::new();
        if let Some(table) = toml_tree::get(push, "data") {
            for (key, _) in table.get_ref().as_table().into_iter().flatten() {
                let key = key.get_ref().as_ref();
                if let Some(value) = text(table, key, format!("data.{key}")) {
                    data.insert(key.to_owned(), value);
                }
            }
        }
        let mut variants = Vec::new();
        for (index, table) in toml_tree::entries(push, "variant").enumerate() {
            let name = toml_tree::text(table, "name");
            let name = name.map_or_else(|| variant_name(index), |(name, _)| name.to_owned());
            let place = |key: &str| variant_place(&name, key);
            let title = text(table, "title", place("title"));
            let body = text(table, "body", place("body"));
            let share = toml_tree::integer(table, "share");
            let share = share.and_then(|(share, _)| u8::try_from(share).ok());
            variants.push(Variant {
                title,
                body,
                share: share.unwrap_or_default(),
                name,
            });
        }
        // A missing text or one of the wrong type is reported elsewhere; a placeholder replaces it here.
        let stand_in = || "-".to_owned();
        let wording = Wording {
            title: title.unwrap_or_else(stand_in),
            body: body.unwrap_or_else(stand_in),
            deep_link,
            data,
            variants,
            options,
        };
        if let Err(problems) = PushTemplate::parse(&wording, self.against.link_hosts) {
            for problem in problems {
                if let Some((text, span)) = spans.get(&problem.place) {
                    self.problem(&problem, text, span);
                } else if problem.place == "variant"
                    && let Some(span) = toml_tree::key_span(push, "variant")
                {
                    self.findings.error("variant", &span, problem.reason);
                }
            }
        }
        if let Some((text, span)) = spans.get("deep_link") {
            self.link_host(text, span);
        }
        if let Some((text, span)) = toml_tree::text(push, "expires_at")
            && let Err(why) = clock_time(text)
        {
            self.findings.error("message", &span, why);
        }
        let is_template = |place: &&String| !OPTIONS.contains(&place.as_str());
        let templates = spans.iter().filter(|(place, _)| is_template(place));
        for (text, span) in templates.map(|(_, found)| found) {
            let Ok(template) = Template::parse(text) else {
                continue;
            };
            if let Some(file) = file {
                self.columns(&template, span, file);
            }
        }
    }

    fn problem(&mut self, problem: &Problem, text: &str, span: &Range<usize>) {
        let Some(Flaw { span: part, fault }) = &problem.flaw else {
            let is_option = OPTIONS.contains(&problem.place.as_str());
            let message = match problem.reason.strip_prefix("it is ") {
                Some(what) => format!("`{}` is {what}", problem.place),
                None if is_option => format!("`{}`: {}", problem.place, problem.reason),
                None => problem.reason.clone(),
            };
            self.findings.error("text", span, message);
            return;
        };
        let source = self.findings.source();
        let mut place = part_of(source, span, text.get(part.clone()).unwrap_or_default());
        if let Fault::UnknownFilter { name, .. } = fault
            && place == *span
        {
            place = part_of(source, span, name);
        }
        let (message, hint) = match fault {
            Fault::UnknownFilter { name, nearest } => (
                format!("there is no filter `{name}`"),
                Some(match nearest {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "filters are: default, number, plural, truncate, urlencode".to_owned(),
                }),
            ),
            Fault::NearVariable { .. } => (problem.reason.clone(), Some(LITERAL_HINT.to_owned())),
            _ => (problem.reason.clone(), None),
        };
        self.findings
            .error("template", &place, message)
            .maybe_hint(hint);
    }

    /// Warns about a variable in the host: the target differs by row.
    fn link_host(&mut self, link: &str, span: &Range<usize>) {
        let Some((head, _)) = link.split_once("[[var:") else {
            return;
        };
        let host = head.strip_prefix("https://").unwrap_or(head);
        if !host.contains(['/', '?', '#']) {
            self.findings
                .warning("text", span, "the target of this link is known only row by row")
                .hint("rows whose link does not lead to an allowed host are skipped; write the host literally if possible");
        }
    }

    fn columns(&mut self, template: &Template, span: &Range<usize>, file: &OutputFile) {
        let columns: Vec<&str> = file.column_names().collect();
        let mut said = Vec::new();
        for name in template.columns().filter(|name| !columns.contains(name)) {
            if said.contains(&name) {
                continue;
            }
            said.push(name);
            let place = part_of(self.findings.source(), span, &format!("[[var:{name}"));
            let start = if place == *span {
                place.start
            } else {
                place.start + "[[var:".len()
            };
            let hint = match nearest(name, columns.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has: {}", columns.join(", ")),
            };
            let message = format!("{} has no column `{name}`", file_name(file));
            self.findings
                .error("variable", &(start..place.end), message)
                .hint(hint);
        }
    }
}
