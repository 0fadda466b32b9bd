-- Notices and heartbeats that are not delivered yet, without addresses. A row leaves when it was delivered.
CREATE TABLE notices (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Notices to one target are delivered in their order.
    target        TEXT    NOT NULL,
    notice        TEXT    NOT NULL,
    queued_at     INTEGER NOT NULL,
    tries         INTEGER NOT NULL,
    -- Drawn at random by the process that delivers it, which may do so until then.
    claim         INTEGER NOT NULL,
    claimed_until INTEGER NOT NULL
);
