-- The records of Rondo, first edition.
--
-- Every table is read by the keys below and nothing else; a test asks Postgres
-- for the plan of each statement and refuses one that scans. What is only
-- stored and shown stands in body, as JSON; what is asked for has a column.
-- seq is the order of making. Times are microseconds since 1970, UTC.

-- +goose Up

-- Counters hand out numbers under the writer's lock, so in order of commit.
CREATE TABLE counters (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE projects (
    id   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    slug TEXT COLLATE "C" NOT NULL UNIQUE,
    body TEXT NOT NULL
);

CREATE TABLE pipelines (
    seq     BIGINT PRIMARY KEY,
    id      TEXT COLLATE "C" NOT NULL UNIQUE,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    number  BIGINT NOT NULL,
    key     TEXT COLLATE "C",             -- of the trigger; NULL is none
    branch  TEXT COLLATE "C" NOT NULL,    -- '' for a tag
    state   TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
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
    pipeline BIGINT PRIMARY KEY REFERENCES pipelines (seq),
    body     BYTEA NOT NULL    -- JSON, compressed with zstd if large
);

CREATE TABLE workflows (
    seq      BIGINT PRIMARY KEY,
    id       TEXT COLLATE "C" NOT NULL UNIQUE,
    pipeline BIGINT NOT NULL REFERENCES pipelines (seq),
    project  TEXT COLLATE "C" NOT NULL,
    ended    BIGINT NOT NULL, -- 0 or 1
    created  BIGINT NOT NULL,
    body     TEXT NOT NULL     -- without the jobs
);
CREATE INDEX workflows_pipeline ON workflows (pipeline, seq);
-- Holds the open ones only, so its size does not grow with history.
CREATE INDEX workflows_open ON workflows (project, seq) WHERE ended = 0;

CREATE TABLE jobs (
    workflow BIGINT NOT NULL REFERENCES workflows (seq),
    id       TEXT COLLATE "C" NOT NULL,
    past     BIGINT NOT NULL, -- 1: a newer attempt has replaced it
    place    BIGINT NOT NULL, -- among the current or the past ones
    kept     BIGINT NOT NULL, -- 1: carried over from another workflow
    project  TEXT COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL,
    name     TEXT COLLATE "C" NOT NULL,
    branch   TEXT COLLATE "C" NOT NULL,
    status   TEXT COLLATE "C" NOT NULL,
    tests    BIGINT NOT NULL DEFAULT 0, -- 1: it has test results
    body     TEXT NOT NULL,
    PRIMARY KEY (workflow, id)
);
CREATE UNIQUE INDEX jobs_id ON jobs (id) WHERE kept = 0;
CREATE UNIQUE INDEX jobs_number ON jobs (project, number) WHERE kept = 0 AND number > 0;
-- Timings: the newest success with tests, on a branch or on any.
CREATE INDEX jobs_tested ON jobs (project, name, number)
    WHERE kept = 0 AND tests = 1 AND status = 'success';
CREATE INDEX jobs_tested_branch ON jobs (project, name, branch, number)
    WHERE kept = 0 AND tests = 1 AND status = 'success';

CREATE TABLE events (
    seq  BIGINT PRIMARY KEY,
    body TEXT NOT NULL
);

CREATE TABLE steps (
    task  TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    step  BIGINT NOT NULL,
    body  TEXT NOT NULL,
    PRIMARY KEY (task, epoch, step)
);

CREATE TABLE tests (
    seq  BIGINT PRIMARY KEY,
    job  TEXT COLLATE "C" NOT NULL,
    task BIGINT NOT NULL,    -- index within the job
    body BYTEA NOT NULL,       -- all tests of the task, as the plan's
    UNIQUE (job, task)
);

CREATE TABLE tickets (
    task   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    state  TEXT COLLATE "C" NOT NULL,
    epoch  BIGINT NOT NULL,
    worker TEXT COLLATE "C" NOT NULL,
    body   TEXT NOT NULL
);

-- There is no way back from the first edition.

-- +goose Down
SELECT 1;
