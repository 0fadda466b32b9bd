//! People of a market: who they are, their size and when they were last seen.

use serde_json::json;
use uuid::Uuid;

use super::{AS_OF, DAY, Market, ago, rfc3339};

/// A first name that every CSV reader has trouble with somewhere.
pub(crate) const AWKWARD: [&str; 32] = [
    "O\"Brien",
    "\"quoted\"",
    "\"",
    "a,b",
    ",",
    "two\nlines",
    "carriage\rreturn",
    "both\r\nends",
    "\n",
    "tab\there",
    "back\\slash",
    "\\.",
    "\\N",
    "NULL",
    "null",
    "👟 Zoë 🇩🇪",
    "=1+1",
    "=HYPERLINK(\"https://example.com\")",
    "+44",
    "-1",
    "@sum",
    "'apostrophe'",
    " leading",
    "trailing ",
    " both ",
    "semi;colon",
    "a|b",
    "\u{feff}mark",
    "\u{202e}right to left",
    "\u{7f}",
    "\u{1}",
    "e\u{301}",
];

/// One size preference of a person and everything that may be wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct SizePreference {
    pub(crate) value: String,
    pub(crate) preferred: bool,
    /// `attribute_preferences.deleted_at`
    pub(crate) deleted_at: i32,
}

impl SizePreference {
    pub(crate) fn preferred(value: &str) -> Self {
        Self {
            value: value.to_owned(),
            preferred: true,
            deleted_at: 0,
        }
    }
}

/// A row of `users` with the rows that hang on it.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: Uuid,
    pub(crate) email: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) bio: Option<String>,
    pub(crate) created: i64,
    pub(crate) deleted_at: i32,
    /// `None`: no `user_activities` row.
    pub(crate) last_active: Option<i64>,
    pub(crate) sizes: Vec<SizePreference>,
    /// `user_preferences.deleted_at`
    pub(crate) preferences_deleted_at: i32,
    pub(crate) frozen: bool,
}

impl Market {
    /// Somebody with everything an audience may ask for, long known and active yesterday, who owns and wants nothing.
    /// Not yet in the market: change what the case needs, then [`Market::join`].
    pub(crate) fn complete(&mut self) -> Person {
        let id = self.dice.uuid();
        Person {
            id,
            email: Some(format!("{id}@example.com")),
            username: Some(format!("user-{id}")),
            first_name: Some(self.dice.pick(&["Ann", "Bo", "Chen", "Dee"]).to_owned()),
            bio: Some("collects".to_owned()),
            created: ago(400 * DAY),
            deleted_at: 0,
            last_active: Some(ago(DAY)),
            sizes: vec![SizePreference::preferred("10")],
            preferences_deleted_at: 0,
            frozen: false,
        }
    }

    /// [`Market::complete`], changed by `change` and entered into the market.
    pub(crate) fn join_with(&mut self, change: impl FnOnce(&mut Person)) -> Uuid {
        let mut person = self.complete();
        change(&mut person);
        self.join(&person)
    }

    /// Somebody complete, entered as they are.
    pub(crate) fn somebody(&mut self) -> Uuid {
        self.join_with(|_| ())
    }

    /// Somebody live whom no audience selects (no first name, no size, long known): they own, wish and offer so that
    /// variants have counts.
    pub(crate) fn bystander(&mut self) -> Uuid {
        self.join_with(|person| {
            person.first_name = None;
            person.sizes.clear();
        })
    }

    /// A closed account that still has rows everywhere.
    pub(crate) fn deleted_bystander(&mut self) -> Uuid {
        let deleted_at = self.dice.pick(&super::DELETED);
        self.join_with(|person| person.deleted_at = deleted_at)
    }

    /// Enters a person and the rows that hang on them. An email or username that somebody has already gets blanks at
    /// its end.
    pub(crate) fn join(&mut self, person: &Person) -> Uuid {
        let (email, username) = (self.unique(&person.email), self.unique(&person.username));
        self.insert(
            "users",
            json!({"id": person.id, "email": email, "username": username,
                   "first_name": person.first_name, "last_name": "Example", "bio": person.bio, "avatar_id": null,
                   "phone_number": null, "is_verified": false, "is_trusted_trader": false,
                   "completed_trades_count": 0, "closet_value": 0, "created_at": rfc3339(person.created),
                   "updated_at": rfc3339(AS_OF), "deleted_at": person.deleted_at}),
        );
        if let Some(last_active) = person.last_active {
            let id = self.dice.uuid();
            self.insert(
                "user_activities",
                json!({"id": id, "user_id": person.id, "last_active": rfc3339(last_active)}),
            );
        }
        if person.frozen {
            let id = self.dice.uuid();
            self.insert(
                "user_admin_informations",
                json!({"id": id, "user_id": person.id, "is_trusted_trader_candidate": false,
                       "freeze_reason": "chargeback", "deleted_at": 0}),
            );
        }
        if !person.sizes.is_empty() {
            let preferences = self.preferences(person.id, person.preferences_deleted_at);
            for size in &person.sizes {
                let value = self.size_value(&size.value);
                let attribute = self.mens_size();
                self.preference(
                    preferences,
                    attribute,
                    value,
                    size.preferred,
                    size.deleted_at,
                );
            }
        }
        person.id
    }

    fn unique(&mut self, text: &Option<String>) -> Option<String> {
        let mut text = text.clone()?;
        while !self.taken.insert(text.clone()) {
            text.push(' ');
        }
        Some(text)
    }

    /// The `user_preferences` row of a person; there may be one.
    pub(crate) fn preferences(&mut self, user: Uuid, deleted_at: i32) -> Uuid {
        let id = self.dice.uuid();
        self.insert(
            "user_preferences",
            json!({"id": id, "user_id": user, "deleted_at": deleted_at}),
        );
        id
    }

    /// One choice in a person's preferences.
    pub(crate) fn preference(
        &mut self,
        preferences: Uuid,
        attribute: Uuid,
        value: Uuid,
        preferred: bool,
        deleted_at: i32,
    ) {
        let id = self.dice.uuid();
        self.insert(
            "attribute_preferences",
            json!({"id": id, "user_preference_id": preferences, "attribute_id": attribute,
                   "attribute_value_id": value, "preferred": preferred, "deleted_at": deleted_at}),
        );
    }
}
