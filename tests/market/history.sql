-- The notification history of another service, with its layers, its rules, and made-up pushes to
-- the users of seed.sql. Plain SQL; it replaces the rows in the tables. It takes the same settings
-- as seed.sql (market.users, market.seed, market.now), so that both are about the same users:
-- user n is md5('user-' || n)::uuid, and the new users of seed.sql got pushes of layer 5.
BEGIN;
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;
SET LOCAL synchronous_commit = off;

DROP TABLE IF EXISTS user_notifications, notification_layers, cadence_rules;

CREATE TABLE notification_layers (
    id          serial PRIMARY KEY,
    name        varchar(50) UNIQUE,
    description text
);

CREATE TABLE cadence_rules (
    id             serial PRIMARY KEY,
    name           varchar(100) UNIQUE,
    value_in_hours int,
    value_count    int,
    description    text,
    is_active      boolean DEFAULT true
);

CREATE TABLE user_notifications (
    id                   uuid PRIMARY KEY,
    user_id              uuid,
    notification_id      uuid NULL,
    layer_id             int REFERENCES notification_layers (id),
    sent_at              timestamptz DEFAULT now(),
    push_title           text,
    push_body            text,
    audience_description text,
    deep_link            text
);

INSERT INTO notification_layers (id, name, description) VALUES
    (1, 'platform_wide', 'platform-wide moments'),
    (2, 'product_trend', 'product and trend triggers'),
    (3, 'behavior_responsive', 'behaviour-responsive'),
    (4, 'test', 'test'),
    (5, 'new_user_series', 'new-user series');
SELECT setval('notification_layers_id_seq', 5);

INSERT INTO cadence_rules (name, value_in_hours, value_count, description) VALUES
    ('layer_3_cooldown_hours', 72, NULL, 'no layer-3 push within this time of the last one'),
    ('combined_l2_l3_limit_hours', 168, 3, 'at most this many pushes of layers 2 and 3 together in this window'),
    ('layer_5_cooldown_hours', 96, NULL, 'no layer-5 push within this time of the last one');

DO $$ BEGIN EXECUTE format(
    'CREATE FUNCTION pg_temp.u(n bigint, col bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
     ''SELECT (hashint8extended(n, col + %s) & 4503599627370495) / 4503599627370496.0::float8''',
    coalesce(nullif(current_setting('market.seed', true), '')::bigint, 1) * 1000); END $$;

-- About one push for each user over 120 days, most of them recent; up to three of layer 5 for new users.
INSERT INTO user_notifications (id, user_id, notification_id, layer_id, sent_at, push_title, push_body, audience_description, deep_link)
SELECT md5('push-' || k)::uuid, md5('user-' || n)::uuid,
       CASE WHEN k % 3 = 0 THEN md5('notification-' || k % 500)::uuid END, layer,
       s.now - make_interval(secs => 86400 * CASE WHEN newcomer THEN 14 * pg_temp.u(k, 203)
                                                  ELSE 120 * power(pg_temp.u(k, 203), 2) END),
       (ARRAY['Restock week', 'Your shoe is trending', 'People want what you have', 'Test', 'Add your first shoe'])[layer],
       (ARRAY['Everything moves this week.', 'It is one of the ten most wanted.', 'See who is looking for it.', 'A test push.', 'It takes a minute.'])[layer],
       (ARRAY['everyone', 'trending-closet-items', 'recent-closet-adders', 'staff', 'no-shoes-new-user'])[layer],
       'https://example.com/push/' || layer
FROM (SELECT coalesce(nullif(current_setting('market.users', true), '')::int, 50000) AS users,
             coalesce(nullif(current_setting('market.now', true), '')::timestamptz, now()) AS now) s,
     generate_series(1, s.users) n,
     LATERAL (SELECT pg_temp.u(n, 10) < 0.025 AS newcomer, pg_temp.u(n, 201) AS how_many OFFSET 0) w,
     generate_series(1, CASE WHEN newcomer THEN floor(4 * how_many)::int ELSE least(12, floor(-1.5 * ln(1 - how_many))::int) END) i,
     LATERAL (SELECT n * 16::bigint + i AS k) k,
     LATERAL (SELECT CASE WHEN newcomer THEN 5
                          WHEN k % 211 = 0 THEN 4
                          ELSE (ARRAY[1,2,2,2,2,3,3,3,3,5])[1 + floor(10 * pg_temp.u(k, 202))::int] END AS layer OFFSET 0) l;

CREATE INDEX user_notifications_user_sent_idx ON user_notifications (user_id, sent_at DESC);
CREATE INDEX user_notifications_layer_idx ON user_notifications (layer_id);
CREATE INDEX user_notifications_sent_idx ON user_notifications (sent_at DESC);
ANALYZE user_notifications, notification_layers, cadence_rules;

DROP FUNCTION pg_temp.u;
COMMIT;
