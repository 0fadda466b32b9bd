-- One product, and the users who have it, want it, or wear a size in which it exists.
--
-- Plan: the product's variants are found by index; closets, wishlists and offer items have no index on the variant, so
-- each is read once, in sequence, and filtered by those variants. It must avoid
--   * reading one of them twice, or the sizes of all users twice (held and fitting choose by size without it);
--   * index lookups for many rows: most users are in everybody-else, and the planner expects few,
--     hence enable_nestloop = off;
--   * parsing a parameter for every row: as (SELECT ...) it is read once (for 1.5 million offers 0.4 s, not 4 s).
--
--| title = "Owners, seekers and sizes of one product"
--| about = "Users who have a product in their closet, users who want it, and all other users in whose size it exists."
--| base = "every user"
--| times = ["lastActive"]
--| order = "user_id"
--| [set]
--| work_mem = "96MB"
--| jit = "off"
--| enable_nestloop = "off"
--| [[checks]]
--| sql = "SELECT EXISTS (SELECT 1 FROM products WHERE id = :product_id)"
--| error = "no product has the id {product_id}"
--| hint = "take the id from the product's page or from the products table"
--| [[checks]]
--| sql = "SELECT EXISTS (SELECT 1 FROM products WHERE id = :product_id AND deleted_at = 0)"
--| error = "the product {product_id} is deleted"
--| hint = "a push about it would have no target; choose a product that exists"
--| [parameters.product_id]
--| type = "uuid"
--| required = true
--| help = "The product to show"
--| [parameters.activity_days]
--| type = "integer"
--| default = 90
--| min = 1
--| max = 3650
--| help = "Maximum days since the user was last active"
--| [parameters.min_open_offers]
--| type = "integer"
--| default = 2
--| min = 0
--| max = 1000000
--| help = "Minimum open offers on an owner's variant"
--| [parameters.allow_overlap]
--| type = "boolean"
--| default = false
--| help = "Allow a user in both haves and wants"
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
--| keep = "active"
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
--| help = "users who have it in their closet"
--| columns = ["user_id", "username", "firstName", "usersize", "variantID", "relevant_variant_size", "wishlist_count", "variant_open_offers", "variant_offers_7d", "product_offers_7d", "product_trades_30d", "lastActive"]
--| [[files]]
--| stem = "showcase-wants_{product_id:8}"
--| when = "relation = 'wants'"
--| help = "users who have it on their wishlist"
--| columns = ["user_id", "username", "firstName", "usersize", "variantID", "relevant_variant_size", "inventory_count", "variant_offers_7d", "product_offers_7d", "product_trades_30d", "lastActive"]
--| [[files]]
--| stem = "showcase-everybody-else_{product_id:8}"
--| when = "relation = 'everybody-else'"
--| help = "users without it, in whose size it exists"
--| columns = ["user_id", "username", "firstName", "usersize", "variantID", "relevant_variant_size", "inventory_count", "variant_offers_7d", "product_offers_7d", "product_trades_30d", "lastActive"]

