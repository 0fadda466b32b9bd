CREATE TABLE pushes (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    automation TEXT    NOT NULL,
    occurrence TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    run        TEXT    NOT NULL,
    layer      INTEGER NOT NULL,
    -- 0 nowhere, 1 in a history elsewhere, 2 in this store
    recording  INTEGER NOT NULL,
    title      TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    deep_link  TEXT,
    audience   TEXT,
    opened_at  INTEGER NOT NULL,
    -- Every claim of this push has a higher id: where reading them in order starts.
    first_claim INTEGER NOT NULL
);
CREATE UNIQUE INDEX pushes_once_an_occurrence ON pushes (automation, occurrence, number);
CREATE INDEX pushes_by_run ON pushes (run);

CREATE TABLE senders (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    run      TEXT    NOT NULL,
    holder   TEXT    NOT NULL,
    begun_at INTEGER NOT NULL
);

-- The intent log: appended to before a request leaves. A claim without an outcome is in flight while its
-- sender lives, and in doubt once it is dead.
CREATE TABLE claims (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    push       INTEGER NOT NULL,
    -- A UUID's 16 bytes; any other id as text, filled up with zero bytes to at least 17.
    user_key   BLOB    NOT NULL,
    -- 0 is the claim on the user; 1, 2 … are further devices, won or lost with it.
    device     INTEGER NOT NULL,
    -- The first half of the token's SHA-256; NULL for a recipient who was never to be sent to.
    token_hash BLOB,
    -- NULL while the recipient waits in the queue for a sender.
    sender     INTEGER,
    claimed_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX claims_once_a_user ON claims (user_key, push, device);
CREATE UNIQUE INDEX claims_once_a_token ON claims (push, token_hash);
CREATE INDEX claims_queued ON claims (push, id) WHERE sender IS NULL;

-- The outcome log, one row a claim, by the claim's id.
CREATE TABLE outcomes (
    claim        INTEGER PRIMARY KEY,
    state        INTEGER NOT NULL,
    code         TEXT,
    message_name TEXT,
    attempts     INTEGER NOT NULL,
    millis       INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL,
    -- The delivery to the history elsewhere that carried it; NULL until then.
    synced       INTEGER
);

-- What a queued recipient's message is made from; gone with the outcome. Never a token.
CREATE TABLE payloads (
    claim   INTEGER PRIMARY KEY,
    -- How many earlier pushes each limit counted elsewhere, sixteen bits a limit.
    counted INTEGER NOT NULL,
    payload BLOB NOT NULL
);
