-- People who made an offer, added a shoe to their closet or wished for one a day or two ago.
--
-- Plan: none of the three creation times is indexed, so each table is read in sequence and cut to the window at
-- once; what must not happen is a sort or a join of a whole table before that, or a count per person.
--
--| title = "People who just did something"
--| about = "People who lately created an offer, added a shoe to their closet or wished for one, each with their strongest and latest action."
--| base = "every user"
--| times = ["lastActive"]
--| order = "acted_at DESC, user_id"
--| [set]
--| work_mem = "64MB"
--| jit = "off"
--| [parameters.lookback_hours]
--| type = "integer"
--| default = 48
--| min = 1
--| max = 8760
--| help = "Hours back that actions count from"
--| [parameters.cooling_hours]
--| type = "integer"
--| default = 12
--| min = 0
--| max = 8760
--| help = "Hours that must have passed since an action"
--| [parameters.min_wishlist]
--| type = "integer"
--| default = 2
--| min = 0
--| max = 1000000
--| help = "Wishlists that a shoe added to a closet must be on"
--| [parameters.min_inventory]
--| type = "integer"
--| default = 3
--| min = 0
--| max = 1000000
--| help = "Closets that a shoe offered for or wished for must be in"
--| [[stages]]
--| name = "live"
--| keep = "deleted_at = 0"
--| left = "deleted account"
--| show = ["deleted_at"]
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
--| name = "acted"
--| keep = "action IS NOT NULL"
--| left = "no action in the window"
--| show = ["action", "acted_at", "product_name", "variantID"]
--| [[stages]]
--| name = "in demand"
--| keep = "CASE action WHEN 'closet_add' THEN wishlist_count >= :min_wishlist ELSE inventory_count >= :min_inventory END"
--| left = "too few others have or want that shoe"
--| show = ["action", "wishlist_count", "inventory_count"]
--| [[files]]
--| stem = "recent-offer-creators"
--| when = "action = 'offer_created'"
--| help = "people who created an offer"
--| columns = ["user_id", "username", "firstName", "usersize", "relevant_variant_size", "product_name", "variantID", "lastActive", "inventory_count"]
--| [[files]]
--| stem = "recent-closet-adders"
--| when = "action = 'closet_add'"
--| help = "people who added a shoe to their closet"
--| columns = ["user_id", "username", "firstName", "usersize", "relevant_variant_size", "product_name", "variantID", "lastActive", "wishlist_count"]
--| [[files]]
--| stem = "recent-wishlist-adders"
--| when = "action = 'wishlist_add'"
--| help = "people who wished for a shoe"
--| columns = ["user_id", "username", "firstName", "usersize", "relevant_variant_size", "product_name", "variantID", "lastActive", "inventory_count"]

SELECT u.id AS user_id, u.username, u.first_name AS "firstName", size.usersize,
       CASE WHEN latest.action IS NOT NULL
            THEN coalesce(nullif(latest.index_cache->>'mens_size', ''), 'Unknown') END AS relevant_variant_size,
       latest.product_name, latest.variant_id AS "variantID", activity.last_active AS "lastActive",
       latest.action, latest.acted_at,
       CASE WHEN latest.action IS NOT NULL THEN coalesce(closets.items, 0) END AS inventory_count,
       CASE WHEN latest.action IS NOT NULL THEN coalesce(wishlists.items, 0) END AS wishlist_count,
       u.deleted_at,
       -- Present means of use in a greeting: neither NULL nor blank.
       u.first_name ~ '\S' AS first_name_present
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
    -- An action on a deleted or missing variant or product is none. Ties go to the lower id of the action;
    -- an offer stands for its item with the lowest id, deleted items included, as deleted offers are.
    SELECT DISTINCT ON (done.user_id) done.*, p.name AS product_name, v.index_cache
    FROM (
        SELECT o.creator_user_id AS user_id, 1 AS strength, 'offer_created' AS action, o.created_at AS acted_at,
               o.id AS action_id, i.id AS item_id, i.product_variant_id AS variant_id
        FROM offers o
        JOIN offer_items i ON i.offer_id = o.id
        WHERE o.created_at >= :as_of - :lookback_hours * interval '1 hour'
          AND o.created_at < :as_of - :cooling_hours * interval '1 hour'
        UNION ALL
        SELECT user_id, 2, 'closet_add', created_at, id, id, product_variant_id
        FROM inventory_items
        WHERE status = 'OPEN_FOR_TRADE' AND deleted_at = 0
          AND created_at >= :as_of - :lookback_hours * interval '1 hour'
          AND created_at < :as_of - :cooling_hours * interval '1 hour'
        UNION ALL
        SELECT user_id, 3, 'wishlist_add', created_at, id, id, product_variant_id
        FROM wishlist_items
        WHERE deleted_at = 0
          AND created_at >= :as_of - :lookback_hours * interval '1 hour'
          AND created_at < :as_of - :cooling_hours * interval '1 hour'
    ) AS done
    JOIN product_variants v ON v.id = done.variant_id AND v.deleted_at = 0
    JOIN products p ON p.id = v.product_id AND p.deleted_at = 0
    ORDER BY done.user_id, done.strength, done.acted_at DESC, done.action_id, done.item_id
) AS latest ON latest.user_id = u.id
LEFT JOIN (
    SELECT closet.product_variant_id AS variant_id, count(*) AS items
    FROM inventory_items closet
    JOIN users holder ON holder.id = closet.user_id AND holder.deleted_at = 0
    WHERE closet.status = 'OPEN_FOR_TRADE' AND closet.deleted_at = 0
    GROUP BY closet.product_variant_id
) AS closets ON closets.variant_id = latest.variant_id
LEFT JOIN (
    SELECT w.product_variant_id AS variant_id, count(*) AS items
    FROM wishlist_items w
    JOIN users holder ON holder.id = w.user_id AND holder.deleted_at = 0
    WHERE w.deleted_at = 0
    GROUP BY w.product_variant_id
) AS wishlists ON wishlists.variant_id = latest.variant_id
