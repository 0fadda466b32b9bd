-- New users who miss an onboarding step, all steps in one row.
--
-- Plan: users.created_at is not indexed, so users are read in sequence and filtered by the window. The rest is looked up
-- for those few, through indexes that lead with the user. It must avoid
--   * an aggregate over the closets, wishes and offers of all users;
--   * a lookup for users outside the window: newcomer is a join of its own, so the funnel does not need them;
--   * parsing a parameter for every row: as (SELECT ...) it is read once (for 1.5 million offers 0.4 s, not 4 s);
--   * a scan of :already_sent for every user: it is unnested once, and joined.
--
--| title = "New users, all steps at once"
--| about = "Users who joined recently and miss an onboarding step, with the state of every step and the next one."
--| base = "every user"
--| times = ["lastActive"]
--| order = "created_at DESC, user_id"
--| [set]
--| work_mem = "64MB"
--| jit = "off"
--| [history]
--| layer = 5
--| at_least = "max_appearances"
--| within_days = "appearance_days"
--| [parameters.min_hours]
--| type = "integer"
--| default = 12
--| min = 0
--| max = 8760
--| help = "Minimum hours since joining"
--| [parameters.max_days]
--| type = "integer"
--| default = 14
--| min = 1
--| max = 365
--| help = "Maximum days since joining"
--| [parameters.max_appearances]
--| type = "integer"
--| default = 2
--| min = 1
--| max = 1000
--| help = "Pushes of the new-user series after which a user is left out"
--| [parameters.appearance_days]
--| type = "integer"
--| default = 90
--| min = 1
--| max = 3650
--| help = "Days to look back for those pushes"
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
--| name = "not too old"
--| keep = "is_new"
--| left = "joined too long ago"
--| show = ["created_at"]
--| [[stages]]
--| name = "not too new"
--| keep = "is_settled"
--| left = "joined only just now"
--| show = ["created_at"]
--| [[stages]]
--| name = "misses a step"
--| keep = "next_step <> 'new-stars-new-user'"
--| left = "every step done"
--| show = ["has_shoes", "has_bio", "has_offer", "has_wishlist", "next_step"]
--| [[stages]]
--| name = "not nudged enough"
--| keep = "NOT already_nudged"
--| left = "got all the nudges of the series already"
--| show = ["already_nudged"]
--| [[files]]
--| stem = "new-user-nudges"
--| help = "new users and the step to nudge them to"
--| columns = ["user_id", "username", "firstName", "has_shoes", "has_bio", "has_offer", "has_wishlist", "next_step", "top_target_shoe", "top_target_shoe_variantid", "lastActive"]

SELECT u.id AS user_id, u.username, u.first_name AS "firstName",
       has_shoes::text, has_bio::text, has_offer::text, has_wishlist::text,
       -- The waterfall's file; its levels are in waterfall.sql, and these must stay the same.
       CASE
           WHEN newcomer.id IS NULL THEN NULL
           WHEN NOT has_shoes THEN 'no-shoes-new-user'
           WHEN NOT has_bio THEN 'no-bio-new-user'
           WHEN NOT has_offer THEN 'no-offers-new-user'
           WHEN NOT has_wishlist THEN 'no-wishlist-new-user'
           ELSE 'new-stars-new-user'
       END AS next_step,
       top_target_shoe, top_target_shoe_variantid, activity.last_active AS "lastActive",
       u.created_at, u.deleted_at, sent.user_id IS NOT NULL AS already_nudged,
       -- Present means of use in a greeting: neither NULL nor blank.
       btrim(u.first_name, E' \t\n\r') <> '' AS first_name_present,
       u.created_at >= (SELECT :as_of - :max_days * interval '1 day') AS is_new,
       u.created_at <= (SELECT :as_of - :min_hours * interval '1 hour') AS is_settled
FROM users u
LEFT JOIN (
    SELECT n.id,
           -- Any row, deleted or not, of any status: the step was taken once. So it is with offers.
           EXISTS (SELECT FROM inventory_items i WHERE i.user_id = n.id) AS has_shoes,
           coalesce(btrim(n.bio, E' \t\n\r') <> '', false) AS has_bio,
           EXISTS (SELECT FROM offers o WHERE o.creator_user_id = n.id) AS has_offer,
           EXISTS (SELECT FROM wishlist_items w WHERE w.user_id = n.id AND w.deleted_at = 0) AS has_wishlist,
           coalesce(desired.name, offered.name, wished.name,
                    CASE WHEN offered.variant_id IS NOT NULL THEN 'Unknown Product' END) AS top_target_shoe,
           CASE WHEN offered.name IS NULL THEN coalesce(desired.variant_id, wished.variant_id, offered.variant_id)
                ELSE offered.variant_id END AS top_target_shoe_variantid
    FROM users n
    -- A deleted variant or product is gone: no target, but for offers the last resort. Ties go to the lower id.
    LEFT JOIN LATERAL (
        SELECT p.name, d.product_variant_id AS variant_id
        FROM desired_items d
        JOIN product_variants v ON v.id = d.product_variant_id AND v.deleted_at = 0
        JOIN products p ON p.id = v.product_id AND p.deleted_at = 0
        WHERE d.user_id = n.id AND d.deleted_at = 0
        ORDER BY d.offers_count DESC, d.created_at DESC, d.id
        LIMIT 1
    ) AS desired ON true
    LEFT JOIN LATERAL (
        -- The newest that still exists, else (name is NULL) the newest that is gone; of deleted offers too.
        SELECT p.name, i.product_variant_id AS variant_id
        FROM offers o
        JOIN offer_items i ON i.offer_id = o.id
        LEFT JOIN product_variants v ON v.id = i.product_variant_id AND v.deleted_at = 0
        LEFT JOIN products p ON p.id = v.product_id AND p.deleted_at = 0
        WHERE o.creator_user_id = n.id AND desired.variant_id IS NULL
        ORDER BY p.id IS NULL, i.created_at DESC, i.id
        LIMIT 1
    ) AS offered ON true
    LEFT JOIN LATERAL (
        SELECT p.name, w.product_variant_id AS variant_id
        FROM wishlist_items w
        JOIN product_variants v ON v.id = w.product_variant_id AND v.deleted_at = 0
        JOIN products p ON p.id = v.product_id AND p.deleted_at = 0
        WHERE w.user_id = n.id AND w.deleted_at = 0 AND desired.variant_id IS NULL AND offered.name IS NULL
        ORDER BY w.created_at DESC, w.id
        LIMIT 1
    ) AS wished ON true
    WHERE n.created_at >= (SELECT :as_of - :max_days * interval '1 day')
      AND n.created_at <= (SELECT :as_of - :min_hours * interval '1 hour')
) AS newcomer ON newcomer.id = u.id
LEFT JOIN user_activities activity ON activity.user_id = u.id
LEFT JOIN (SELECT DISTINCT unnest(:already_sent) AS user_id) AS sent ON sent.user_id = u.id
