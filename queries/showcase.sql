-- One product and the people who have it, want it, or wear a size it exists in.
--
-- Plan: the product's variants are few and found by index; closets, wishlists and offer items have no index on
-- the variant, so each is read once, in sequence, and cut to those variants at once. What must not happen: a
-- second reading of one of them, or a lookup per user, of whom most are in everybody-else.
--
--| title = "One product, three relations to it"
--| about = "People who have a product in their closet, people who want it, and everybody else in whose size it exists."
--| base = "every user"
--| times = ["lastActive"]
--| order = "user_id"
--| [set]
--| work_mem = "64MB"
--| jit = "off"
--| [[checks]]
--| sql = "SELECT EXISTS (SELECT 1 FROM products WHERE id = :product_id)"
--| error = "no product has the id {product_id}"
--| hint = "take the id from the product's page or from the products table"
--| [[checks]]
--| sql = "SELECT EXISTS (SELECT 1 FROM products WHERE id = :product_id AND deleted_at = 0)"
--| error = "the product {product_id} is deleted"
--| hint = "a push about it would lead nowhere; choose a product that still exists"
--| [parameters.product_id]
--| type = "uuid"
--| required = true
--| help = "The product to show"
--| [parameters.activity_days]
--| type = "integer"
--| default = 90
--| min = 1
--| max = 3650
--| help = "Days within which a person was last active"
--| [parameters.min_open_offers]
--| type = "integer"
--| default = 2
--| min = 0
--| max = 1000000
--| help = "Open offers that an owner's variant needs at least"
--| [parameters.allow_overlap]
--| type = "boolean"
--| default = false
--| help = "Let one person be in both haves and wants"
--| [[stages]]
--| name = "live"
--| keep = "deleted_at = 0"
--| left = "deleted account"
--| show = ["deleted_at"]
--| [[stages]]
--| name = "email"
--| keep = "email_present"
--| left = "no email address"
--| show = ["email_present"]
--| [[stages]]
--| name = "first name"
--| keep = "first_name_present"
--| left = "no first name"
--| show = ["firstName"]
--| [[stages]]
--| name = "size"
--| keep = "usersize IS NOT NULL"
--| left = "no preferred size"
--| show = ["usersize"]
--| [[stages]]
--| name = "active"
--| keep = "\"lastActive\" >= :as_of - :activity_days * interval '1 day'"
--| left = "not active lately"
--| show = ["lastActive"]
--| [[stages]]
--| name = "related"
--| keep = "relation IS NOT NULL"
--| left = "neither has nor wants it, and it does not exist in their size"
--| show = ["relation", "usersize", "variantID"]
--| [[stages]]
--| name = "wanted"
--| keep = "relation <> 'haves' OR variant_open_offers >= :min_open_offers"
--| left = "has it, but with too few open offers on their variant"
--| show = ["relation", "variant_open_offers"]
--| [[files]]
--| stem = "showcase-haves_{product_id:8}"
--| when = "relation = 'haves'"
--| help = "people who have it in their closet"
--| columns = ["user_id", "username", "firstName", "usersize", "variantID", "relevant_variant_size", "wishlist_count", "variant_open_offers", "variant_offers_7d", "product_offers_7d", "product_trades_30d", "lastActive"]
--| [[files]]
--| stem = "showcase-wants_{product_id:8}"
--| when = "relation = 'wants'"
--| help = "people who have it on their wishlist"
--| columns = ["user_id", "username", "firstName", "usersize", "variantID", "relevant_variant_size", "inventory_count", "variant_offers_7d", "product_offers_7d", "product_trades_30d", "lastActive"]
--| [[files]]
--| stem = "showcase-everybody-else_{product_id:8}"
--| when = "relation = 'everybody-else'"
--| help = "people without it, in whose size it exists"
--| columns = ["user_id", "username", "firstName", "usersize", "variantID", "relevant_variant_size", "inventory_count", "variant_offers_7d", "product_offers_7d", "product_trades_30d", "lastActive"]

