//! Nearly complete users: each lacks one trait that some audience requires, and would otherwise be in all of them. (An
//! empty username can exist once, so each is one user for all audiences.)

use uuid::Uuid;

use super::super::people::{Person, SizePreference};
use super::super::{DAY, MICROSECOND, Market, ago};
use Trait::{Active, Email, FirstName, Live, Nothing, Size, Username};

/// A trait that an audience may require of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trait {
    /// None: the user fits every audience, however odd.
    Nothing,
    Live,
    Email,
    FirstName,
    Username,
    Size,
    Active,
}

/// One way of being nearly complete.
struct Case {
    /// The only trait that the user lacks.
    lacks: Trait,
    rule: &'static str,
    change: fn(&mut Person),
}

/// Adds the users. Each owns a trending shoe and made an offer on one that counts for layer3; of three equal ones, one
/// owns the showcased shoe, one wants it, and one only wears its size. All are new.
pub(super) fn people(market: &mut Market, trending: Uuid, hot: Uuid, showcased: Uuid) {
    for case in &CASES {
        for (relation, file) in [
            "showcase-haves",
            "showcase-wants",
            "showcase-everybody-else",
        ]
        .into_iter()
        .enumerate()
        {
            let user = market.join_with(|person| {
                person.created = ago(5 * DAY);
                (case.change)(person);
            });
            market.closet(user, trending, ago(60 * DAY));
            let offer = market.offer(user, "OPEN", ago(DAY), 0);
            market.offer_item(offer, hot, ago(DAY));
            if relation == 0 {
                market.closet(user, showcased, ago(60 * DAY));
            } else if relation == 1 {
                market.wish(user, showcased, ago(60 * DAY), 0);
            }
            let step = ["no-wishlist-new-user", "new-stars-new-user"][usize::from(relation == 1)];
            let unless =
                |file, asked: &[Trait]| Some(file).filter(|_| !asked.contains(&case.lacks));
            for (audience, file) in [
                (
                    "layer2",
                    unless(
                        "trending-closet-items-top1",
                        &[Live, Email, FirstName, Username, Size, Active],
                    ),
                ),
                (
                    "layer3",
                    unless("recent-offer-creators", &[Live, FirstName, Size]),
                ),
                (
                    "showcase",
                    unless(file, &[Live, Email, FirstName, Size, Active]),
                ),
                ("waterfall", unless(step, &[Live, FirstName])),
            ] {
                market.expect(audience, user, file, case.rule);
            }
        }
    }
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

const CASES: [Case; 30] = [
    case(Nothing, "nothing is missing", |_| ()),
    case(Nothing, "no audience excludes a frozen account", |person| {
        person.frozen = true;
    }),
    case(Nothing, "blanks around a name are part of it", |person| {
        person.first_name = Some("  Zoë\t".to_owned());
    }),
    case(Nothing, "a name of one odd character is a name", |person| {
        person.first_name = Some("\"".to_owned());
    }),
    case(Live, "deleted long ago", |person| {
        person.deleted_at = 1_700_000_000;
    }),
    case(Live, "any deleted_at but 0 is deleted", |person| {
        person.deleted_at = -1;
    }),
    case(Email, "no email", |person| person.email = None),
    case(Email, "empty email", |person| {
        person.email = Some(String::new());
    }),
    case(Email, "blank email", |person| {
        person.email = Some("   ".to_owned());
    }),
    case(FirstName, "no first name", |person| {
        person.first_name = None;
    }),
    case(FirstName, "empty first name", |person| {
        person.first_name = Some(String::new());
    }),
    case(FirstName, "first name of blanks", |person| {
        person.first_name = Some("  ".to_owned());
    }),
    case(FirstName, "first name of a tab", |person| {
        person.first_name = Some("\t".to_owned());
    }),
    case(FirstName, "first name of line ends", |person| {
        person.first_name = Some("\r\n\n".to_owned());
    }),
    case(Username, "no username", |person| person.username = None),
    case(Username, "empty username", |person| {
        person.username = Some(String::new());
    }),
    case(Username, "blank username", |person| {
        person.username = Some(" \t".to_owned());
    }),
    case(Size, "no preferences", |person| person.sizes.clear()),
    case(Size, "preferences deleted as a whole", |person| {
        person.preferences_deleted_at = 1;
    }),
    case(Size, "a size not preferred", |person| {
        person.sizes = vec![size("10", false, 0)];
    }),
    case(Size, "a preference deleted", |person| {
        person.sizes = vec![size("10", true, -1)];
    }),
    case(Size, "an empty size", |person| {
        person.sizes = vec![size("", true, 0)];
    }),
    case(Size, "a blank size", |person| {
        person.sizes = vec![size("  ", true, 0)];
    }),
    case(
        Nothing,
        "only one of three sizes is preferred and live",
        |person| {
            person.sizes = vec![size("1", false, 0), size("10", true, 0), size("0", true, 7)];
        },
    ),
    case(Nothing, "a blank size does not hide another", |person| {
        person.sizes = vec![size(" ", true, 0), size("10", true, 0)];
    }),
    case(Active, "never active", |person| person.last_active = None),
    case(
        Active,
        "one microsecond longer ago than 90 days",
        |person| {
            person.last_active = Some(ago(90 * DAY + MICROSECOND));
        },
    ),
    case(Nothing, "active exactly 90 days ago", |person| {
        person.last_active = Some(ago(90 * DAY));
    }),
    case(Nothing, "one microsecond inside 90 days", |person| {
        person.last_active = Some(ago(90 * DAY - MICROSECOND));
    }),
    case(Nothing, "active after the instant itself", |person| {
        person.last_active = Some(ago(-DAY));
    }),
];
