//! The texts of one push: title, body, deep link and data, checked together and rendered together.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::link::AllowedHosts;
use super::message_options::{MessageOptions, NullLike};
use super::{Bound, Extent, Fault, Flaw, LITERAL_HINT, Row, Skip, Template};
use crate::error::Error;

/// Maximum bytes of notification and data together, as the push service limits them.
pub const MAX_PAYLOAD: usize = 4096;

/// The maximum of letters of a variant's name.
const MAX_VARIANT_NAME: usize = 40;

/// Data keys that carry the deep link.
pub const LINK_KEYS: [&str; 2] = ["click_action", "url"];

/// The texts as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wording {
    /// First line on the phone.
    pub title: String,
    /// The text below it.
    pub body: String,
    /// The https URL that a tap opens.
    pub deep_link: Option<String>,
    /// Further strings for the app.
    pub data: BTreeMap<String, String>,
    /// What the message says beside its texts. Runs of earlier versions recorded none.
    #[serde(default)]
    pub options: MessageOptions,
    /// Other titles and bodies, each for a share of the recipients; none, or shares that add up to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

/// A title and a body for a share of the recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name in outcomes and reports.
    pub name: String,
    /// In place of the push's title.
    pub title: Option<String>,
    /// In place of the push's body.
    pub body: Option<String>,
    /// The share of the recipients, in percent.
    pub share: u8,
}

/// The texts of a push, parsed and checked as far as that is possible without an audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTemplate {
    title: Template,
    body: Template,
    deep_link: Option<Template>,
    image: Option<Template>,
    data: Vec<(String, Template)>,
    /// The title and the body of each variant.
    variants: Vec<VariantTexts<Template>>,
    options: MessageOptions,
    hosts: AllowedHosts,
}

/// The texts of a variant; the push has those that it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VariantTexts<T> {
    name: String,
    title: Option<T>,
    body: Option<T>,
}

/// The texts of a push, ready for the rows of one audience.
#[derive(Debug, Clone)]
pub struct BoundPush {
    title: Bound,
    body: Bound,
    deep_link: Option<Bound>,
    image: Option<Bound>,
    data: Vec<(String, Bound)>,
    variants: Vec<VariantTexts<Bound>>,
    options: MessageOptions,
    hosts: AllowedHosts,
}

/// The texts for one row; a buffer that is reused for the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendered {
    pub title: String,
    /// The text below it.
    pub body: String,
    /// Empty when the push has none.
    pub deep_link: String,
    /// The URL of the picture; empty when the push has none.
    pub image: String,
    /// Values of the data, in the order of [`BoundPush::data_keys`].
    pub data: Vec<String>,
}

/// An error in a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The text: `title`, `body`, `deep_link`, `image`, `data.KEY` or `variant.NAME.title`; or the option.
    pub place: String,
    /// The error message.
    pub reason: String,
    /// The place in that text, if it is one place.
    pub flaw: Option<Flaw>,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.reason)
    }
}

impl Problem {
    fn new(place: &str, reason: impl fmt::Display) -> Self {
        Self {
            place: place.to_owned(),
            reason: reason.to_string(),
            flaw: None,
        }
    }

    fn of(place: &str, flaw: Flaw) -> Self {
        Self {
            flaw: Some(flaw.clone()),
            ..Self::new(place, flaw)
        }
    }

    /// Returns all problems as one error.
    pub fn error(problems: &[Self]) -> Error {
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let error = Error::usage(said.join("; "));
        let is_near = |flaw: &Flaw| matches!(flaw.fault, Fault::NearVariable { .. });
        if problems
            .iter()
            .any(|one| one.flaw.as_ref().is_some_and(is_near))
        {
            return error.hint(LITERAL_HINT);
        }
        error
    }
}

impl PushTemplate {
    /// Parses and checks the texts; reports every error.
    pub fn parse(wording: &Wording, hosts: &AllowedHosts) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut text = |place: &str, source: &str| match Template::parse(source) {
            Ok(template) => Some(template),
            Err(flaw) => {
                problems.push(Problem::of(place, flaw));
                None
            }
        };
        let title = text("title", &wording.title);
        let body = text("body", &wording.body);
        let deep_link = wording
            .deep_link
            .as_ref()
            .map(|link| text("deep_link", link));
        let options = &wording.options;
        let image = options.image.as_ref().map(|image| text("image", image));
        let data: Vec<(String, Option<Template>)> = wording
            .data
            .iter()
            .map(|(key, value)| (key.clone(), text(&format!("data.{key}"), value)))
            .collect();
        let variants: Vec<VariantTexts<Template>> = wording
            .variants
            .iter()
            .map(|variant| {
                let mut part = |key: &str, source: &Option<String>| {
                    let place = variant_place(&variant.name, key);
                    source.as_ref().and_then(|source| text(&place, source))
                };
                VariantTexts {
                    name: variant.name.clone(),
                    title: part("title", &variant.title),
                    body: part("body", &variant.body),
                }
            })
            .collect();

