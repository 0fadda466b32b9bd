//! A small marketplace with the edge cases of the audiences, loaded into a test database.
//!
//! A [`Market`] contains rows of the source schema (`tests/market/schema.sql`) as JSON objects until [`Market::load`]
//! inserts them table by table. Every row is determined by the market's seed and its [`AS_OF`]; nothing here reads a
//! clock.
//! [`handmade`] contains the edge cases of the contract one by one, each with its expected result ([`Expectation`]);
//! [`random`] makes rows at random from a seed.
//!
//! Deliberately absent: the audiences' rules. [`super::oracle`] applies them to the rows.

pub(crate) mod dice;
pub(crate) mod handmade;
pub(crate) mod people;
pub(crate) mod random;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::postgres::Database;
use super::superuser::as_superuser;
use dice::Dice;

/// The instant from which all windows are measured: 2026-11-10 06:08:56.086278 UTC, in microseconds since 1970.
pub(crate) const AS_OF: i64 = 1_794_290_936_086_278;

pub(crate) const MICROSECOND: i64 = 1;
pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const DAY: i64 = 24 * HOUR;

/// The tables of the schema, each after those it refers to.
const TABLES: [&str; 15] = [
    "users",
    "user_activities",
    "user_admin_informations",
    "user_preferences",
    "attributes",
    "attribute_values",
    "attribute_preferences",
    "products",
    "product_variants",
    "inventory_items",
    "wishlist_items",
    "desired_items",
    "offers",
    "offer_items",
    "trades",
];

/// Values of `deleted_at` that mean deleted; only 0 means live.
pub(crate) const DELETED: [i32; 3] = [1, -1, 1_794_000_000];

/// Returns an instant before [`AS_OF`], in microseconds since 1970.
pub(crate) const fn ago(microseconds: i64) -> i64 {
    AS_OF - microseconds
}

/// Writes an instant as `PostgreSQL` and `--as-of` read it, to the microsecond.
pub(crate) fn rfc3339(instant: i64) -> String {
    let instant = jiff::Timestamp::from_microsecond(instant).expect("an instant of this age");
    format!("{instant:.6}")
}

/// The expected result for one user in one audience at its default parameters, derived from the contract by hand.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    pub(crate) audience: &'static str,
    pub(crate) user: Uuid,
    /// The stem of the file with the user; `None` if no file has the user.
    pub(crate) file: Option<&'static str>,
    /// Expected values of that row: column and value, `None` for NULL.
    pub(crate) fields: Vec<(&'static str, Option<String>)>,
    /// The rule under test, in words.
    pub(crate) rule: &'static str,
}

/// Rows for the source schema, and the expected results for some of the users in them.
#[derive(Debug)]
pub(crate) struct Market {
    pub(crate) dice: Dice,
    rows: BTreeMap<&'static str, Vec<Value>>,
    size_values: BTreeMap<String, Uuid>,
    /// Emails and usernames in use, since they are unique.
    taken: BTreeSet<String>,
    mens_size: Uuid,
    pub(crate) expectations: Vec<Expectation>,
    /// The product of showcase runs.
    pub(crate) showcase: Uuid,
    /// Products that are not deleted.
    pub(crate) products: Vec<Uuid>,
    /// The test users in a run's configuration.
    pub(crate) test_users: Vec<Uuid>,
    /// The receivers of offers, possibly none.
    pub(crate) receivers: Vec<Uuid>,
}

impl Market {
    /// Makes an empty marketplace whose ids come from `seed`.
    pub(crate) fn empty(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mens_size = dice.uuid();
        let mut market = Self {
            dice,
            rows: BTreeMap::new(),
            size_values: BTreeMap::new(),
            taken: BTreeSet::new(),
            mens_size,
            expectations: Vec::new(),
            showcase: Uuid::nil(),
            products: Vec::new(),
            test_users: Vec::new(),
            receivers: Vec::new(),
        };
        market.add_attribute(mens_size, "mens_size");
        market
    }

