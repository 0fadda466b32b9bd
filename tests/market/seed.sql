-- Fills the tables of schema.sql with a made-up marketplace. Plain SQL without psql commands, so any client can run it.
-- It needs a superuser, and replaces the rows in the tables.
-- Settings, all optional, given before it runs (SET market.users = 2000; or PGOPTIONS='-c market.users=2000'):
--   market.users     number of users                        50000
--   market.products  number of products, 12 sizes each      2000
--   market.seed      seed of the random numbers             1
--   market.now       the instant from which times are past  now()
-- The same settings give the same rows: every random number is a hash of a row number, every id an md5:
--   user n: md5('user-' || n)::uuid        product p: md5('product-' || p)::uuid, 1 the most popular
--   variant: md5('variant-' || p || '-' || s)::uuid, s from 1 to 12 the sizes 7 to 14
BEGIN;
SET LOCAL session_replication_role = replica;   -- rows refer to rows that exist: no foreign key is checked
SET LOCAL timezone = 'UTC';
SET LOCAL client_min_messages = warning;
SET LOCAL synchronous_commit = off;
SET LOCAL maintenance_work_mem = '256MB';

-- The transaction that fills the tables empties them first, so at wal_level = minimal no row is logged.
CREATE TEMP TABLE tables ON COMMIT DROP AS
SELECT unnest('{users,user_activities,user_admin_informations,user_preferences,attributes,attribute_values,
    attribute_preferences,products,product_variants,inventory_items,wishlist_items,desired_items,offers,
    offer_items,trades,devices}'::regclass[]) AS rel;
TRUNCATE users, user_activities, user_admin_informations, user_preferences, attributes,
    attribute_values, attribute_preferences, products, product_variants, inventory_items,
    wishlist_items, desired_items, offers, offer_items, trades, devices;

-- Indexes are dropped and made again as in schema.sql after the rows are inserted, which takes half the time.
-- Those that a foreign key needs stay: checking the key afterwards would cost more than it saves.
CREATE TEMP TABLE later ON COMMIT DROP AS
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS undo,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS redo
FROM pg_constraint WHERE contype IN ('p', 'u') AND conrelid IN (SELECT rel FROM tables)
  AND conindid NOT IN (SELECT conindid FROM pg_constraint WHERE contype = 'f')
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
FROM pg_index WHERE indrelid IN (SELECT rel FROM tables) AND NOT indisunique;
DO $$ DECLARE step text; BEGIN
    FOR step IN SELECT undo FROM later LOOP EXECUTE step; END LOOP;
END $$;

CREATE FUNCTION pg_temp.setting(name text, fallback text) RETURNS text LANGUAGE sql STABLE
    RETURN coalesce(nullif(current_setting('market.' || name, true), ''), fallback);

CREATE TEMP TABLE market ON COMMIT DROP AS
SELECT pg_temp.setting('users', '50000')::int          AS users,
       pg_temp.setting('products', '2000')::int        AS products,
       pg_temp.setting('seed', '1')::bigint            AS seed,
       pg_temp.setting('now', now()::text)::timestamptz AS now;

-- A random number, uniform in [0, 1), determined by the row's and the column's number.
DO $$ BEGIN EXECUTE format(
    'CREATE FUNCTION pg_temp.u(n bigint, col bigint) RETURNS float8 LANGUAGE sql IMMUTABLE AS
     ''SELECT (hashint8extended(n, col + %s) & 4503599627370495) / 4503599627370496.0::float8''',
    (SELECT seed * 1000 FROM market)); END $$;

-- Ids. (Casts to text are spelled out: || with a number is not immutable, and such a function is not inlined.)
CREATE FUNCTION pg_temp.id(kind text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$SELECT md5(kind || '-' || n::text)::uuid$$;
CREATE FUNCTION pg_temp.variant_id(p int, s int) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$SELECT md5('variant-' || p::text || '-' || s::text)::uuid$$;

-- Popularity follows a Zipf-Mandelbrot distribution: product 1 gets about 3 %, the top ten 18 %.
DO $$ BEGIN EXECUTE format(
    'CREATE FUNCTION pg_temp.popular(u float8) RETURNS int LANGUAGE sql IMMUTABLE AS
     ''SELECT least(%1$s, 1 + floor(5 * power((%1$s + 5) / 5.0::float8, u) - 5)::int)''',
    (SELECT products FROM market)); END $$;

