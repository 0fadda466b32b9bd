-- Times are microseconds since 1970 (UTC), documents are JSON text: the same in both stores.

CREATE TABLE runs (
    id           TEXT    NOT NULL PRIMARY KEY,
    automation   TEXT    NOT NULL,
    occurrence   TEXT    NOT NULL,
    mode         TEXT    NOT NULL,
    begun_by     TEXT    NOT NULL,
    begun_at     INTEGER NOT NULL,
    -- Only a cancel with a higher number than this concerns the run.
    cancels_seen INTEGER NOT NULL,
    plan         TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    ended_at     INTEGER,
    summary      TEXT
);
CREATE UNIQUE INDEX runs_one_open_an_occurrence ON runs (automation, occurrence) WHERE ended_at IS NULL;
CREATE INDEX runs_newest_first ON runs (begun_at);

CREATE TABLE phases (
    run      TEXT    NOT NULL,
    phase    TEXT    NOT NULL,
    attempt  INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER,
    result   TEXT,
    detail   TEXT,
    PRIMARY KEY (run, phase, attempt)
);

CREATE TABLE leases (
    name       TEXT    NOT NULL PRIMARY KEY,
    holder     TEXT    NOT NULL,
    -- Drawn at random by each taking: only who knows it can renew or release.
    fence      INTEGER NOT NULL,
    taken_at   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);

CREATE TABLE cancels (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    scope  TEXT    NOT NULL,
    target TEXT    NOT NULL,
    who    TEXT    NOT NULL,
    reason TEXT,
    at     INTEGER NOT NULL
);

CREATE TABLE pauses (
    automation TEXT    NOT NULL PRIMARY KEY,
    who        TEXT    NOT NULL,
    reason     TEXT,
    at         INTEGER NOT NULL
);

CREATE TABLE breakers (
    host          TEXT    NOT NULL PRIMARY KEY,
    failures      INTEGER NOT NULL,
    failed_at     INTEGER NOT NULL,
    probing_until INTEGER
);
