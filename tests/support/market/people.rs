//! Users of a market, with their size and their last activity.

use serde_json::json;
use uuid::Uuid;

use super::{AS_OF, DAY, Market, ago, rfc3339};

/// First names that are difficult for CSV readers.
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

/// A size preference of a user, with everything that may be wrong with it.
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

/// A row of `users` with the rows that belong to it.
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
    /// Returns a user with everything that an audience may require, old and active yesterday, who owns and wants
    /// nothing. The user is not in the market yet: change what the case needs, then call [`Market::join`].
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

    /// Adds a user of [`Market::complete`], changed by `change`.
    pub(crate) fn join_with(&mut self, change: impl FnOnce(&mut Person)) -> Uuid {
        let mut person = self.complete();
        change(&mut person);
        self.join(&person)
    }

    /// Adds a user of [`Market::complete`].
    pub(crate) fn add_complete(&mut self) -> Uuid {
        self.join_with(|_| ())
    }

    /// Adds a live user whom no audience selects (no first name, no size, old), who owns, wishes and offers so that
    /// variants have counts.
    pub(crate) fn bystander(&mut self) -> Uuid {
        self.join_with(|person| {
            person.first_name = None;
            person.sizes.clear();
        })
    }

    /// Adds a deleted user who still has rows in every table.
    pub(crate) fn deleted_bystander(&mut self) -> Uuid {
        let deleted_at = self.dice.pick(&super::DELETED);
        self.join_with(|person| person.deleted_at = deleted_at)
    }

    /// Adds a user and the rows that belong to it. Blanks are appended to an email or a username that is in use
    /// already.
    pub(crate) fn join(&mut self, person: &Person) -> Uuid {
        let (email, username) = (
            self.unique(person.email.as_deref()),
            self.unique(person.username.as_deref()),
        );
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

    fn unique(&mut self, text: Option<&str>) -> Option<String> {
        let mut text = text?.to_owned();
        while !self.taken.insert(text.clone()) {
            text.push(' ');
        }
        Some(text)
    }

    /// Adds the `user_preferences` row of a user, who may have only one.
    pub(crate) fn preferences(&mut self, user: Uuid, deleted_at: i32) -> Uuid {
        let id = self.dice.uuid();
        self.insert(
            "user_preferences",
            json!({"id": id, "user_id": user, "deleted_at": deleted_at}),
        );
        id
    }

    /// Adds one preference of a user.
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
