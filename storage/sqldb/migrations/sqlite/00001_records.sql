-- The records of Rondo, first edition.
--
-- Every table is read by the keys below and nothing else; a test asks SQLite
-- for the plan of each statement and refuses one that scans. What is only
-- stored and shown stands in body, as JSON; what is asked for has a column.
-- seq is the order of making. Times are microseconds since 1970, UTC.

-- +goose Up

-- Counters hand out numbers under the writer's lock, so in order of commit.
CREATE TABLE counters (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE projects (
    id   TEXT NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE pipelines (
    seq     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    project TEXT NOT NULL REFERENCES projects (id),
    number  INTEGER NOT NULL,
    key     TEXT,             -- of the trigger; NULL is none
    branch  TEXT NOT NULL,    -- '' for a tag
    state   TEXT NOT NULL,
    created INTEGER NOT NULL,
    body    TEXT NOT NULL,
    UNIQUE (project, number)
);
CREATE UNIQUE INDEX pipelines_key ON pipelines (project, key) WHERE key IS NOT NULL;
-- One index for each way to list: any choice of project, branch and state.
CREATE INDEX pipelines_state ON pipelines (state, seq);
CREATE INDEX pipelines_project_state ON pipelines (project, state, seq);
CREATE INDEX pipelines_branch ON pipelines (branch, seq) WHERE branch <> '';
CREATE INDEX pipelines_branch_state ON pipelines (branch, state, seq) WHERE branch <> '';
CREATE INDEX pipelines_project_branch ON pipelines (project, branch, seq) WHERE branch <> '';
CREATE INDEX pipelines_project_branch_state ON pipelines (project, branch, state, seq) WHERE branch <> '';

CREATE TABLE plans (
    pipeline INTEGER PRIMARY KEY REFERENCES pipelines (seq),
    body     BLOB NOT NULL    -- JSON, compressed with zstd if large
);

CREATE TABLE workflows (
    seq      INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    pipeline INTEGER NOT NULL REFERENCES pipelines (seq),
    project  TEXT NOT NULL,
    ended    INTEGER NOT NULL, -- 0 or 1
    created  INTEGER NOT NULL,
    body     TEXT NOT NULL     -- without the jobs
);
CREATE INDEX workflows_pipeline ON workflows (pipeline, seq);
-- Holds the open ones only, so its size does not grow with history.
CREATE INDEX workflows_open ON workflows (project, seq) WHERE ended = 0;

CREATE TABLE jobs (
    workflow INTEGER NOT NULL REFERENCES workflows (seq),
    id       TEXT NOT NULL,
    past     INTEGER NOT NULL, -- 1: a newer attempt has replaced it
    place    INTEGER NOT NULL, -- among the current or the past ones
    kept     INTEGER NOT NULL, -- 1: carried over from another workflow
    project  TEXT NOT NULL,
    number   INTEGER NOT NULL,
    name     TEXT NOT NULL,
    branch   TEXT NOT NULL,
    status   TEXT NOT NULL,
    tests    INTEGER NOT NULL DEFAULT 0, -- 1: it has test results
    body     TEXT NOT NULL,
    PRIMARY KEY (workflow, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX jobs_id ON jobs (id) WHERE kept = 0;
CREATE UNIQUE INDEX jobs_number ON jobs (project, number) WHERE kept = 0 AND number > 0;
-- Timings: the newest success with tests, on a branch or on any.
CREATE INDEX jobs_tested ON jobs (project, name, number)
    WHERE kept = 0 AND tests = 1 AND status = 'success';
CREATE INDEX jobs_tested_branch ON jobs (project, name, branch, number)
    WHERE kept = 0 AND tests = 1 AND status = 'success';

CREATE TABLE events (
    seq  INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);

CREATE TABLE steps (
    task  TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    step  INTEGER NOT NULL,
    body  TEXT NOT NULL,
    PRIMARY KEY (task, epoch, step)
) WITHOUT ROWID;

CREATE TABLE tests (
    seq  INTEGER PRIMARY KEY,
    job  TEXT NOT NULL,
    task INTEGER NOT NULL,    -- index within the job
    body BLOB NOT NULL,       -- all tests of the task, as the plan's
    UNIQUE (job, task)
);

CREATE TABLE tickets (
    task   TEXT NOT NULL PRIMARY KEY,
    state  TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    worker TEXT NOT NULL,
    body   TEXT NOT NULL
) WITHOUT ROWID;

-- There is no way back from the first edition.

-- +goose Down
SELECT 1;
