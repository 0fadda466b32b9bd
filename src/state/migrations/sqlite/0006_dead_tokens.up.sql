-- Tokens that the push service reported as unregistered, by hash, and when it did so last. A send does not try them again
-- for a while, unless they are registered again.
CREATE TABLE dead_tokens (
    token_hash BLOB   NOT NULL PRIMARY KEY,
    found_at   INTEGER NOT NULL
);
