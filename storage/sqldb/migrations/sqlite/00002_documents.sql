-- Small records of the installation's chapters, all in one table. Times are
-- milliseconds since 1970, UTC; due is NULL when never.

-- +goose Up
CREATE TABLE IF NOT EXISTS docs (
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    scope   TEXT NOT NULL,
    name    TEXT NOT NULL,
    body    BLOB NOT NULL,
    sealed  TEXT NOT NULL,
    due     INTEGER,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (kind, id),
    UNIQUE (kind, scope, name)
);
CREATE INDEX IF NOT EXISTS docs_due ON docs (kind, due, id) WHERE due IS NOT NULL;

-- Going back loses nothing: edition 1 does not look at the table, and edition 2
-- finds it as it was.

-- +goose Down
SELECT 1;
