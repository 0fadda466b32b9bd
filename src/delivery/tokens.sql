-- The tokens of a batch of people, for each the one used last first. A join, so that the batch is taken apart once.
SELECT d.user_id, d.token
FROM unnest(current_setting('pushctl.users')::uuid[]) AS asked (user_id)
JOIN devices AS d ON d.user_id = asked.user_id
WHERE d.token <> ''
ORDER BY d.user_id, d.updated_at DESC, d.token
