-- Who of a batch has an account, and whether it is deleted.
SELECT u.id, coalesce(u.deleted_at, 0) <> 0
FROM unnest(current_setting('pushctl.recipients')::uuid[]) AS asked (user_id)
JOIN users AS u ON u.id = asked.user_id
