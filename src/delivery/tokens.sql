-- Every registration of every token of a batch, the latest first: the first row of a token says whose it is now. The
-- tokens are those of the people to look up, and those that an audience file brings.
SELECT d.user_id,
    CASE WHEN isfinite(d.updated_at) THEN (extract(epoch FROM d.updated_at) * 1000000)::bigint END,
    d.token
FROM devices AS d
WHERE d.token IN (
    SELECT own.token
    FROM unnest(current_setting('pushctl.look_up')::uuid[]) AS asked (user_id)
    JOIN devices AS own ON own.user_id = asked.user_id
    WHERE own.token <> ''
    UNION ALL
    SELECT unnest(current_setting('pushctl.tokens')::text[]))
ORDER BY d.updated_at DESC, d.id DESC
