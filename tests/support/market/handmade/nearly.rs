//! People who are nearly complete: each lacks one thing that some audience asks for.

use super::super::people::{Person, SizePreference};
use super::super::{DAY, MICROSECOND, ago};

/// What an audience may ask of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trait {
    /// Nothing: this one is fit for every audience, however odd.
    None,
    Live,
    Email,
    FirstName,
    Username,
    Size,
    Active,
}

/// One way of being nearly complete.
pub(super) struct Case {
    /// The only trait the person lacks.
    pub(super) lacks: Trait,
    pub(super) rule: &'static str,
    pub(super) change: fn(&mut Person),
}

const fn case(lacks: Trait, rule: &'static str, change: fn(&mut Person)) -> Case {
    Case {
        lacks,
        rule,
        change,
    }
}

fn size(value: &str, preferred: bool, deleted_at: i32) -> SizePreference {
    SizePreference {
        value: value.to_owned(),
        preferred,
        deleted_at,
    }
}

pub(super) const CASES: [Case; 31] = [
    case(Trait::None, "nothing is missing", |_| ()),
    case(
        Trait::None,
        "a frozen account is nobody's condition",
        |person| {
            person.frozen = true;
        },
    ),
    case(
        Trait::None,
        "blanks around a name are part of it",
        |person| {
            person.first_name = Some("  Zoë\t".to_owned());
        },
    ),
    case(
        Trait::None,
        "a name of one odd character is a name",
        |person| {
            person.first_name = Some("\"".to_owned());
        },
    ),
    case(
        Trait::None,
        "bio is asked by nobody but the newcomers",
        |person| {
            person.bio = None;
        },
    ),
    case(Trait::Live, "deleted long ago", |person| {
        person.deleted_at = 1_700_000_000
    }),
    case(Trait::Live, "any deleted_at but 0 is deleted", |person| {
        person.deleted_at = -1
    }),
    case(Trait::Email, "no email", |person| person.email = None),
    case(Trait::Email, "empty email", |person| {
        person.email = Some(String::new())
    }),
    case(Trait::Email, "blank email", |person| {
        person.email = Some("   ".to_owned())
    }),
    case(Trait::FirstName, "no first name", |person| {
        person.first_name = None
    }),
    case(Trait::FirstName, "empty first name", |person| {
        person.first_name = Some(String::new());
    }),
    case(Trait::FirstName, "first name of blanks", |person| {
        person.first_name = Some("  ".to_owned());
    }),
    case(Trait::FirstName, "first name of a tab", |person| {
        person.first_name = Some("\t".to_owned());
    }),
    case(Trait::FirstName, "first name of line ends", |person| {
        person.first_name = Some("\r\n\n".to_owned());
    }),
    case(Trait::Username, "no username", |person| {
        person.username = None
    }),
    case(Trait::Username, "empty username", |person| {
        person.username = Some(String::new());
    }),
    case(Trait::Username, "blank username", |person| {
        person.username = Some(" \t".to_owned())
    }),
    case(Trait::Size, "no preferences", |person| person.sizes.clear()),
    case(Trait::Size, "preferences deleted as a whole", |person| {
        person.preferences_deleted_at = 1;
    }),
    case(Trait::Size, "a size not preferred", |person| {
        person.sizes = vec![size("10", false, 0)];
    }),
    case(Trait::Size, "a preference deleted", |person| {
        person.sizes = vec![size("10", true, -1)]
    }),
    case(Trait::Size, "an empty size", |person| {
        person.sizes = vec![size("", true, 0)]
    }),
    case(Trait::Size, "a blank size", |person| {
        person.sizes = vec![size("  ", true, 0)]
    }),
    case(
        Trait::None,
        "only one of three sizes is preferred and live",
        |person| {
            person.sizes = vec![size("1", false, 0), size("10", true, 0), size("0", true, 7)];
        },
    ),
    case(
        Trait::None,
        "a blank size does not hide another",
        |person| {
            person.sizes = vec![size(" ", true, 0), size("10", true, 0)];
        },
    ),
    case(Trait::Active, "never active", |person| {
        person.last_active = None
    }),
    case(
        Trait::Active,
        "one microsecond longer ago than 90 days",
        |person| {
            person.last_active = Some(ago(90 * DAY + MICROSECOND));
        },
    ),
    case(Trait::None, "active exactly 90 days ago", |person| {
        person.last_active = Some(ago(90 * DAY));
    }),
    case(Trait::None, "one microsecond inside 90 days", |person| {
        person.last_active = Some(ago(90 * DAY - MICROSECOND));
    }),
    case(Trait::None, "active after the instant itself", |person| {
        person.last_active = Some(ago(-DAY));
    }),
];
