-- Owners of the shoes with the most offers.
--
-- Plan: no table has an index by time or by variant, so each is read sequentially and joined by hash. It must avoid
--   * index lookups for many rows: the planner estimates trending shoes like average ones, expects a hundredth of their
--     owners and offers, and would loop over indexes (25 % slower in memory, far slower on a disk), hence
--     enable_nestloop = off;
--   * counting offers and wishlists of shoes that do not trend: only about a hundred variants matter;
--   * parsing a parameter for every row: as (SELECT ...) it is read once (for 1.5 million offers 0.4 s, not 4 s).
--
--| title = "Owners of trending shoes"
--| about = "Users who own one of the shoes with the most recent offers, each with their best-ranked shoe."
--| base = "every user"
--| times = ["lastActive"]
--| order = "place, user_id"
--| [set]
--| work_mem = "96MB"
--| jit = "off"
--| enable_nestloop = "off"
--| [parameters.lookback_days]
--| type = "integer"
--| default = 7
--| min = 1
--| max = 365
--| help = "Days of offers that make a product trend"
--| [parameters.activity_days]
--| type = "integer"
--| default = 90
--| min = 1
--| max = 3650
--| help = "Maximum days since the user was last active"
--| [parameters.top]
--| type = "integer"
--| default = 10
--| min = 1
--| max = 1000
--| help = "Number of trending products"
--| [parameters.min_open_offers]
--| type = "integer"
--| default = 2
--| min = 0
--| max = 1000000
--| help = "Minimum open offers on the owner's variant"
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
--| name = "username"
--| keep = "username_present"
--| left = "no username"
--| show = ["username"]
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
--| name = "owns a trending shoe"
--| keep = "place IS NOT NULL"
--| left = "no trending shoe in the closet"
--| show = ["product_name", "trending_rank", "variantID"]
--| [[stages]]
--| name = "wanted"
--| keep = "variant_open_offers >= :min_open_offers"
--| left = "too few open offers on their variant"
--| show = ["variant_open_offers"]
--| [[files]]
--| stem = "trending-closet-items-top1"
--| when = "place = 1"
--| help = "owners of the product ranked 1st"
--| columns = ["user_id", "username", "firstName", "usersize", "product_name", "trending_rank", "variantID", "relevant_variant_size", "wishlist_count", "variant_open_offers", "lastActive"]
--| [[files]]
--| stem = "trending-closet-items"
--| when = "place > 1"
--| help = "owners of the products ranked below it"
--| columns = ["user_id", "username", "firstName", "usersize", "product_name", "trending_rank", "variantID", "relevant_variant_size", "wishlist_count", "variant_open_offers", "lastActive"]

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
), trending AS (
    -- Distinct offers on any variant of a product, deleted offers and items included: they were activity.
    -- A deleted product takes no place. Windows of creation include both ends and end at as_of.
    SELECT p.id AS product_id, p.name AS product_name, row_number() OVER (ORDER BY offers DESC, p.id) AS place
    FROM (
        SELECT product_id, count(*) AS offers
        FROM (
            SELECT DISTINCT v.product_id, i.offer_id
            FROM offers o
            JOIN offer_items i ON i.offer_id = o.id
            JOIN product_variants v ON v.id = i.product_variant_id
            WHERE o.created_at BETWEEN (SELECT :as_of - :lookback_days * interval '1 day') AND (SELECT :as_of)
        ) AS offered
        GROUP BY product_id
    ) AS counted
    JOIN products p ON p.id = counted.product_id AND p.deleted_at = 0
    ORDER BY place
    LIMIT :top
), shoes AS (
    -- A deleted variant does not make a trending shoe.
    SELECT t.place, t.product_name, v.id AS variant_id,
           CASE WHEN btrim(v.index_cache->>'mens_size', E' \t\n\r') <> '' THEN v.index_cache->>'mens_size' ELSE 'Unknown' END AS variant_size,
           coalesce(open.offers, 0) AS open_offers, coalesce(wished.items, 0) AS wishlist_items
    FROM trending t
    JOIN product_variants v ON v.product_id = t.product_id AND v.deleted_at = 0
    LEFT JOIN (
        SELECT i.product_variant_id AS variant_id, count(DISTINCT i.offer_id) AS offers
        FROM trending t
        JOIN product_variants v ON v.product_id = t.product_id
        JOIN offer_items i ON i.product_variant_id = v.id
        JOIN offers o ON o.id = i.offer_id
        WHERE o.offer_status IN ('OPEN', 'PENDING') AND o.deleted_at = 0
          AND o.created_at BETWEEN (SELECT :as_of - interval '30 days') AND (SELECT :as_of)
        GROUP BY i.product_variant_id
    ) AS open ON open.variant_id = v.id
    LEFT JOIN (
        SELECT w.product_variant_id AS variant_id, count(*) AS items
        FROM trending t
        JOIN product_variants v ON v.product_id = t.product_id
        JOIN wishlist_items w ON w.product_variant_id = v.id AND w.deleted_at = 0
        WHERE NOT EXISTS (SELECT FROM users gone WHERE gone.id = w.user_id AND gone.deleted_at <> 0)
        GROUP BY w.product_variant_id
    ) AS wished ON wished.variant_id = v.id
)
SELECT u.id AS user_id, u.username, u.first_name AS "firstName", sizes.usersize,
       owned.product_name, owned.place,
       owned.place || CASE
           WHEN owned.place % 100 BETWEEN 11 AND 13 THEN 'th'
           WHEN owned.place % 10 = 1 THEN 'st'
           WHEN owned.place % 10 = 2 THEN 'nd'
           WHEN owned.place % 10 = 3 THEN 'rd'
           ELSE 'th'
       END AS trending_rank,
       owned.variant_id AS "variantID", owned.variant_size AS relevant_variant_size,
       owned.wishlist_items AS wishlist_count, owned.open_offers AS variant_open_offers,
       activity.last_active AS "lastActive", u.deleted_at,
       -- Present means of use in a greeting: neither NULL nor blank.
       btrim(u.email, E' \t\n\r') <> '' AS email_present,
       btrim(u.first_name, E' \t\n\r') <> '' AS first_name_present,
       btrim(u.username, E' \t\n\r') <> '' AS username_present,
       activity.last_active >= (SELECT :as_of - :activity_days * interval '1 day') AS active
FROM users u
LEFT JOIN (
    -- A closet item is what is open for trade, whatever its own deleted_at.
    SELECT DISTINCT ON (closet.user_id) closet.user_id, shoes.*
    FROM shoes
    JOIN inventory_items closet ON closet.product_variant_id = shoes.variant_id
    WHERE closet.status = 'OPEN_FOR_TRADE'
    ORDER BY closet.user_id, shoes.place, shoes.open_offers DESC, shoes.variant_id
) AS owned ON owned.user_id = u.id
LEFT JOIN user_activities activity ON activity.user_id = u.id
LEFT JOIN sizes ON sizes.user_id = u.id
