//! Filters that change a value before it is inserted.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

use super::Fault;
use crate::suggest::nearest;

/// One filter with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// Stands in for an empty value.
    Default(String),
    /// 1234567.5 → 1,234,567.5
    Number,
    /// The first word for 1, the second for every other number.
    Plural { one: String, many: String },
    /// At most so many grapheme clusters, the last one an ellipsis.
    Truncate(usize),
    /// Everything but letters, digits and `-._~` as `%XX`.
    UrlEncode,
}

/// The value should have been a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotANumber;

/// Every filter's name and syntax.
const FORMS: [(&str, &str); 5] = [
    ("default", "default:\"text\""),
    ("number", "number"),
    ("plural", "plural:\"one\",\"many\""),
    ("truncate", "truncate:40"),
    ("urlencode", "urlencode"),
];

/// Returns the syntax of this filter; for an unknown name, the general syntax.
pub(super) fn usage(name: &str) -> &'static str {
    FORMS
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("|name or |name:\"argument\"", |(_, form)| form)
}

/// Returns whether the last of `filters` needs a number that an earlier default would keep from it.
pub(super) fn default_before_number(filters: &[Filter]) -> bool {
    let Some((Filter::Number | Filter::Plural { .. }, before)) = filters.split_last() else {
        return false;
    };
    matches!(before.last(), Some(Filter::Default(text)) if digits(text).is_none())
}

impl Filter {
    /// Returns the filter called `name`.
    pub(super) fn named(name: &str, arguments: &[String]) -> Result<Self, Fault> {
        Ok(match (name, arguments) {
            ("default", [text]) => Self::Default(text.clone()),
            ("number", []) => Self::Number,
            ("plural", [one, many]) => Self::Plural {
                one: one.clone(),
                many: many.clone(),
            },
            ("truncate", [length]) => match length.parse() {
                Ok(length) if length > 0 => Self::Truncate(length),
                _ => return Err(Fault::Filter { usage: usage(name) }),
            },
            ("urlencode", []) => Self::UrlEncode,
            _ if FORMS.iter().any(|(known, _)| *known == name) => {
                return Err(Fault::Filter { usage: usage(name) });
            }
            _ => {
                return Err(Fault::UnknownFilter {
                    name: name.to_owned(),
                    nearest: nearest(name, FORMS.iter().map(|(known, _)| *known)),
                });
            }
        })
    }

    fn apply<'v>(&'v self, value: Cow<'v, str>) -> Result<Cow<'v, str>, NotANumber> {
        let empty = value.trim().is_empty();
        Ok(match self {
            Self::Default(text) if empty => Cow::Borrowed(text),
            // An empty value stays empty; the renderer skips the row.
            _ if empty => value,
            Self::Default(_) => value,
            Self::Number => Cow::Owned(grouped(&value).ok_or(NotANumber)?),
            Self::Plural { one, many } => {
                let single = is_one(&value).ok_or(NotANumber)?;
                Cow::Borrowed(if single { one } else { many })
            }
            Self::Truncate(length) => truncated(value, *length),
            Self::UrlEncode => Cow::Owned(encoded(&value)),
        })
    }
}

/// Sends `value` through all filters.
pub(super) fn through<'v>(
    filters: &'v [Filter],
    value: &'v str,
) -> Result<Cow<'v, str>, NotANumber> {
    filters
        .iter()
        .try_fold(Cow::Borrowed(value), |value, filter| filter.apply(value))
}

/// Returns a decimal number: its sign, its digits before the point without grouping or leading zeros, and the rest from
/// the point on.
fn digits(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim();
    let unsigned = text.trim_start_matches('-');
    let sign = &text[..text.len() - unsigned.len()];
    let (whole, fraction) = match unsigned.find('.') {
        Some(point) => unsigned.split_at(point),
        None => (unsigned, ""),
    };
    let decimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped_well = || {
        let mut groups = whole.split(',');
        let first = groups
            .next()
            .is_some_and(|group| decimal(group) && group.len() <= 3);
        first && groups.all(|group| decimal(group) && group.len() == 3)
    };
    let sound = sign.len() <= 1
        && (decimal(whole) || grouped_well())
        && (fraction.is_empty() || decimal(&fraction[1..]));
    let plain = whole.replace(',', "");
    let significant = plain.trim_start_matches('0');
    let kept = if significant.is_empty() {
        "0"
    } else {
        significant
    };
    sound.then(|| (sign, kept.to_owned(), fraction))
}

fn grouped(text: &str) -> Option<String> {
    let (sign, whole, fraction) = digits(text)?;
    let mut out = String::with_capacity(text.len() + whole.len() / 3);
    out.push_str(sign);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(fraction);
    Some(out)
}

fn is_one(text: &str) -> Option<bool> {
    let (sign, whole, fraction) = digits(text)?;
    let integral = fraction.bytes().all(|byte| matches!(byte, b'.' | b'0'));
    Some(sign.is_empty() && whole == "1" && integral)
}

fn truncated(value: Cow<'_, str>, length: usize) -> Cow<'_, str> {
    // As many bytes cannot be more characters.
    if value.len() <= length || value.graphemes(true).nth(length).is_none() {
        return value;
    }
    let kept: String = value.graphemes(true).take(length - 1).collect();
    Cow::Owned(format!("{}…", kept.trim_end()))
}

fn encoded(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(value.len() * 3);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nothing_else_passes_for_one() {
        for (from, to) in [
            ("0", "0"),
            ("999", "999"),
            ("1234", "1,234"),
            ("1,234", "1,234"),
            ("-1234567.50", "-1,234,567.50"),
            (" 0012345 ", "12,345"),
        ] {
            assert_eq!(grouped(from).as_deref(), Some(to), "{from}");
        }
        for text in [
            "", "many", "1e3", "--1", "1.", ".5", "1,23", "12,3456", "١٢", "-",
        ] {
            assert_eq!(grouped(text), None, "{text}");
        }
    }

    #[test]
    fn one_is_singular_and_everything_else_is_plural() {
        for text in ["1", "1.0", "01"] {
            assert_eq!(is_one(text), Some(true), "{text}");
        }
        for text in ["0", "2", "1.5", "-1", "1,000"] {
            assert_eq!(is_one(text), Some(false), "{text}");
        }
    }

    #[test]
    fn truncation_counts_characters_as_people_do() {
        let short = |text, length| truncated(Cow::Borrowed(text), length).into_owned();
        assert_eq!(short("shoes", 5), "shoes");
        assert_eq!(short("big shoes", 5), "big…");
        assert_eq!(short("ééééé", 5), "ééééé");
        assert_eq!(short("👩‍👩‍👧👩‍👩‍👧👩‍👩‍👧", 2), "👩‍👩‍👧…");
        assert_eq!(short("ab", 1), "…");
    }

    #[test]
    fn url_encoding_leaves_only_what_is_safe_everywhere() {
        assert_eq!(encoded("a b/é&-._~"), "a%20b%2F%C3%A9%26-._~");
    }
}