WITH sizes AS NOT MATERIALIZED (
    -- Of several preferred sizes the first in byte order counts. Deleted rows prefer nothing; a blank size is none.
    SELECT up.user_id, min(value.value COLLATE "C") AS usersize
    FROM attributes attribute
    JOIN attribute_preferences preference ON preference.attribute_id = attribute.id
    JOIN attribute_values value ON value.id = preference.attribute_value_id
    JOIN user_preferences up ON up.id = preference.user_preference_id
    WHERE attribute.name = 'mens_size' AND attribute.deleted_at = 0 AND preference.preferred
      AND preference.deleted_at = 0 AND value.deleted_at = 0 AND up.deleted_at = 0 AND value.value ~ '\S'
    GROUP BY up.user_id
), variants AS MATERIALIZED (
    SELECT id AS variant_id, nullif(index_cache->>'mens_size', '') AS size, deleted_at
    FROM product_variants
    WHERE product_id = :product_id
), offered AS MATERIALIZED (
    -- On any variant, deleted ones included: an offer on them was activity around the product too.
    SELECT i.product_variant_id AS variant_id, i.offer_id, i.deleted_at = 0 AS item_live,
           o.created_at, o.offer_status, o.deleted_at
    FROM variants
    JOIN offer_items i ON i.product_variant_id = variants.variant_id
    JOIN offers o ON o.id = i.offer_id
), closets AS MATERIALIZED (
    -- A closet item is open for trade and not deleted.
    SELECT c.user_id, c.product_variant_id AS variant_id, holder.deleted_at = 0 AS holder_live
    FROM variants
    JOIN inventory_items c ON c.product_variant_id = variants.variant_id
    JOIN users holder ON holder.id = c.user_id
    WHERE c.status = 'OPEN_FOR_TRADE' AND c.deleted_at = 0
), wishlists AS MATERIALIZED (
    SELECT w.user_id, w.product_variant_id AS variant_id, holder.deleted_at = 0 AS holder_live
    FROM variants
    JOIN wishlist_items w ON w.product_variant_id = variants.variant_id
    JOIN users holder ON holder.id = w.user_id
    WHERE w.deleted_at = 0
), shoes AS MATERIALIZED (
    -- A deleted variant is nobody's shoe. Windows of creation include both ends and end at as_of.
    SELECT v.variant_id, v.size,
           (SELECT count(*) FROM wishlists w WHERE w.variant_id = v.variant_id AND w.holder_live) AS wishlist_count,
           (SELECT count(*) FROM closets c WHERE c.variant_id = v.variant_id AND c.holder_live) AS inventory_count,
           -- An item taken out of an open offer (deleted) is no longer on it.
           (SELECT count(DISTINCT offer_id) FROM offered
            WHERE offered.variant_id = v.variant_id AND item_live AND offered.deleted_at = 0
              AND offer_status IN ('OPEN', 'PENDING')
              AND created_at >= :as_of - interval '30 days' AND created_at <= :as_of) AS open_offers,
           (SELECT count(DISTINCT offer_id) FROM offered
            WHERE offered.variant_id = v.variant_id
              AND created_at >= :as_of - interval '7 days' AND created_at <= :as_of) AS offers_7d
    FROM variants v
    WHERE v.deleted_at = 0
), held AS (
    -- One row a person, or with overlap one a person and relation. Haves come before wants.
    SELECT DISTINCT ON (user_id, CASE WHEN :allow_overlap THEN relation END)
           user_id, relation, shoes.*
    FROM (
        SELECT user_id, 'haves' AS relation, variant_id FROM closets
        UNION ALL
        SELECT user_id, 'wants', variant_id FROM wishlists
    ) AS item
    JOIN shoes USING (variant_id)
    LEFT JOIN sizes USING (user_id)
    ORDER BY user_id, CASE WHEN :allow_overlap THEN relation END, relation,
             shoes.size IS NOT DISTINCT FROM sizes.usersize DESC, open_offers DESC, variant_id
), in_size AS (
    SELECT DISTINCT ON (size) * FROM shoes WHERE size IS NOT NULL ORDER BY size, open_offers DESC, variant_id
), product AS (
    SELECT (SELECT count(DISTINCT offer_id) FROM offered
            WHERE created_at >= :as_of - interval '7 days' AND created_at <= :as_of) AS offers_7d,
           -- Trades of any offer on the product, however old the offer; a deleted trade is none.
           (SELECT count(*) FROM trades
            WHERE deleted_at = 0 AND offer_id IN (SELECT offer_id FROM offered)
              AND validation_passed_date >= :as_of - interval '30 days' AND validation_passed_date <= :as_of) AS trades_30d
)
SELECT u.id AS user_id, u.username, u.first_name AS "firstName", sizes.usersize,
       coalesce(held.relation, CASE WHEN in_size.variant_id IS NOT NULL THEN 'everybody-else' END) AS relation,
       coalesce(held.variant_id, in_size.variant_id) AS "variantID",
       CASE WHEN coalesce(held.variant_id, in_size.variant_id) IS NOT NULL
            THEN coalesce(held.size, in_size.size, 'Unknown') END AS relevant_variant_size,
       coalesce(held.wishlist_count, in_size.wishlist_count) AS wishlist_count,
       coalesce(held.inventory_count, in_size.inventory_count) AS inventory_count,
       coalesce(held.open_offers, in_size.open_offers) AS variant_open_offers,
       coalesce(held.offers_7d, in_size.offers_7d) AS variant_offers_7d,
       product.offers_7d AS product_offers_7d, product.trades_30d AS product_trades_30d,
       activity.last_active AS "lastActive", u.deleted_at,
       -- Present means of use in a greeting: neither NULL nor blank.
       u.email ~ '\S' AS email_present, u.first_name ~ '\S' AS first_name_present
FROM users u
CROSS JOIN product
LEFT JOIN user_activities activity ON activity.user_id = u.id
LEFT JOIN sizes ON sizes.user_id = u.id
LEFT JOIN held ON held.user_id = u.id
LEFT JOIN in_size ON in_size.size = sizes.usersize AND held.user_id IS NULL
