-- The words of accepted pushes, by the claim on the user. NULL words are the push's own.

-- Owed to a history elsewhere; a row leaves when it was delivered.
CREATE TABLE outbox (
    claim     INTEGER PRIMARY KEY,
    sent_at   INTEGER NOT NULL,
    title     TEXT,
    body      TEXT,
    deep_link TEXT
);

-- This store's own history.
CREATE TABLE history (
    claim     INTEGER PRIMARY KEY,
    sent_at   INTEGER NOT NULL,
    title     TEXT,
    body      TEXT,
    deep_link TEXT
);

-- How many deliveries to the history elsewhere there have been.
CREATE TABLE deliveries (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    number   INTEGER NOT NULL
);
INSERT INTO deliveries VALUES (1, 0);