    fn add_attribute(&mut self, id: Uuid, name: &str) {
        self.insert(
            "attributes",
            json!({"id": id, "name": name, "type": "size", "deleted_at": 0}),
        );
    }

    /// The attribute `mens_size`.
    pub(crate) fn mens_size(&self) -> Uuid {
        self.mens_size
    }

    /// Adds another attribute, which differs from `mens_size` only by its name.
    pub(crate) fn other_attribute(&mut self, name: &str) -> Uuid {
        let id = self.dice.uuid();
        self.add_attribute(id, name);
        id
    }

    /// Returns the one live value `value` of `mens_size`.
    pub(crate) fn size_value(&mut self, value: &str) -> Uuid {
        if let Some(id) = self.size_values.get(value) {
            return *id;
        }
        let id = self.value_of(self.mens_size, value, 0);
        self.size_values.insert(value.to_owned(), id);
        id
    }

    /// Adds a value of an attribute. A (value, attribute) pair may exist once.
    pub(crate) fn value_of(&mut self, attribute: Uuid, value: &str, deleted_at: i32) -> Uuid {
        let id = self.dice.uuid();
        self.insert(
            "attribute_values",
            json!({"id": id, "attribute_id": attribute, "key": id, "value": value, "deleted_at": deleted_at}),
        );
        id
    }

    pub(crate) fn product(&mut self, name: &str) -> Uuid {
        let id = self.dice.uuid();
        self.product_with(id, name, 0);
        id
    }

    pub(crate) fn product_with(&mut self, id: Uuid, name: &str, deleted_at: i32) {
        if deleted_at == 0 {
            self.products.push(id);
        }
        self.insert(
            "products",
            json!({"id": id, "name": name, "mpn": id, "slug": null, "created_at": rfc3339(ago(900 * DAY)),
                   "deleted_at": deleted_at}),
        );
    }

    /// A variant whose `index_cache` is `{"mens_size": size}`.
    pub(crate) fn variant(&mut self, product: Uuid, size: &str) -> Uuid {
        let id = self.dice.uuid();
        self.variant_with(id, product, &json!({"mens_size": size}), 0);
        id
    }

    pub(crate) fn variant_with(
        &mut self,
        id: Uuid,
        product: Uuid,
        index_cache: &Value,
        deleted_at: i32,
    ) {
        self.insert(
            "product_variants",
            json!({"id": id, "product_id": product, "upc": id, "index_cache": index_cache,
                   "created_at": rfc3339(ago(900 * DAY)), "deleted_at": deleted_at}),
        );
    }

    /// A closet item: an inventory row open for trade.
    pub(crate) fn closet(&mut self, user: Uuid, variant: Uuid, created: i64) -> Uuid {
        self.inventory(user, variant, "OPEN_FOR_TRADE", created, 0)
    }

    pub(crate) fn inventory(
        &mut self,
        user: Uuid,
        variant: Uuid,
        status: &str,
        created: i64,
        deleted_at: i32,
    ) -> Uuid {
        let id = self.dice.uuid();
        self.insert(
            "inventory_items",
            json!({"id": id, "user_id": user, "product_variant_id": variant, "status": status,
                   "created_at": rfc3339(created), "updated_at": rfc3339(AS_OF), "deleted_at": deleted_at}),
        );
        id
    }

    /// A wishlist row; `deleted_at` 0 makes it a wishlist item.
    pub(crate) fn wish(
        &mut self,
        user: Uuid,
        variant: Uuid,
        created: i64,
        deleted_at: i32,
    ) -> Uuid {
        let id = self.dice.uuid();
        self.insert(
            "wishlist_items",
            json!({"id": id, "user_id": user, "product_variant_id": variant, "created_at": rfc3339(created),
                   "updated_at": rfc3339(AS_OF), "deleted_at": deleted_at}),
        );
        id
    }