WITH mens_sizes AS MATERIALIZED (
    SELECT value.id, value.value, attribute.id AS attribute_id
    FROM attributes attribute
    CROSS JOIN attribute_values value
    WHERE attribute.name = 'mens_size' AND attribute.deleted_at = 0
      AND value.deleted_at = 0 AND btrim(value.value, E' \t\n\r') <> ''
), sizes AS NOT MATERIALIZED (
    -- Of several preferred sizes the first in byte order counts. Deleted rows prefer nothing; a blank size is none.
    SELECT up.user_id, min(mens_sizes.value COLLATE "C") AS usersize
    FROM mens_sizes
    JOIN attribute_preferences preference ON preference.attribute_value_id = mens_sizes.id
    JOIN user_preferences up ON up.id = preference.user_preference_id
    WHERE preference.attribute_id = mens_sizes.attribute_id AND preference.preferred
      AND preference.deleted_at = 0 AND up.deleted_at = 0
    GROUP BY up.user_id
), variants AS MATERIALIZED (
    SELECT id AS variant_id, CASE WHEN btrim(index_cache->>'mens_size', E' \t\n\r') <> '' THEN index_cache->>'mens_size' END AS size,
           deleted_at
    FROM product_variants
    WHERE product_id = :product_id
), offered AS MATERIALIZED (
    -- On any variant, deleted ones included: an offer on them was activity around the product too.
    SELECT i.offer_id, i.product_variant_id AS variant_id,
           -- Windows of creation include both ends and end at as_of.
           o.deleted_at = 0 AND o.offer_status IN ('OPEN', 'PENDING')
               AND o.created_at BETWEEN (SELECT :as_of - interval '30 days') AND (SELECT :as_of) AS is_open,
           o.created_at BETWEEN (SELECT :as_of - interval '7 days') AND (SELECT :as_of) AS is_fresh
    FROM variants
    JOIN offer_items i ON i.product_variant_id = variants.variant_id
    JOIN offers o ON o.id = i.offer_id
), related AS MATERIALIZED (
    -- A closet item is what is open for trade, whatever its own deleted_at.
    SELECT items.*, gone.id IS NULL AS by_live_user
    FROM (
        SELECT user_id, product_variant_id AS variant_id, 'haves' AS relation
        FROM inventory_items
        WHERE status = 'OPEN_FOR_TRADE'
        UNION ALL
        SELECT user_id, product_variant_id, 'wants'
        FROM wishlist_items
        WHERE deleted_at = 0
    ) AS items
    JOIN variants USING (variant_id)
    LEFT JOIN users gone ON gone.id = items.user_id AND gone.deleted_at <> 0
), shoes AS MATERIALIZED (
    -- A deleted variant does not count as owned.
    SELECT v.variant_id, v.size,
           coalesce(holders.wishlists, 0) AS wishlist_count, coalesce(holders.closets, 0) AS inventory_count,
           coalesce(offers.open, 0) AS open_offers, coalesce(offers.fresh, 0) AS fresh_offers
    FROM variants v
    LEFT JOIN (
        SELECT variant_id, count(*) FILTER (WHERE relation = 'wants') AS wishlists,
               count(*) FILTER (WHERE relation = 'haves') AS closets
        FROM related
        WHERE by_live_user
        GROUP BY variant_id
    ) AS holders USING (variant_id)
    LEFT JOIN (
        SELECT variant_id, count(DISTINCT offer_id) FILTER (WHERE is_open) AS open,
               count(DISTINCT offer_id) FILTER (WHERE is_fresh) AS fresh
        FROM offered
        GROUP BY variant_id
    ) AS offers USING (variant_id)
    WHERE v.deleted_at = 0
), held AS (
    -- Their best shoe of the product, and which relation counts: haves before wants, or with overlap each.
    SELECT DISTINCT ON (user_id, CASE WHEN :allow_overlap THEN relation END) user_id, relation, shoes.*
    FROM related
    JOIN shoes USING (variant_id)
    ORDER BY user_id, CASE WHEN :allow_overlap THEN relation END, relation, open_offers DESC, variant_id
), fitting AS (
    -- The same of each size: the one in their own size comes first.
    SELECT DISTINCT ON (user_id, relation, size) user_id, relation, shoes.*
    FROM related
    JOIN shoes USING (variant_id)
    ORDER BY user_id, relation, size, open_offers DESC, variant_id
), in_size AS (
    SELECT DISTINCT ON (size) * FROM shoes WHERE size IS NOT NULL ORDER BY size, open_offers DESC, variant_id
), product AS (
    SELECT (SELECT count(DISTINCT offer_id) FROM offered WHERE is_fresh) AS offers_7d,
           -- Trades of any offer on the product, however old the offer, deleted trades too: they happened.
           (SELECT count(*) FROM trades
            WHERE offer_id IN (SELECT offer_id FROM offered)
              AND validation_passed_date BETWEEN (SELECT :as_of - interval '30 days') AND (SELECT :as_of)) AS trades_30d
)
SELECT u.id AS user_id, u.username, u.first_name AS "firstName", sizes.usersize,
       coalesce(held.relation, CASE WHEN in_size.variant_id IS NOT NULL THEN 'everybody-else' END) AS relation,
       coalesce(fitting.variant_id, held.variant_id, in_size.variant_id) AS "variantID",
       CASE WHEN held.variant_id IS NULL THEN in_size.size
            ELSE coalesce(fitting.size, held.size, 'Unknown') END AS relevant_variant_size,
       coalesce(fitting.wishlist_count, held.wishlist_count, in_size.wishlist_count) AS wishlist_count,
       coalesce(fitting.inventory_count, held.inventory_count, in_size.inventory_count) AS inventory_count,
       coalesce(fitting.open_offers, held.open_offers, in_size.open_offers) AS variant_open_offers,
       coalesce(fitting.fresh_offers, held.fresh_offers, in_size.fresh_offers) AS variant_offers_7d,
       product.offers_7d AS product_offers_7d, product.trades_30d AS product_trades_30d,
       activity.last_active AS "lastActive", u.deleted_at,
       -- Present means of use in a greeting: neither NULL nor blank.
       btrim(u.email, E' \t\n\r') <> '' AS email_present,
       btrim(u.first_name, E' \t\n\r') <> '' AS first_name_present,
       activity.last_active >= (SELECT :as_of - :activity_days * interval '1 day') AS active
FROM users u
CROSS JOIN product
LEFT JOIN user_activities activity ON activity.user_id = u.id
LEFT JOIN sizes ON sizes.user_id = u.id
LEFT JOIN held ON held.user_id = u.id
LEFT JOIN fitting ON fitting.user_id = u.id AND fitting.relation = held.relation AND fitting.size = sizes.usersize
LEFT JOIN in_size ON in_size.size = sizes.usersize AND held.user_id IS NULL