        problems.extend(wording.control_characters());
        problems.extend(wording.empty_texts());
        problems.extend(wording.variant_problems());
        for key in wording.data.keys() {
            if let Some(reason) = reserved(key, wording.deep_link.is_some()) {
                problems.push(Problem::new(&format!("data.{key}"), reason));
            }
        }
        if let Some(Some(link)) = &deep_link
            && let Err(reason) = check_link(link, hosts)
        {
            problems.push(Problem::new("deep_link", reason));
        }
        if let Some(Some(image)) = &image
            && !may_be_image(image.head().0)
        {
            problems.push(Problem::new("image", "it does not begin with https://"));
        }
        let faults = options.faults().into_iter();
        problems.extend(faults.map(|fault| Problem::new(fault.name, fault.reason)));
        match (title, body, problems.is_empty()) {
            (Some(title), Some(body), true) => Ok(Self {
                title,
                body,
                deep_link: deep_link.flatten(),
                image: image.flatten(),
                options: options.clone(),
                data: data
                    .into_iter()
                    .filter_map(|(key, template)| Some((key, template?)))
                    .collect(),
                variants,
                hosts: hosts.clone(),
            }),
            _ => Err(problems),
        }
    }

    /// Returns what the message says beside its texts.
    pub fn options(&self) -> &MessageOptions {
        &self.options
    }

    /// Binds the variables of its texts to the columns of an audience.
    pub fn bind<S: AsRef<str>>(&self, columns: &[S]) -> Result<BoundPush, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut bound: Vec<Option<Bound>> = Vec::new();
        for (place, text) in self.texts() {
            bound.push(match text.bind(columns) {
                Ok(text) if self.options.null_like == Some(NullLike::Skip) => {
                    Some(text.skipping_nulls())
                }
                Ok(text) => Some(text),
                Err(flaws) => {
                    let found = flaws.into_iter().map(|flaw| Problem::of(&place, flaw));
                    problems.extend(found);
                    None
                }
            });
        }
        let Some(bound) = bound.into_iter().collect::<Option<Vec<Bound>>>() else {
            return Err(problems);
        };
        // In the order of `texts`.
        let mut bound = bound.into_iter();
        let (Some(title), Some(body)) = (bound.next(), bound.next()) else {
            return Err(problems);
        };
        let deep_link = self.deep_link.as_ref().and_then(|_| bound.next());
        let image = self.image.as_ref().and_then(|_| bound.next());
        let keys = self.data.iter().map(|(key, _)| key.clone());
        let data = keys.zip(bound.by_ref()).collect();
        let variants = self.variants.iter().map(|variant| VariantTexts {
            name: variant.name.clone(),
            title: variant.title.as_ref().and_then(|_| bound.next()),
            body: variant.body.as_ref().and_then(|_| bound.next()),
        });
        Ok(BoundPush {
            variants: variants.collect(),
            title,
            body,
            deep_link,
            image,
            data,
            options: self.options.clone(),
            hosts: self.hosts.clone(),
        })
    }

    fn texts(&self) -> impl Iterator<Item = (String, &Template)> {
        let link = self.deep_link.iter();
        let image = self.image.iter();
        let data = self.data.iter();
        [
            ("title".to_owned(), &self.title),
            ("body".to_owned(), &self.body),
        ]
        .into_iter()
        .chain(link.map(|text| ("deep_link".to_owned(), text)))
        .chain(image.map(|text| ("image".to_owned(), text)))
        .chain(data.map(|(key, text)| (format!("data.{key}"), text)))
        .chain(self.variants.iter().flat_map(|variant| {
            variant_texts(&variant.name, variant.title.as_ref(), variant.body.as_ref())
        }))
    }
}

