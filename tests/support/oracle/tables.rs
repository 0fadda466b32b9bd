//! The rows of the source tables. Instants are microseconds since 1970.

use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::super::postgres::Database;
use super::super::superuser::as_superuser;

/// A row of `users`.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) email: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) bio: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) deleted_at: i32,
}

/// A row of `attribute_preferences`.
#[derive(Debug)]
pub(crate) struct Preference {
    pub(crate) user_preference_id: Option<Uuid>,
    pub(crate) attribute_id: Uuid,
    pub(crate) attribute_value_id: Uuid,
    pub(crate) preferred: bool,
    pub(crate) deleted_at: i32,
}

/// A row of `attributes`.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) deleted_at: i32,
}

/// A row of `attribute_values`.
#[derive(Debug)]
pub(crate) struct AttributeValue {
    pub(crate) id: Uuid,
    pub(crate) value: String,
    pub(crate) deleted_at: i32,
}

/// A row of `user_preferences`.
#[derive(Debug)]
pub(crate) struct UserPreferences {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) deleted_at: i32,
}

/// A row of `products`.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) deleted_at: i32,
}

/// A row of `product_variants`.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) id: Uuid,
    pub(crate) product_id: Uuid,
    /// The document's text, parsed here rather than by the server.
    pub(crate) index_cache: Option<String>,
    pub(crate) deleted_at: i32,
}

/// A row of `inventory_items`.
#[derive(Debug)]
pub(crate) struct InventoryItem {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) variant: Uuid,
    pub(crate) status: String,
    pub(crate) created_at: i64,
}

/// A row of `wishlist_items`.
#[derive(Debug)]
pub(crate) struct WishlistItem {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) variant: Uuid,
    pub(crate) created_at: i64,
    pub(crate) deleted_at: i32,
}

/// A row of `desired_items`.
#[derive(Debug)]
pub(crate) struct DesiredItem {
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) variant: Uuid,
    pub(crate) offers_count: i32,
    pub(crate) created_at: i64,
    pub(crate) deleted_at: i32,
}

/// A row of `offers`.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) id: Uuid,
    pub(crate) creator: Uuid,
    pub(crate) status: String,
    pub(crate) created_at: i64,
    pub(crate) deleted_at: i32,
}

/// A row of `offer_items`.
#[derive(Debug)]
pub(crate) struct OfferItem {
    pub(crate) id: Uuid,
    pub(crate) offer_id: Uuid,
    pub(crate) variant: Uuid,
    pub(crate) created_at: i64,
}

/// A row of `trades`.
#[derive(Debug)]
pub(crate) struct Trade {
    pub(crate) offer_id: Uuid,
    pub(crate) validation_passed: Option<i64>,
}

/// All rows on which an audience may depend.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) users: Vec<User>,
    /// User and `last_active`.
    pub(crate) activities: Vec<(Uuid, i64)>,
    pub(crate) user_preferences: Vec<UserPreferences>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) attribute_values: Vec<AttributeValue>,
    pub(crate) preferences: Vec<Preference>,
    pub(crate) products: Vec<Product>,
    pub(crate) variants: Vec<Variant>,
    pub(crate) inventory: Vec<InventoryItem>,
    pub(crate) wishlist: Vec<WishlistItem>,
    pub(crate) desired: Vec<DesiredItem>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) offer_items: Vec<OfferItem>,
    pub(crate) trades: Vec<Trade>,
}

impl Tables {
    /// Reads every table of a test's database.
    pub(crate) fn read(database: &Database) -> Self {
        as_superuser(database, Self::read_all)
    }

    async fn read_all(client: &Client) -> Self {
        Self {
            users: users(client).await,
            activities: all(
                client,
                "user_activities",
                &["user_id", LAST_ACTIVE],
                |row| (row.get(0), row.get(1)),
            )
            .await,
            user_preferences: user_preferences(client).await,
            attributes: attributes(client).await,
            attribute_values: attribute_values(client).await,
            preferences: preferences(client).await,
            products: products(client).await,
            variants: variants(client).await,
            inventory: inventory(client).await,
            wishlist: wishlist(client).await,
            desired: desired(client).await,
            offers: offers(client).await,
            offer_items: offer_items(client).await,
            trades: trades(client).await,
        }
    }
}

const CREATED: &str = "(extract(epoch FROM created_at) * 1000000)::bigint";
const LAST_ACTIVE: &str = "(extract(epoch FROM last_active) * 1000000)::bigint";
const VALIDATED: &str = "(extract(epoch FROM validation_passed_date) * 1000000)::bigint";

async fn all<T>(client: &Client, table: &str, columns: &[&str], read: fn(&Row) -> T) -> Vec<T> {
    let statement = format!("SELECT {} FROM {table}", columns.join(", "));
    let rows = client
        .query(&statement, &[])
        .await
        .unwrap_or_else(|error| panic!("cannot read {table}: {error:?}"));
    rows.iter().map(read).collect()
}