-- One of the twelve sizes, the middle ones most often.
CREATE FUNCTION pg_temp.size_no(a float8, b float8) RETURNS int LANGUAGE sql IMMUTABLE AS
    $$SELECT 1 + floor((a + b) * 6)::int$$;
CREATE FUNCTION pg_temp.size_label(s int) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$SELECT (ARRAY['7','7.5','8','8.5','9','9.5','10','10.5','11','12','13','14'])[s]$$;

-- A count: most users have none or one, a few have many.
CREATE FUNCTION pg_temp.how_many(u float8, scale float8) RETURNS int LANGUAGE sql IMMUTABLE AS
    $$SELECT least(40, floor(-ln(1 - u) * scale)::int)$$;

CREATE FUNCTION pg_temp.days(d float8) RETURNS interval LANGUAGE sql IMMUTABLE AS
    $$SELECT make_interval(secs => d * 86400)$$;

-- Soft deletion as in production: the second of the deletion.
CREATE FUNCTION pg_temp.deleted(yes boolean, at timestamptz) RETURNS int LANGUAGE sql STABLE AS
    $$SELECT CASE WHEN yes THEN extract(epoch FROM at)::int ELSE 0 END$$;

-- ------------------------------------------------------------------ products and variants
INSERT INTO products (id, name, mpn, slug, created_at, deleted_at)
SELECT pg_temp.id('product', p), title, 'MPN-' || lpad(p::text, 6, '0'),
       btrim(regexp_replace(lower(title), '[^a-z0-9]+', '-', 'g'), '-') || '-' || p,
       m.now - pg_temp.days(30 + 1200 * pg_temp.u(p, 1)),
       pg_temp.deleted(p > 20 AND pg_temp.u(p, 2) < 0.01, m.now - pg_temp.days(20 * pg_temp.u(p, 1)))
FROM market m, generate_series(1, m.products) p, LATERAL (SELECT
    (ARRAY['Kestrel','Nimbus','Vanta','Solstice','Corsa','Aldine','Tern & Co.','Mori','Ødegaard','Haze'])[1 + (p * 7) % 10]
    || ' ' ||
    (ARRAY['Court 1 Retro High','Runner 90','Court 1 Low','Dunkirk Low','Trail 550','Max Ninety','Foam Slide','990 v4',
           'Skate Mid','Retro 4','Retro 11','Sprint Knit','Blazer Mid ''77','Gel-Arc 5','Campus 80s','Sambra OG',
           'Terrace','Forum Low','Wave Rider','Boot 1460'])[1 + (p * 3 + p / 10) % 20]
    || ' ' ||
    (ARRAY['"Chicago"','"Bred"','"Triple White"','"Shadow"','''University Blue''','"Panda"','"Lost, and Found"','"Off-Noir"',
           '"Café Crème"','"Sakura 桜"','"Grape"','"Volt"','"Mocha"','"Black, Red & Gum"','"Infrared"','"UNC"','"Oreo"',
           '"Jade 翡翠"','"Señal"','"Concord"','"Royal"','"Fire Red"','"Lightning ⚡"','"Sail"','"Pine Green"','"Bleached Coral"',
           '"What The"','"Cool Grey"','"Desert; Moss"','"Playoffs"'])[1 + (p * 11 + p / 20) % 30]
    || CASE WHEN p % 5 = 0 THEN ' (' || 2015 + p % 11 || ')' ELSE '' END
    || CASE WHEN p % 97 = 0 THEN ' 1/2" sole, 50% off\today' ELSE '' END AS title) t;