/// Returns the texts that a variant has, by their places.
fn variant_texts<'t, T>(
    name: &str,
    title: Option<&'t T>,
    body: Option<&'t T>,
) -> impl Iterator<Item = (String, &'t T)> + use<'t, T> {
    let parts = [("title", title), ("body", body)];
    parts
        .map(|(key, text)| (variant_place(name, key), text))
        .into_iter()
        .filter_map(|(place, text)| Some((place, text?)))
}

/// Returns the place of a variant's text in a [`Problem`].
pub(crate) fn variant_place(name: &str, key: &str) -> String {
    format!("variant.{name}.{key}")
}

impl Wording {
    /// Returns a problem for each text with a control character. A body may have line breaks and tabs.
    fn control_characters(&self) -> Vec<Problem> {
        let link = self.deep_link.iter();
        let link = link.map(|link| ("deep_link".to_owned(), link));
        let image = self.options.image.iter();
        let image = image.map(|image| ("image".to_owned(), image));
        let data = self.data.iter();
        let data = data.map(|(key, text)| (format!("data.{key}"), text));
        let texts = self.shown_texts().chain(link).chain(image).chain(data);
        let problem = |(place, source): (String, &String)| {
            let is_line_break =
                |letter: char| matches!(letter, '\n' | '\t') && !place.ends_with("title");
            let mut letters = source.chars();
            let found = letters.find(|letter| letter.is_control() && !is_line_break(*letter))?;
            let reason = format!(
                "it contains the control character {}",
                found.escape_unicode()
            );
            Some(Problem::new(&place, reason))
        };
        texts.filter_map(problem).collect()
    }

    fn empty_texts(&self) -> Vec<Problem> {
        let texts = self.shown_texts();
        let empty = texts.filter(|(_, source)| source.trim().is_empty());
        empty
            .map(|(place, _)| Problem::new(&place, "it is empty"))
            .collect()
    }

    /// Returns the titles and the bodies.
    fn shown_texts(&self) -> impl Iterator<Item = (String, &String)> {
        let own = [("title", &self.title), ("body", &self.body)];
        let own = own.map(|(place, text)| (place.to_owned(), text));
        own.into_iter().chain(self.variant_texts())
    }

    fn variant_texts(&self) -> impl Iterator<Item = (String, &String)> {
        self.variants.iter().flat_map(|variant| {
            variant_texts(&variant.name, variant.title.as_ref(), variant.body.as_ref())
        })
    }

    /// Returns what is wrong with the names and the shares of the variants.
    fn variant_problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut seen = Vec::new();
        for variant in &self.variants {
            let name = &variant.name;
            let is_word =
                |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
            if name.is_empty() || name.len() > MAX_VARIANT_NAME || !name.chars().all(is_word) {
                let reason = format!(
                    "the name {name:?} must be 1 to {MAX_VARIANT_NAME} letters, digits, - or _"
                );
                problems.push(Problem::new("variant", reason));
            }
            if seen.contains(&name) {
                problems.push(Problem::new(
                    "variant",
                    format!("there are two with the name {name:?}"),
                ));
            }
            seen.push(name);
        }
        let shares: u32 = self.variants.iter().map(|one| u32::from(one.share)).sum();
        if !self.variants.is_empty() && shares != 100 {
            let reason = format!("the shares add up to {shares}, and must add up to 100");
            problems.push(Problem::new("variant", reason));
        }
        problems
    }
}

/// Returns the result of checking a deep link without a row: complete, if its host comes before its first variable.
fn check_link(link: &Template, hosts: &AllowedHosts) -> Result<(), String> {
    let verdict = match link.head() {
        (text, Extent::Whole) => Some(hosts.check(text)),
        (text, Extent::Start) => hosts.check_head(text),
    };
    verdict
        .unwrap_or(Ok(()))
        .map_err(|refusal| format!("{refusal} (allowed: {})", hosts.names().join(", ")))
}

/// Returns whether the beginning of a picture's URL, up to its first variable, is that of an https URL.
fn may_be_image(head: &str) -> bool {
    const SCHEME: &str = "https://";
    SCHEME.starts_with(head) || head.starts_with(SCHEME)
}

/// Returns why `key` cannot be a data key.
fn reserved(key: &str, linked: bool) -> Option<&'static str> {
    if key.is_empty() {
        return Some("a data key cannot be empty");
    }
    let taken = ["from", "message_type"].contains(&key)
        || ["google.", "gcm."]
            .iter()
            .any(|prefix| key.starts_with(prefix));
    if taken {
        return Some("this key is reserved by the push service");
    }
    (linked && LINK_KEYS.contains(&key)).then_some("this key carries the deep link")
}

impl BoundPush {
    /// Returns the data keys, in the order of [`Rendered::data`].
    pub fn data_keys(&self) -> impl Iterator<Item = &str> {
        self.data.iter().map(|(key, _)| key.as_str())
    }

    /// Returns whether the push has a deep link.
    pub fn has_deep_link(&self) -> bool {
        self.deep_link.is_some()
    }

    /// Returns what the message says beside its texts.
    pub fn options(&self) -> &MessageOptions {
        &self.options
    }

