-- The tokens of a batch of people, for each the one used last first.
SELECT d.user_id, d.token
FROM devices AS d
WHERE d.user_id = ANY (current_setting('pushctl.users')::uuid[])
  AND d.token <> ''
ORDER BY d.user_id, d.updated_at DESC, d.token