INSERT INTO product_variants (id, product_id, upc, index_cache, created_at, deleted_at)
SELECT pg_temp.variant_id(p, s), pg_temp.id('product', p), lpad((p * 100 + s)::text, 12, '0'),
       CASE WHEN pg_temp.u(p * 100 + s, 3) < 0.010 THEN NULL
            WHEN pg_temp.u(p * 100 + s, 3) < 0.020 THEN jsonb_build_object('gender', 'men')
            WHEN pg_temp.u(p * 100 + s, 3) < 0.025 THEN jsonb_build_object('gender', 'men', 'mens_size', NULL)
            ELSE jsonb_build_object('gender', 'men', 'mens_size', pg_temp.size_label(s), 'retail', 90 + 10 * (p % 15)) END,
       m.now - pg_temp.days(30 + 1200 * pg_temp.u(p, 1)),
       pg_temp.deleted(pg_temp.u(p * 100 + s, 4) < 0.015, m.now - pg_temp.days(5))
FROM market m, generate_series(1, m.products) p, generate_series(1, 12) s;

-- ------------------------------------------------------------------ people
-- joined: days since they joined; one in forty in the last 14.
CREATE TEMP TABLE person ON COMMIT DROP AS
SELECT n, pg_temp.id('user', n) AS id,
       CASE WHEN pg_temp.u(n, 10) < 0.025 THEN 14.5 * pg_temp.u(n, 11)
            ELSE 14 + 1100 * power(pg_temp.u(n, 11), 1.3) END AS joined,
       pg_temp.size_no(pg_temp.u(n, 12), pg_temp.u(n, 13)) AS size_no
FROM market m, generate_series(1, m.users) n;

INSERT INTO users (id, email, username, first_name, last_name, bio, avatar_id, phone_number, is_verified,
                   is_trusted_trader, completed_trades_count, closet_value, created_at, updated_at, deleted_at)
