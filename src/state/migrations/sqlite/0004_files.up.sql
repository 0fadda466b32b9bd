-- Audience files of runs that are under way, in parts, from 0.
CREATE TABLE files (
    run     TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    part    INTEGER NOT NULL,
    content BLOB    NOT NULL,
    PRIMARY KEY (run, name, part)
);