async fn users(client: &Client) -> Vec<User> {
    let columns = [
        "id",
        "email",
        "username",
        "first_name",
        "bio",
        CREATED,
        "deleted_at",
    ];
    all(client, "users", &columns, |row| User {
        id: row.get(0),
        email: row.get(1),
        username: row.get(2),
        first_name: row.get(3),
        bio: row.get(4),
        created_at: row.get(5),
        deleted_at: row.get(6),
    })
    .await
}

async fn user_preferences(client: &Client) -> Vec<UserPreferences> {
    let columns = ["id", "user_id", "deleted_at"];
    all(client, "user_preferences", &columns, |row| {
        UserPreferences {
            id: row.get(0),
            user_id: row.get(1),
            deleted_at: row.get(2),
        }
    })
    .await
}

async fn attributes(client: &Client) -> Vec<Attribute> {
    let columns = ["id", "name", "deleted_at"];
    all(client, "attributes", &columns, |row| Attribute {
        id: row.get(0),
        name: row.get(1),
        deleted_at: row.get(2),
    })
    .await
}

async fn attribute_values(client: &Client) -> Vec<AttributeValue> {
    let columns = ["id", "value", "deleted_at"];
    all(client, "attribute_values", &columns, |row| AttributeValue {
        id: row.get(0),
        value: row.get(1),
        deleted_at: row.get(2),
    })
    .await
}

async fn preferences(client: &Client) -> Vec<Preference> {
    let columns = [
        "user_preference_id",
        "attribute_id",
        "attribute_value_id",
        "preferred",
        "deleted_at",
    ];
    all(client, "attribute_preferences", &columns, |row| {
        Preference {
            user_preference_id: row.get(0),
            attribute_id: row.get(1),
            attribute_value_id: row.get(2),
            preferred: row.get(3),
            deleted_at: row.get(4),
        }
    })
    .await
}

async fn products(client: &Client) -> Vec<Product> {
    let columns = ["id", "name", "deleted_at"];
    all(client, "products", &columns, |row| Product {
        id: row.get(0),
        name: row.get(1),
        deleted_at: row.get(2),
    })
    .await
}

async fn variants(client: &Client) -> Vec<Variant> {
    let columns = ["id", "product_id", "index_cache::text", "deleted_at"];
    all(client, "product_variants", &columns, |row| Variant {
        id: row.get(0),
        product_id: row.get(1),
        index_cache: row.get(2),
        deleted_at: row.get(3),
    })
    .await
}

async fn inventory(client: &Client) -> Vec<InventoryItem> {
    let columns = ["id", "user_id", "product_variant_id", "status", CREATED];
    all(client, "inventory_items", &columns, |row| InventoryItem {
        id: row.get(0),
        user_id: row.get(1),
        variant: row.get(2),
        status: row.get(3),
        created_at: row.get(4),
    })
    .await
}

async fn wishlist(client: &Client) -> Vec<WishlistItem> {
    let columns = ["id", "user_id", "product_variant_id", CREATED, "deleted_at"];
    all(client, "wishlist_items", &columns, |row| WishlistItem {
        id: row.get(0),
        user_id: row.get(1),
        variant: row.get(2),
        created_at: row.get(3),
        deleted_at: row.get(4),
    })
    .await
}

async fn desired(client: &Client) -> Vec<DesiredItem> {
    let columns = [
        "id",
        "user_id",
        "product_variant_id",
        "offers_count",
        CREATED,
        "deleted_at",
    ];
    all(client, "desired_items", &columns, |row| DesiredItem {
        id: row.get(0),
        user_id: row.get(1),
        variant: row.get(2),
        offers_count: row.get(3),
        created_at: row.get(4),
        deleted_at: row.get(5),
    })
    .await
}

async fn offers(client: &Client) -> Vec<Offer> {
    let columns = [
        "id",
        "creator_user_id",
        "offer_status",
        CREATED,
        "deleted_at",
    ];
    all(client, "offers", &columns, |row| Offer {
        id: row.get(0),
        creator: row.get(1),
        status: row.get(2),
        created_at: row.get(3),
        deleted_at: row.get(4),
    })
    .await
}

async fn offer_items(client: &Client) -> Vec<OfferItem> {
    let columns = ["id", "offer_id", "product_variant_id", CREATED];
    all(client, "offer_items", &columns, |row| OfferItem {
        id: row.get(0),
        offer_id: row.get(1),
        variant: row.get(2),
        created_at: row.get(3),
    })
    .await
}

async fn trades(client: &Client) -> Vec<Trade> {
    let columns = ["offer_id", VALIDATED];
    all(client, "trades", &columns, |row| Trade {
        offer_id: row.get(0),
        validation_passed: row.get(1),
    })
    .await
}
