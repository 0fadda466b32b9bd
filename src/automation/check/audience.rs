//! `[audience]`: its name and its parameters.

use super::CheckedFile;
use crate::audience::Definition;
use crate::audience::parameters::{Declaration, Type};
use crate::automation::file::Safeguards;
use crate::automation::toml_tree;
use crate::automation::toml_tree::{Node, integer_value, type_name};
use crate::clock::text::{duration, show_duration};
use crate::suggest::nearest;

impl<'c> CheckedFile<'c, '_> {
    /// Returns the audience's definition, with its parameters checked.
    pub(super) fn audience(&mut self) -> Option<Definition> {
        let table = self.table("audience")?;
        let (name, span) = toml_tree::text(table, "name")?;
        let catalogue = self.against.catalogue;
        if !catalogue.names().any(|known| known == name) {
            let hint = match nearest(name, catalogue.names()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!(
                    "there are: {}",
                    catalogue.names().collect::<Vec<_>>().join(", ")
                ),
            };
            self.findings
                .error(
                    "audience",
                    &span,
                    format!("there is no audience \"{name}\""),
                )
                .hint(hint);
            return None;
        }
        let definition = match catalogue.get(name) {
            Ok(definition) => definition,
            Err(error) => {
                self.findings
                    .error(
                        "audience",
                        &span,
                        format!("the query file of \"{name}\" is wrong: {error:#}"),
                    )
                    .maybe_hint(error.hints().first().cloned());
                return None;
            }
        };
        self.parameters(table, &definition);
        self.fallback(table);
        Some(definition)
    }

    /// Checks that an earlier audience would be young enough for `max_audience_age`, too.
    fn fallback(&mut self, table: &Node<'_>) {
        let Some((given, span)) = toml_tree::text(table, "fallback_max_age") else {
            return;
        };
        let safeguards = self.table("safeguards");
        let most = safeguards.and_then(|table| toml_tree::text(table, "max_audience_age"));
        let most = most.map_or_else(
            || Safeguards::default().max_audience_age,
            |(most, _)| most.to_owned(),
        );
        match (duration(given), duration(&most)) {
            (Err(why), _) => {
                self.findings.error("safeguard", &span, why);
            }
            (Ok(given), Ok(most)) if given > most => {
                let message = format!(
                    "fallback_max_age is more than max_audience_age, which is {}",
                    show_duration(most)
                );
                self.findings.error("safeguard", &span, message);
            }
            _ => {}
        }
    }

    fn parameters(&mut self, table: &'c Node<'_>, definition: &Definition) {
        let params = toml_tree::get(table, "params");
        let given = params.and_then(|node| node.get_ref().as_table());
        for (key, value) in given.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            match definition
                .parameters
                .iter()
                .find(|parameter| parameter.name == name)
            {
                Some(declaration) => self.parameter(declaration, value),
                None => self.unknown_parameter(name, &key.span(), definition),
            }
        }
        let span = params.map_or(table.span(), Node::span);
        for declaration in definition
            .parameters
            .iter()
            .filter(|parameter| parameter.required)
        {
            if !given.is_some_and(|given| given.contains_key(declaration.name.as_str())) {
                let message = format!(
                    "the audience {} needs the parameter `{}`",
                    definition.name, declaration.name
                );
                self.findings
                    .error("parameter", &span, message)
                    .hint(&declaration.help);
            }
        }
    }

    fn unknown_parameter(
        &mut self,
        name: &str,
        span: &std::ops::Range<usize>,
        definition: &Definition,
    ) {
        let names: Vec<&str> = definition
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has: {}", names.join(", ")),
        };
        self.findings
            .error(
                "parameter",
                span,
                format!("the audience {} has no parameter `{name}`", definition.name),
            )
            .hint(hint);
    }

    fn parameter(&mut self, declaration: &Declaration, value: &Node<'_>) {
        let name = &declaration.name;
        let node = value.get_ref();
        let (wanted, fits) = match declaration.kind {
            Type::Integer => ("a whole number", node.is_integer()),
            Type::Boolean => ("true or false", node.is_bool()),
            Type::Text => ("text", node.is_str()),
            Type::Uuid => ("an id in quotes", node.is_str()),
            Type::Timestamp => (
                "a time in quotes, like \"2026-11-21T13:33:00Z\"",
                node.is_str(),
            ),
        };
        if !fits {
            // The structure check has already reported a value that is of no parameter's type.
            if node.is_integer() || node.is_bool() || node.is_str() {
                self.findings
                    .error(
                        "parameter",
                        &value.span(),
                        format!("`{name}` must be {wanted}, not {}", type_name(value)),
                    )
                    .hint(match node.as_str() {
                        Some(text) if declaration.check(text).is_ok() => {
                            format!("write it without quotes: {text}")
                        }
                        _ => declaration.help.clone(),
                    });
            }
            return;
        }
        let text = match node.as_bool() {
            Some(value) => value.to_string(),
            None => integer_value(value).map_or_else(
                || node.as_str().unwrap_or_default().to_owned(),
                |number| number.to_string(),
            ),
        };
        if let Err(why) = declaration.check(&text) {
            self.findings
                .error("parameter", &value.span(), format!("`{name}`: {why}"))
                .hint(&declaration.help);
        }
    }
}
