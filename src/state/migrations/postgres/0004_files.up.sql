-- Audience files of runs that are under way, in parts, from 0.
CREATE TABLE pushctl.files (
    run     text   NOT NULL,
    name    text   NOT NULL,
    part    bigint NOT NULL,
    content bytea  NOT NULL,
    PRIMARY KEY (run, name, part)
);