    pub(crate) fn desire(
        &mut self,
        user: Uuid,
        variant: Uuid,
        offers_count: i32,
        created: i64,
        deleted_at: i32,
    ) {
        let id = self.dice.uuid();
        self.insert(
            "desired_items",
            json!({"id": id, "user_id": user, "product_variant_id": variant, "offers_count": offers_count,
                   "created_at": rfc3339(created), "deleted_at": deleted_at}),
        );
    }

    /// An offer without items.
    pub(crate) fn offer(
        &mut self,
        creator: Uuid,
        status: &str,
        created: i64,
        deleted_at: i32,
    ) -> Uuid {
        let id = self.dice.uuid();
        let receiver = (!self.receivers.is_empty()).then(|| self.dice.pick(&self.receivers));
        self.insert(
            "offers",
            json!({"id": id, "creator_user_id": creator, "receiver_user_id": receiver, "offer_type": "STANDARD",
                   "offer_status": status, "created_at": rfc3339(created), "updated_at": rfc3339(AS_OF),
                   "deleted_at": deleted_at}),
        );
        id
    }

    /// An item of an offer; the variant need not exist.
    pub(crate) fn offer_item(&mut self, offer: Uuid, variant: Uuid, created: i64) -> Uuid {
        let id = self.dice.uuid();
        self.offer_item_with(id, offer, variant, created, 0);
        id
    }

    pub(crate) fn offer_item_with(
        &mut self,
        id: Uuid,
        offer: Uuid,
        variant: Uuid,
        created: i64,
        deleted_at: i32,
    ) {
        let owner = self.dice.pick(&["CREATOR", "RECEIVER"]);
        self.insert(
            "offer_items",
            json!({"id": id, "offer_id": offer, "product_variant_id": variant, "offer_item_owner": owner,
                   "created_at": rfc3339(created), "deleted_at": deleted_at}),
        );
    }

    /// Adds the trade of an offer; an offer has at most one.
    pub(crate) fn trade(&mut self, offer: Uuid, validated: Option<i64>) {
        self.trade_with(offer, validated, 0);
    }

    pub(crate) fn trade_with(&mut self, offer: Uuid, validated: Option<i64>, deleted_at: i32) {
        let id = self.dice.uuid();
        let state = self.dice.pick(&["SHIPPING", "VALIDATED", "COMPLETED"]);
        self.insert(
            "trades",
            json!({"id": id, "offer_id": offer, "state": state,
                   "validation_passed_date": validated.map(rfc3339), "created_at": rfc3339(ago(40 * DAY)),
                   "deleted_at": deleted_at}),
        );
    }

    pub(crate) fn insert(&mut self, table: &'static str, row: Value) {
        self.rows.entry(table).or_default().push(row);
    }

    /// Records the expected result for `user` in `audience` at its default parameters.
    pub(crate) fn expect(
        &mut self,
        audience: &'static str,
        user: Uuid,
        file: Option<&'static str>,
        rule: &'static str,
    ) {
        self.expect_row(audience, user, file, &[], rule);
    }

    /// Like [`Market::expect`], with values of the row.
    pub(crate) fn expect_row(
        &mut self,
        audience: &'static str,
        user: Uuid,
        file: Option<&'static str>,
        fields: &[(&'static str, &str)],
        rule: &'static str,
    ) {
        let fields = fields
            .iter()
            .map(|(column, value)| (*column, Some((*value).to_owned())))
            .collect();
        self.expectations.push(Expectation {
            audience,
            user,
            file,
            fields,
            rule,
        });
    }

    /// Inserts every row into a database with the schema, and collects statistics.
    pub(crate) fn load(&self, database: &Database) {
        as_superuser(database, async |client| {
            for table in TABLES {
                let Some(rows) = self.rows.get(table) else {
                    continue;
                };
                let statement = format!(
                    "INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1)"
                );
                client
                    .execute(&statement, &[&Value::Array(rows.clone())])
                    .await
                    .unwrap_or_else(|error| {
                        panic!("the database rejects rows of {table}: {error:?}")
                    });
            }
            client
                .batch_execute("ANALYZE")
                .await
                .expect("statistics are gathered");
        });
    }
}