    /// Renders all texts of a variant, or of the push itself, for `row` into `into`, replacing its content.
    pub fn render<R: Row + ?Sized>(
        &self,
        row: &R,
        variant: Option<usize>,
        into: &mut Rendered,
    ) -> Result<(), Skip> {
        let variant = variant.and_then(|place| self.variants.get(place));
        let title = variant.and_then(|variant| variant.title.as_ref());
        let body = variant.and_then(|variant| variant.body.as_ref());
        into.title.clear();
        title.unwrap_or(&self.title).render(row, &mut into.title)?;
        into.body.clear();
        body.unwrap_or(&self.body).render(row, &mut into.body)?;
        into.deep_link.clear();
        if let Some(link) = &self.deep_link {
            link.render(row, &mut into.deep_link)?;
            self.hosts.check(&into.deep_link).map_err(Skip::Link)?;
        }
        into.image.clear();
        if let Some(image) = &self.image {
            image.render(row, &mut into.image)?;
            let is_url = into.image.len() > "https://".len()
                && into.image.starts_with("https://")
                && !into.image.contains(char::is_whitespace);
            if !is_url {
                return Err(Skip::Image);
            }
        }
        into.data.resize_with(self.data.len(), String::new);
        for ((_, text), value) in self.data.iter().zip(&mut into.data) {
            value.clear();
            text.render(row, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wording() -> Wording {
        Wording {
            variants: Vec::new(),
            title: "Hi [[var:first_name|default:\"there\"]]".into(),
            body: "[[var:count]] want your [[var:shoe]]".into(),
            deep_link: Some("https://tradeblock.us/closet?u=[[var:user_id|urlencode]]".into()),
            data: BTreeMap::from([("kind".into(), "layer2".into())]),
            options: MessageOptions::default(),
        }
    }

    fn problems(change: impl FnOnce(&mut Wording)) -> Vec<String> {
        let mut wording = wording();
        change(&mut wording);
        let problems =
            PushTemplate::parse(&wording, &AllowedHosts::default()).expect_err("problems");
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_row_is_rendered_into_every_text() {
        let push = PushTemplate::parse(&wording(), &AllowedHosts::default()).expect("no problem");
        let bound = push
            .bind(&["user_id", "first_name", "count", "shoe"])
            .expect("all columns");
        let mut rendered = Rendered::default();
        for _ in 0..2 {
            bound
                .render(["a b", "", "3", "Jordan 4"].as_slice(), None, &mut rendered)
                .expect("no hole");
        }
        assert_eq!(rendered.title, "Hi there");
        assert_eq!(rendered.body, "3 want your Jordan 4");
        assert_eq!(rendered.deep_link, "https://tradeblock.us/closet?u=a%20b");
        assert_eq!(rendered.data, ["layer2"]);
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        assert_eq!(
            problems(|wording| {
                wording.title = "Hi [[var:x".into();
                wording.body = " ".into();
                wording.deep_link = Some("https://example.com/[[var:x]]".into());
                wording.data = [
                    ("from", "a"),
                    ("google.x", "b"),
                    ("gcm.y", "c"),
                    ("url", "d"),
                    ("k", "[[var:a|nope]]"),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            }),
            [
                "title: `[[` is not closed with `]]`",
                "data.k: there is no filter `nope`",
                "body: it is empty",
                "data.from: this key is reserved by the push service",
                "data.gcm.y: this key is reserved by the push service",
                "data.google.x: this key is reserved by the push service",
                "data.url: this key carries the deep link",
                "deep_link: the deep link's host `example.com` is not allowed (allowed: tradeblock.us)",
            ]
        );
    }

    #[test]
    fn an_unknown_column_is_named_with_the_nearest() {
        let push = PushTemplate::parse(&wording(), &AllowedHosts::default()).expect("no problem");
        let problems = push
            .bind(&["user_id", "firstName", "count", "shoes"])
            .expect_err("unknown columns");
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "title: there is no column `first_name`; did you mean `firstName`?",
                "body: there is no column `shoe`; did you mean `shoes`?",
            ]
        );
    }

    #[test]
    fn a_link_that_a_row_leads_astray_skips_the_row() {
        let mut wording = wording();
        wording.deep_link = Some("https://[[var:host]]/".into());
        let push = PushTemplate::parse(&wording, &AllowedHosts::default()).expect("no problem yet");
        let bound = push
            .bind(&["host", "first_name", "count", "shoe"])
            .expect("all columns");
        let mut rendered = Rendered::default();
        let mut render = |host| bound.render([host, "a", "1", "b"].as_slice(), None, &mut rendered);
        assert_eq!(render("www.tradeblock.us"), Ok(()));
        assert!(matches!(render("example.com"), Err(Skip::Link(_))));
        assert!(matches!(render("a\nb"), Err(Skip::Link(_))));
    }
}
