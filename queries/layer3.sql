-- Users who made an offer, added a shoe to their closet or wished for one a day or two ago.
--
-- Plan: none of the three creation times is indexed, so each table is read in sequence, filtered by the window, joined by
-- hash. It must avoid
--   * a sort or a join of a whole table before the window filters it;
--   * index lookups for many rows: the planner cannot estimate how many users acted, and would loop over
--     indexes for a million of them, hence enable_nestloop = off;
--   * parsing a parameter for every row: as (SELECT ...) it is read once (for 1.5 million offers 0.4 s, not 4 s).
--
--| title = "Users with a recent action"
--| about = "Users who recently created an offer, added a shoe to their closet or wished for one, each with their strongest action."
--| base = "every user"
--| times = ["lastActive"]
--| order = "acted_at DESC, user_id"
--| [set]
--| work_mem = "96MB"
--| jit = "off"
--| enable_nestloop = "off"
--| [parameters.lookback_hours]
--| type = "integer"
--| default = 48
--| min = 1
--| max = 8760
--| help = "Hours to look back for actions"
--| [parameters.cooling_hours]
--| type = "integer"
--| default = 12
--| min = 0
--| max = 8760
--| help = "Minimum hours since an action"
--| [parameters.min_wishlist]
--| type = "integer"
--| default = 2
--| min = 0
--| max = 1000000
--| help = "Minimum wishlists with a shoe that was added to a closet"
--| [parameters.min_inventory]
--| type = "integer"
--| default = 3
--| min = 0
--| max = 1000000
--| help = "Minimum closets with a shoe that was offered for or wished for"
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
--| help = "users who created an offer"
--| columns = ["user_id", "username", "firstName", "usersize", "relevant_variant_size", "product_name", "variantID", "lastActive", "inventory_count"]
--| [[files]]
--| stem = "recent-closet-adders"
--| when = "action = 'closet_add'"
--| help = "users who added a shoe to their closet"
--| columns = ["user_id", "username", "firstName", "usersize", "relevant_variant_size", "product_name", "variantID", "lastActive", "wishlist_count"]
--| [[files]]
--| stem = "recent-wishlist-adders"
--| when = "action = 'wishlist_add'"
--| help = "users who wished for a shoe"
--| columns = ["user_id", "username", "firstName", "usersize", "relevant_variant_size", "product_name", "variantID", "lastActive", "inventory_count"]

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
)
SELECT u.id AS user_id, u.username, u.first_name AS "firstName", sizes.usersize,
       CASE WHEN latest.action IS NOT NULL
            THEN CASE WHEN btrim(latest.index_cache->>'mens_size', E' \t\n\r') <> ''
                      THEN latest.index_cache->>'mens_size' ELSE 'Unknown' END
       END AS relevant_variant_size,
       latest.product_name, latest.variant_id AS "variantID", activity.last_active AS "lastActive",
       latest.action, latest.acted_at,
       CASE WHEN latest.action IS NOT NULL THEN coalesce(closets.items, 0) END AS inventory_count,
       CASE WHEN latest.action IS NOT NULL THEN coalesce(wishlists.items, 0) END AS wishlist_count,
       u.deleted_at,
       -- Present means of use in a greeting: neither NULL nor blank.
       btrim(u.first_name, E' \t\n\r') <> '' AS first_name_present
FROM users u
LEFT JOIN user_activities activity ON activity.user_id = u.id
LEFT JOIN sizes ON sizes.user_id = u.id
LEFT JOIN (
    -- An action on a deleted or missing variant or product is none. Ties go to the lower id of the action;
    -- an offer stands for its item with the lowest id, deleted items included, as deleted offers are.
    SELECT DISTINCT ON (done.user_id) done.*, p.name AS product_name, v.index_cache
    FROM (
        SELECT o.creator_user_id AS user_id, 1 AS strength, 'offer_created' AS action, o.created_at AS acted_at,
               o.id AS action_id, i.id AS item_id, i.product_variant_id AS variant_id
        FROM offers o
        JOIN offer_items i ON i.offer_id = o.id
        WHERE o.created_at >= (SELECT :as_of - :lookback_hours * interval '1 hour')
          AND o.created_at < (SELECT :as_of - :cooling_hours * interval '1 hour')
        UNION ALL
        SELECT user_id, 2, 'closet_add', created_at, id, id, product_variant_id
        FROM inventory_items
        WHERE status = 'OPEN_FOR_TRADE'
          AND created_at >= (SELECT :as_of - :lookback_hours * interval '1 hour')
          AND created_at < (SELECT :as_of - :cooling_hours * interval '1 hour')
        UNION ALL
        SELECT user_id, 3, 'wishlist_add', created_at, id, id, product_variant_id
        FROM wishlist_items
        WHERE deleted_at = 0
          AND created_at >= (SELECT :as_of - :lookback_hours * interval '1 hour')
          AND created_at < (SELECT :as_of - :cooling_hours * interval '1 hour')
    ) AS done
    JOIN product_variants v ON v.id = done.variant_id AND v.deleted_at = 0
    JOIN products p ON p.id = v.product_id AND p.deleted_at = 0
    ORDER BY done.user_id, done.strength, done.acted_at DESC, done.action_id, done.item_id
) AS latest ON latest.user_id = u.id
LEFT JOIN (
    SELECT closet.product_variant_id AS variant_id, count(*) AS items
    FROM inventory_items closet
    WHERE closet.status = 'OPEN_FOR_TRADE'
      AND NOT EXISTS (SELECT FROM users gone WHERE gone.id = closet.user_id AND gone.deleted_at <> 0)
    GROUP BY closet.product_variant_id
) AS closets ON closets.variant_id = latest.variant_id
LEFT JOIN (
    SELECT w.product_variant_id AS variant_id, count(*) AS items
    FROM wishlist_items w
    WHERE w.deleted_at = 0
      AND NOT EXISTS (SELECT FROM users gone WHERE gone.id = w.user_id AND gone.deleted_at <> 0)
    GROUP BY w.product_variant_id
) AS wishlists ON wishlists.variant_id = latest.variant_id
