-- Small records of the installation's chapters, all in one table. Times are
-- milliseconds since 1970, UTC; due is NULL when never.

-- +goose Up
CREATE TABLE IF NOT EXISTS docs (
    kind    TEXT COLLATE "C" NOT NULL,
    id      TEXT COLLATE "C" NOT NULL,
    scope   TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    body    BYTEA NOT NULL,
    sealed  TEXT NOT NULL,
    due     BIGINT,
    version BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (kind, id),
    UNIQUE (kind, scope, name)
);
CREATE INDEX IF NOT EXISTS docs_due ON docs (kind, due, id) WHERE due IS NOT NULL;

-- Going back loses nothing: edition 1 does not look at the table, and edition 2
-- finds it as it was.

-- +goose Down
SELECT 1;
