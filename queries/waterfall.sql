-- New users, each at the first onboarding step they miss.
--
-- Plan: users.created_at is not indexed, so users are read in sequence and filtered by the window. The rest is looked up
-- for those few, through indexes that lead with the user. It must avoid
--   * an aggregate over the closets, wishes and offers of all users;
--   * a lookup for users outside the window: newcomer is a join of its own, so the funnel does not need them;
--   * parsing a parameter for every row: as (SELECT ...) it is read once (for 1.5 million offers 0.4 s, not 4 s).
--
--| title = "New users, by the first onboarding step they miss"
--| about = "Users who joined recently, in five disjoint files: no shoes, no bio, no offers, no wishlist, and all steps done."
--| base = "every user"
--| order = "created_at DESC, user_id"
--| name_separator = "-"
--| test_marker = "test"
--| partition = true
--| [set]
--| work_mem = "64MB"
--| jit = "off"
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
--| [[files]]
--| stem = "no-shoes-new-user"
--| when = "new_user_level = 1"
--| help = "level 1: never had a shoe in their closet"
--| columns = ["user_id", "username", "firstName", "new_user_level"]
--| [[files]]
--| stem = "no-bio-new-user"
--| when = "new_user_level = 2"
--| help = "level 2: no bio"
--| columns = ["user_id", "username", "firstName", "new_user_level"]
--| [[files]]
--| stem = "no-offers-new-user"
--| when = "new_user_level = 3"
--| help = "level 3: never created an offer"
--| columns = ["user_id", "username", "firstName", "new_user_level", "top_target_shoe", "top_target_shoe_variantid"]
--| [[files]]
--| stem = "no-wishlist-new-user"
--| when = "new_user_level = 4"
--| help = "level 4: nothing on their wishlist"
--| columns = ["user_id", "username", "firstName", "new_user_level", "top_target_shoe", "top_target_shoe_variantid"]
--| [[files]]
--| stem = "new-stars-new-user"
--| when = "new_user_level = 5"
--| help = "level 5: every step done"
--| columns = ["user_id", "username", "firstName", "new_user_level", "top_target_shoe", "top_target_shoe_variantid"]

SELECT u.id AS user_id, u.username, u.first_name AS "firstName",
       CASE
           WHEN newcomer.id IS NULL THEN NULL
           WHEN NOT has_shoes THEN 1
           WHEN NOT has_bio THEN 2
           WHEN NOT has_offer THEN 3
           WHEN NOT has_wishlist THEN 4
           ELSE 5
       END AS new_user_level,
       has_shoes, has_bio, has_offer, has_wishlist, top_target_shoe, top_target_shoe_variantid,
       u.created_at, u.deleted_at,
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
