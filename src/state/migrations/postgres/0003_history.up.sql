-- The words of accepted pushes, by the claim on the user. NULL words are the push's own.

-- Owed to a history elsewhere; a row leaves when it was delivered.
CREATE TABLE pushctl.outbox (
    claim     bigint PRIMARY KEY,
    sent_at   bigint NOT NULL,
    title     text,
    body      text,
    deep_link text
);

-- This store's own history.
CREATE TABLE pushctl.history (
    claim     bigint PRIMARY KEY,
    sent_at   bigint NOT NULL,
    title     text,
    body      text,
    deep_link text
);

-- How many deliveries to the history elsewhere there have been.
CREATE TABLE pushctl.deliveries (
    only_one bigint PRIMARY KEY CHECK (only_one = 1),
    number   bigint NOT NULL
);
INSERT INTO pushctl.deliveries VALUES (1, 0);
