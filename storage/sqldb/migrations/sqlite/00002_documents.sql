-- Small records of the installation's chapters, all in one table. Times are
-- milliseconds since 1970, UTC; due is NULL when never.

-- +goose Up
CREATE TABLE docs (
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
CREATE INDEX docs_due ON docs (kind, due, id) WHERE due IS NOT NULL;

-- +goose Down
DROP TABLE docs;