SELECT p.id,
       CASE WHEN pg_temp.u(n, 20) >= 0.015 THEN 'person' || n || '@example.com' END,
       CASE WHEN pg_temp.u(n, 21) < 0.030 THEN NULL
            WHEN pg_temp.u(n, 21) < 0.035 THEN
                (ARRAY['kicks, "the plug" ','=SUM(A1)+','@','léo_','スニーカー','tab' || chr(9),'back\slash\','o''neil.','👟','-- '])[1 + n % 10] || n
            ELSE (ARRAY['sole','heat','lace','retro','deadstock','grail','box','court','dunk','hightop','og','size'])[1 + floor(12 * pg_temp.u(n, 22))::int]
                 || (ARRAY['_hunter','.keeper','collector','_vault','_trader','king','queen','.lab','_daily','fan'])[1 + floor(10 * pg_temp.u(n, 23))::int] || n END,
       CASE WHEN first < 0.040 THEN NULL
            WHEN first < 0.050 THEN ''
            WHEN first < 0.057 THEN '   '
            WHEN first < 0.075 THEN
                (ARRAY['Mary "MJ" Jane','Smith, John',E'Line\nBreak',E'Tab\tbed',E'Car\rriage',E'Win\r\ndows','Back\slash','=1+1','+Plus','-Dash',
                       '@Handle','=HYPERLINK("http://example.com","x")','O''Brien','"','""',',','\N','\.','NULL','null','  Padded  ','👟 Sam','👩‍👩‍👧 Fam',
                       'Zoë','Łukasz','美咲','Олег','محمد','Nguyễn','D’Andre','[[var:username]]','{{name}}','%s','<b>Bo</b>','Ａｄａ',
                       'e' || U&'\0301' || 'lan',U&'\200B' || 'Zero',U&'\202E' || 'tfel','Ünal; DROP','🇧🇷','x',
                       repeat('Hubert Blaine ', 18)])[1 + floor(42 * pg_temp.u(n, 25))::int]
            ELSE (ARRAY['Ada','Alex','Amir','Ana','Andre','Aria','Ben','Bianca','Bo','Caleb','Camila','Chen','Chloe','Dana','Dante','Diego','Ella','Emeka',
                        'Eva','Fatima','Felix','Grace','Hana','Hugo','Ines','Isaac','Ivy','Jada','Jamal','Jin','José','Jude','Kai','Keisha','Kofi','Lara','Leo',
                        'Lena','Luca','Malik','Maya','Mei','Mila','Mohammed','Nadia','Nia','Noah','Nora','Omar','Priya','Quinn','Rafael','Renée','Rosa','Sam',
                        'Sofía','Tariq','Tess','Theo','Uma','Victor','Wren','Yara','Zoë'])[1 + floor(64 * pg_temp.u(n, 26))::int] END,
       CASE WHEN pg_temp.u(n, 27) >= 0.12 THEN
            (ARRAY['Adeyemi','Brown','Chen','Díaz','Ellis','Fischer','García','Hughes','Ito','Jones','Kim','Lopez','Müller','Nguyen','Okafor','Patel',
                   'Reyes','Singh','Torres','Walker'])[1 + floor(20 * pg_temp.u(n, 28))::int] END,
       CASE WHEN pg_temp.u(n, 29) < 0.36 THEN NULL
            WHEN pg_temp.u(n, 29) < 0.43 THEN ''
            WHEN pg_temp.u(n, 29) < 0.44 THEN '  '
            WHEN pg_temp.u(n, 29) < 0.45 THEN E' \n\t'
            ELSE (ARRAY['Size runs and stories.','Only deadstock, no fakes','Trading since 2014 👟',E'Closet:\n- retros\n- runners','Looking for "Chicago", any size',
                        'DM me | fast shipper','¿Cambios? Sí.','\o/']) [1 + floor(8 * pg_temp.u(n, 30))::int] END,
       CASE WHEN pg_temp.u(n, 31) < 0.6 THEN pg_temp.id('avatar', n) END,
       CASE WHEN pg_temp.u(n, 32) < 0.7 THEN '+1555' || lpad((n % 10000000)::text, 7, '0') END,
       pg_temp.u(n, 33) < 0.3, pg_temp.u(n, 34) < 0.02, pg_temp.how_many(pg_temp.u(n, 35), 1.2),
       pg_temp.how_many(pg_temp.u(n, 36), 2.8) * 180,
       m.now - pg_temp.days(joined), m.now - pg_temp.days(joined * pg_temp.u(n, 37)),
       pg_temp.deleted(pg_temp.u(n, 38) < 0.06, m.now - pg_temp.days(joined * pg_temp.u(n, 37)))
FROM market m, person p, LATERAL (SELECT pg_temp.u(n, 24) AS first OFFSET 0) f;

-- The last activity of most users is recent, of some long ago, and of a few not recorded.
INSERT INTO user_activities (id, user_id, last_active)
SELECT pg_temp.id('activity', n), p.id,
       m.now - pg_temp.days(least(joined, 400 * power(pg_temp.u(n, 40), 3)))
FROM market m, person p WHERE pg_temp.u(n, 41) >= 0.02;

-- A few users are under review, fewer are frozen.
INSERT INTO user_admin_informations (id, user_id, is_trusted_trader_candidate, freeze_reason, deleted_at)
SELECT pg_temp.id('admin', n), p.id, pg_temp.u(n, 43) < 0.5,
       CASE WHEN pg_temp.u(n, 44) < 0.4 THEN
            (ARRAY['chargeback','counterfeit report','no-show, twice','under review'])[1 + n % 4] END,
       pg_temp.deleted(pg_temp.u(n, 45) < 0.1, m.now)
FROM market m, person p WHERE pg_temp.u(n, 42) < 0.02;

INSERT INTO user_preferences (id, user_id, deleted_at)
SELECT pg_temp.id('preference', n), p.id, pg_temp.deleted(pg_temp.u(n, 47) < 0.005, m.now)
FROM market m, person p WHERE pg_temp.u(n, 46) < 0.96;

INSERT INTO attributes (id, name, type) VALUES
    (pg_temp.id('attribute', 1), 'mens_size', 'size'),
    (pg_temp.id('attribute', 2), 'womens_size', 'size'),
    (pg_temp.id('attribute', 3), 'style', 'text');
INSERT INTO attribute_values (id, attribute_id, key, value)
SELECT pg_temp.id('mens', s), pg_temp.id('attribute', 1), 'mens_size_' || replace(pg_temp.size_label(s), '.', '_'), pg_temp.size_label(s)
FROM generate_series(1, 12) s
UNION ALL
SELECT pg_temp.id('womens', s), pg_temp.id('attribute', 2), 'womens_size_' || s, (s + 4)::text FROM generate_series(1, 8) s
UNION ALL
SELECT pg_temp.id('style', s), pg_temp.id('attribute', 3), 'style_' || s, (ARRAY['court','runner','boot','slide'])[s] FROM generate_series(1, 4) s;

INSERT INTO attribute_preferences (id, user_preference_id, attribute_id, attribute_value_id, preferred, deleted_at)
-- the preferred size; some of these rows are deleted
SELECT pg_temp.id('size', n), pg_temp.id('preference', n), pg_temp.id('attribute', 1), pg_temp.id('mens', size_no),
       true, pg_temp.deleted(pg_temp.u(n, 49) < 0.005, m.now)
FROM market m, person WHERE pg_temp.u(n, 46) < 0.96 AND pg_temp.u(n, 48) < 0.94
UNION ALL  -- two feet, two preferred sizes
SELECT pg_temp.id('size2', n), pg_temp.id('preference', n), pg_temp.id('attribute', 1), pg_temp.id('mens', 1 + size_no % 12), true, 0
FROM person WHERE pg_temp.u(n, 46) < 0.96 AND pg_temp.u(n, 50) < 0.02
UNION ALL  -- a size they also look at, not preferred
SELECT pg_temp.id('size3', n), pg_temp.id('preference', n), pg_temp.id('attribute', 1), pg_temp.id('mens', 1 + (size_no + 1) % 12), false, 0
FROM person WHERE pg_temp.u(n, 46) < 0.96 AND pg_temp.u(n, 51) < 0.08
UNION ALL  -- other things preferred
SELECT pg_temp.id('style', 1000 + n), pg_temp.id('preference', n), pg_temp.id('attribute', 2 + n % 2),
       CASE WHEN n % 2 = 0 THEN pg_temp.id('womens', 1 + n % 8) ELSE pg_temp.id('style', 1 + n % 4) END, true, 0
FROM person WHERE pg_temp.u(n, 46) < 0.96 AND pg_temp.u(n, 52) < 0.15;

-- Most users have one to three devices; a token is null after signing out, and a few devices have a new owner.
INSERT INTO devices (id, user_id, fingerprint, token, created_at, updated_at)
SELECT pg_temp.id('device', d), id, md5('fingerprint-' || d),
       CASE WHEN pg_temp.u(d, 54) >= 0.05 THEN substr(b64, 1, 22) || ':APA91b' || substr(b64, 23) || left(reverse(b64), 70) END,
       m.now - pg_temp.days(joined * pg_temp.u(d, 55)),
       m.now - pg_temp.days(joined * pg_temp.u(d, 55) * pg_temp.u(d, 56))
FROM market m, person,
     generate_series(1, CASE WHEN pg_temp.u(n, 53) < 0.15 THEN 0 WHEN pg_temp.u(n, 53) < 0.75 THEN 1
                             WHEN pg_temp.u(n, 53) < 0.95 THEN 2 ELSE 3 END) i,
     LATERAL (SELECT n * 8::bigint + i AS d) k,
     LATERAL (SELECT sha512(convert_to('token-' || CASE WHEN pg_temp.u(d, 57) < 0.003 THEN d - 8 ELSE d END, 'UTF8')) AS h OFFSET 0) s,
     LATERAL (SELECT translate(encode(h, 'base64'), E'+/=\n', '-_') AS b64 OFFSET 0) t;

-- All variants' ids in one row: size s of product p is ids[12 * (p - 1) + s], which is quicker than its md5 each time.
CREATE TEMP VIEW variant AS
SELECT array_agg(pg_temp.variant_id(p, s) ORDER BY p, s) AS ids
FROM market m, generate_series(1, m.products) p, generate_series(1, 12) s;

-- ------------------------------------------------------------------ closets and wishes
INSERT INTO inventory_items (id, user_id, product_variant_id, status, created_at, updated_at, deleted_at)
SELECT pg_temp.id('inventory', k), id,
       v.ids[12 * pg_temp.popular(pg_temp.u(k, 61)) - 12 +
           CASE WHEN pg_temp.u(k, 62) < 0.7 THEN size_no ELSE pg_temp.size_no(pg_temp.u(k, 63), pg_temp.u(k, 64)) END],
       CASE WHEN state < 0.62 THEN 'OPEN_FOR_TRADE' WHEN state < 0.76 THEN 'CLOSED' WHEN state < 0.82 THEN 'IN_TRADE'
            WHEN state < 0.94 THEN 'TRADED' ELSE 'REMOVED' END,
       m.now - pg_temp.days(age), m.now - pg_temp.days(age * pg_temp.u(k, 66)),
       pg_temp.deleted(state >= 0.95, m.now - pg_temp.days(age * pg_temp.u(k, 66)))
FROM market m, variant v, person, generate_series(1, pg_temp.how_many(pg_temp.u(n, 60), 3.4)) i,
     LATERAL (SELECT n * 64::bigint + i AS k) k,
     LATERAL (SELECT pg_temp.u(k, 65) AS state, joined * power(pg_temp.u(k, 67), 1.5) AS age OFFSET 0) s;

INSERT INTO wishlist_items (id, user_id, product_variant_id, created_at, updated_at, deleted_at)
SELECT pg_temp.id('wish', k), id,
       v.ids[12 * pg_temp.popular(pg_temp.u(k, 71)) - 12 +
           CASE WHEN pg_temp.u(k, 72) < 0.8 THEN size_no ELSE pg_temp.size_no(pg_temp.u(k, 73), pg_temp.u(k, 74)) END],
       m.now - pg_temp.days(age), m.now - pg_temp.days(age),
       pg_temp.deleted(pg_temp.u(k, 75) < 0.12, m.now - pg_temp.days(age * pg_temp.u(k, 76)))
FROM market m, variant v, person, generate_series(1, pg_temp.how_many(pg_temp.u(n, 70), 2.5)) i,
     LATERAL (SELECT n * 64::bigint + i AS k) k,
     LATERAL (SELECT joined * power(pg_temp.u(k, 77), 1.5) AS age OFFSET 0) s;

-- Counts are small, so that often several are the highest and the newest decides.
INSERT INTO desired_items (id, user_id, product_variant_id, offers_count, created_at, deleted_at)
SELECT pg_temp.id('desired', k), id, v.ids[12 * pg_temp.popular(pg_temp.u(k, 81)) - 12 + size_no],
       pg_temp.how_many(pg_temp.u(k, 82), 2), m.now - pg_temp.days(joined * pg_temp.u(k, 83)),
       pg_temp.deleted(pg_temp.u(k, 84) < 0.1, m.now)
FROM market m, variant v, person, generate_series(1, pg_temp.how_many(pg_temp.u(n, 80), 1.4)) i,
     LATERAL (SELECT n * 64::bigint + i AS k) k;

-- ------------------------------------------------------------------ offers and trades
-- A year of offers, a quarter of them in the last 14 days, none before its creator joined.
CREATE TEMP TABLE offer ON COMMIT DROP AS
SELECT k, pg_temp.id('offer', k) AS id, person.id AS creator, size_no,
       least(joined * pg_temp.u(k, 91), CASE WHEN pg_temp.u(k, 92) < 0.25 THEN 14 * pg_temp.u(k, 93)
                                             ELSE 365 * power(pg_temp.u(k, 93), 1.4) END) AS age
FROM person, generate_series(1, pg_temp.how_many(pg_temp.u(n, 90), 2)) i, LATERAL (SELECT n * 64::bigint + i AS k) k;
ALTER TABLE offer ADD COLUMN status text;
UPDATE offer SET status =
       CASE WHEN pg_temp.u(k, 94) < CASE WHEN age < 30 THEN 0.35 ELSE 0.04 END THEN 'OPEN'
            WHEN pg_temp.u(k, 94) < CASE WHEN age < 30 THEN 0.50 ELSE 0.06 END THEN 'PENDING'
            ELSE (ARRAY['ACCEPTED','COMPLETED','COMPLETED','DECLINED','DECLINED','EXPIRED','EXPIRED','CANCELED'])
                 [1 + floor(8 * pg_temp.u(k, 95))::int] END;

INSERT INTO offers (id, creator_user_id, receiver_user_id, offer_type, offer_status, created_at, updated_at, deleted_at)
SELECT id, creator,
       CASE WHEN pg_temp.u(k, 96) >= 0.02 THEN pg_temp.id('user', 1 + (k / 64 + floor((m.users - 1) * pg_temp.u(k, 97))::bigint) % m.users) END,
       (ARRAY['TRADE','TRADE','TRADE_WITH_CASH','BUY'])[1 + floor(4 * pg_temp.u(k, 98))::int], status,
       m.now - pg_temp.days(age), m.now - pg_temp.days(age * pg_temp.u(k, 99)),
       pg_temp.deleted(pg_temp.u(k, 100) < 0.05, m.now - pg_temp.days(age * pg_temp.u(k, 99)))
FROM market m, offer;

-- One to three shoes on each side; a few in a thousand refer to a variant that is gone.
INSERT INTO offer_items (id, offer_id, product_variant_id, offer_item_owner, created_at, deleted_at)
SELECT pg_temp.id('item', j), id,
       CASE WHEN pg_temp.u(j, 101) < 0.004 THEN md5('gone-' || j)::uuid
            ELSE v.ids[12 * pg_temp.popular(pg_temp.u(j, 102)) - 12 +
                CASE WHEN pg_temp.u(j, 103) < 0.6 THEN size_no ELSE pg_temp.size_no(pg_temp.u(j, 104), pg_temp.u(j, 105)) END] END,
       owner, m.now - pg_temp.days(age), pg_temp.deleted(pg_temp.u(j, 106) < 0.01, m.now)
FROM market m, variant v, offer, (VALUES (0, 'CREATOR'), (4, 'RECEIVER')) AS side (at, owner),
     generate_series(1, 1 + (pg_temp.u(k, 107 + at) < 0.28)::int + (pg_temp.u(k, 107 + at) < 0.08)::int) i,
     LATERAL (SELECT k * 8 + at + i AS j) j;

INSERT INTO trades (id, offer_id, state, validation_passed_date, created_at, deleted_at)
SELECT pg_temp.id('trade', k), id,
       CASE WHEN status = 'COMPLETED' THEN 'COMPLETED' ELSE (ARRAY['SHIPPING','VALIDATING','FAILED'])[1 + (k / 64) % 3] END,
       CASE WHEN status = 'COMPLETED' OR (k / 64) % 3 = 1 THEN m.now - pg_temp.days(age * pg_temp.u(k, 112)) END,
       m.now - pg_temp.days(age), pg_temp.deleted(pg_temp.u(k, 113) < 0.01, m.now)
FROM market m, offer WHERE status IN ('ACCEPTED', 'COMPLETED');

DO $$ DECLARE step text; BEGIN
    FOR step IN SELECT redo FROM later LOOP EXECUTE step; END LOOP;
END $$;

ANALYZE users, user_activities, user_admin_informations, user_preferences, attributes, attribute_values,
    attribute_preferences, products, product_variants, inventory_items, wishlist_items, desired_items, offers,
    offer_items, trades, devices;

DROP VIEW variant;
DROP FUNCTION pg_temp.setting, pg_temp.u, pg_temp.id, pg_temp.variant_id, pg_temp.popular, pg_temp.size_no,
    pg_temp.size_label, pg_temp.how_many, pg_temp.days, pg_temp.deleted;
COMMIT;
