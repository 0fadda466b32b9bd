-- Owners of the shoes that most offers are made on.
--
-- Plan: there is no index on offers.created_at nor on any product_variant_id, so every table is read once, in
-- sequence. What must not happen: counting offers and wishlists of variants that are not trending (hundreds
-- matter, of hundreds of thousands), and a lookup per user before the closets have cut a million users down to owners.
--
--| title = "Owners of trending shoes"
--| about = "People whose closet holds one of the shoes that most offers were made on lately, each with their best-ranked shoe."
--| base = "every user"
--| times = ["lastActive"]
--| order = "place, user_id"
--| [set]
--| work_mem = "64MB"
--| jit = "off"
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
--| help = "Days within which a person was last active"
--| [parameters.top]
--| type = "integer"
--| default = 10
--| min = 1
--| max = 1000
--| help = "How many products trend"
--| [parameters.min_open_offers]
--| type = "integer"
--| default = 2
--| min = 0
--| max = 1000000
--| help = "Open offers that the owner's variant needs at least"
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
--| keep = "\"lastActive\" >= :as_of - :activity_days * interval '1 day'"
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

WITH trending AS (
    -- Distinct offers on any variant of a product, deleted offers and items included: they were activity.
    -- A deleted product takes no place. Windows of creation include both ends and end at as_of.
    SELECT product_id, product_name, row_number() OVER (ORDER BY count(*) DESC, product_id) AS place
    FROM (
        SELECT DISTINCT p.id AS product_id, p.name AS product_name, i.offer_id
        FROM offers o
        JOIN offer_items i ON i.offer_id = o.id
        JOIN product_variants v ON v.id = i.product_variant_id
        JOIN products p ON p.id = v.product_id AND p.deleted_at = 0
        WHERE o.created_at >= :as_of - :lookback_days * interval '1 day' AND o.created_at <= :as_of
    ) AS recent
    GROUP BY product_id, product_name
    ORDER BY place
    LIMIT :top
), variants AS (
    -- A deleted variant is nobody's trending shoe.
    SELECT t.place, t.product_name, v.id AS variant_id,
           coalesce(nullif(v.index_cache->>'mens_size', ''), 'Unknown') AS variant_size
    FROM trending t
    JOIN product_variants v ON v.product_id = t.product_id AND v.deleted_at = 0
), shoes AS (
    SELECT v.*, coalesce(open.offers, 0) AS open_offers, coalesce(wished.items, 0) AS wishlist_items
    FROM variants v
    LEFT JOIN (
        -- An item taken out of an open offer (deleted) is no longer on it.
        SELECT i.product_variant_id AS variant_id, count(DISTINCT i.offer_id) AS offers
        FROM variants
        JOIN offer_items i ON i.product_variant_id = variants.variant_id AND i.deleted_at = 0
        JOIN offers o ON o.id = i.offer_id
        WHERE o.offer_status IN ('OPEN', 'PENDING') AND o.deleted_at = 0
          AND o.created_at >= :as_of - interval '30 days' AND o.created_at <= :as_of
        GROUP BY i.product_variant_id
    ) AS open USING (variant_id)
    LEFT JOIN (
        SELECT w.product_variant_id AS variant_id, count(*) AS items
        FROM variants
        JOIN wishlist_items w ON w.product_variant_id = variants.variant_id AND w.deleted_at = 0
        JOIN users holder ON holder.id = w.user_id AND holder.deleted_at = 0
        GROUP BY w.product_variant_id
    ) AS wished USING (variant_id)
)
SELECT u.id AS user_id, u.username, u.first_name AS "firstName", size.usersize,
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
       u.email ~ '\S' AS email_present, u.first_name ~ '\S' AS first_name_present, u.username ~ '\S' AS username_present
FROM users u
LEFT JOIN user_activities activity ON activity.user_id = u.id
LEFT JOIN (
    -- Of several preferred sizes the first in byte order counts. Deleted rows prefer nothing; a blank size is none.
    SELECT up.user_id, min(value.value COLLATE "C") AS usersize
    FROM attributes attribute
    JOIN attribute_preferences preference ON preference.attribute_id = attribute.id
    JOIN attribute_values value ON value.id = preference.attribute_value_id
    JOIN user_preferences up ON up.id = preference.user_preference_id
    WHERE attribute.name = 'mens_size' AND attribute.deleted_at = 0 AND preference.preferred
      AND preference.deleted_at = 0 AND value.deleted_at = 0 AND up.deleted_at = 0 AND value.value ~ '\S'
    GROUP BY up.user_id
) AS size ON size.user_id = u.id
LEFT JOIN (
    -- A closet item is open for trade and not deleted.
    SELECT DISTINCT ON (closet.user_id) closet.user_id, shoes.*
    FROM shoes
    JOIN inventory_items closet ON closet.product_variant_id = shoes.variant_id
    WHERE closet.status = 'OPEN_FOR_TRADE' AND closet.deleted_at = 0
    ORDER BY closet.user_id, shoes.place, shoes.open_offers DESC, shoes.variant_id
) AS owned ON owned.user_id = u.id
