-- Who the configured test users are: the columns that a test row takes from the person and not from production.
-- The size is chosen as in the audiences: of several preferred ones the first in byte order.
SELECT u.id AS user_id,
       u.username,
       u.first_name AS "firstName",
       (SELECT min(value.value COLLATE "C")
          FROM user_preferences up
          JOIN attribute_preferences preference ON preference.user_preference_id = up.id
          JOIN attributes attribute ON attribute.id = preference.attribute_id
          JOIN attribute_values value ON value.id = preference.attribute_value_id
         WHERE up.user_id = u.id AND attribute.name = 'mens_size' AND preference.preferred
           AND up.deleted_at = 0 AND preference.deleted_at = 0 AND attribute.deleted_at = 0
           AND value.deleted_at = 0 AND value.value ~ '\S') AS usersize
  FROM unnest(current_setting('pushctl.test_users')::uuid[]) WITH ORDINALITY AS wanted (id, place)
  JOIN users u USING (id)
 ORDER BY wanted.place
