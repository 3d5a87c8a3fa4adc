-- Moments are microseconds since the Unix epoch, money is millionths, enumerations are the numbers in `codes.rs`.
-- Ids come from `store_state`, so they are never given twice, not even after a deletion, and need no AUTOINCREMENT bookkeeping per row.

PRAGMA application_id = 1128353104; -- "CAMP"

-- One row: who this store is, and the counters every transaction moves.
CREATE TABLE store_state (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    store_id      TEXT    NOT NULL,
    changes       INTEGER NOT NULL, -- grows when somebody changed what a gate depends on
    seq           INTEGER NOT NULL, -- order of events over all tables
    epoch         INTEGER NOT NULL, -- last fencing token given
    last_campaign INTEGER NOT NULL,
    last_contact  INTEGER NOT NULL,
    last_attempt  INTEGER NOT NULL
) STRICT;

CREATE TABLE campaigns (
    id               INTEGER PRIMARY KEY,
    request_id       TEXT UNIQUE, -- none for restored campaigns
    revision         INTEGER NOT NULL,
    status           INTEGER NOT NULL,
    campaign_type    TEXT    NOT NULL,
    assistant_id     INTEGER,
    name             TEXT    NOT NULL,
    description      TEXT,
    record           TEXT    NOT NULL  -- the whole record as JSON; the columns above are copies to search by
) STRICT;

-- Counters of a campaign, moved by the same transactions that move its contacts.
CREATE TABLE campaign_counts (
    campaign_id      INTEGER PRIMARY KEY,
    pending          INTEGER NOT NULL DEFAULT 0,
    in_progress      INTEGER NOT NULL DEFAULT 0,
    completed        INTEGER NOT NULL DEFAULT 0,
    failed           INTEGER NOT NULL DEFAULT 0,
    no_answer        INTEGER NOT NULL DEFAULT 0,
    busy             INTEGER NOT NULL DEFAULT 0,
    voicemail        INTEGER NOT NULL DEFAULT 0,
    skipped          INTEGER NOT NULL DEFAULT 0,
    cancelled        INTEGER NOT NULL DEFAULT 0,
    call_attempts    INTEGER NOT NULL DEFAULT 0,
    answered_calls   INTEGER NOT NULL DEFAULT 0,
    duration_seconds INTEGER NOT NULL DEFAULT 0,
    cost             INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE campaign_events (
    seq         INTEGER PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    kind        TEXT    NOT NULL
) STRICT;

-- Zone keys are long and few; contacts carry their number.
CREATE TABLE zones (
    id  INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE contacts (
    id               INTEGER PRIMARY KEY,
    owner            INTEGER NOT NULL, -- a campaign's id, or minus a contact list's id
    zone_id          INTEGER NOT NULL,
    status           INTEGER NOT NULL,
    due_at           INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    attempts         INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    step             INTEGER,
    step_channel     INTEGER,
    last_disposition INTEGER,
    last_attempt_at  INTEGER,
    replied_at       INTEGER,
    completed_at     INTEGER,
    answered_calls   INTEGER NOT NULL,
    call_attempts    INTEGER NOT NULL,
    duration_seconds INTEGER NOT NULL,
    cost             INTEGER NOT NULL,
    source           INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    reason_code      TEXT,
    reason_text      TEXT,
    phone            TEXT    NOT NULL,
    name             TEXT,
    email            TEXT,
    company          TEXT,
    consent          TEXT,
    variables        TEXT
) STRICT;

-- The number first: frequency caps look a person up over all campaigns.
CREATE UNIQUE INDEX contacts_phone ON contacts (phone, owner);
CREATE INDEX contacts_owner ON contacts (owner);
-- What a new run has still to reset.
CREATE INDEX contacts_run ON contacts (owner, run);
-- The timer: finished contacts leave it, so a claim costs the same whatever the size of the store.
CREATE INDEX contacts_due ON contacts (owner, zone_id, due_at) WHERE status = 0;
CREATE INDEX contacts_skipped ON contacts (owner) WHERE status = 7;

-- What earlier runs came to; written when a contact is reset.
CREATE TABLE run_results (
    contact_id       INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    owner            INTEGER NOT NULL,
    status           INTEGER NOT NULL,
    reason_code      TEXT,
    reason_text      TEXT,
    attempts         INTEGER NOT NULL,
    last_disposition INTEGER,
    completed_at     INTEGER,
    answered_calls   INTEGER NOT NULL,
    call_attempts    INTEGER NOT NULL,
    duration_seconds INTEGER NOT NULL,
    cost             INTEGER NOT NULL,
    PRIMARY KEY (contact_id, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_results_owner ON run_results (owner, run);

CREATE TABLE attempts (
    id               INTEGER PRIMARY KEY,
    campaign_id      INTEGER NOT NULL,
    contact_id       INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    number           INTEGER NOT NULL,
    step             INTEGER NOT NULL,
    channel          INTEGER NOT NULL,
    spec_version     INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    node_id          INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    claimed_at       INTEGER NOT NULL,
    start_at         INTEGER NOT NULL,
    not_after        INTEGER NOT NULL,
    reserved         INTEGER NOT NULL,
    claimed_seq      INTEGER, -- place in the stream of events; none for restored attempts
    account          TEXT,
    caller           TEXT,
    claimed_day      TEXT,    -- the day its start was counted on
    provider_ref     TEXT,
    started_at       INTEGER,
    finished_at      INTEGER,
    settled_seq      INTEGER, -- place in the stream of events; only of attempts that were carried out
    disposition      INTEGER,
    status_after     INTEGER, -- what the contact became
    duration_seconds INTEGER,
    charged          INTEGER, -- the provider's price, else what was reserved
    cost             INTEGER, -- the provider's price, when it named one
    outcome_ref      TEXT,
    detail           TEXT,
    data             TEXT,
    reason_code      TEXT,
    reason_text      TEXT,
    restored_key     TEXT     -- of an attempt copied from another store; others are made from this store's id
) STRICT;

CREATE INDEX attempts_contact ON attempts (contact_id);
CREATE INDEX attempts_campaign ON attempts (campaign_id);
CREATE INDEX attempts_open ON attempts (node_id) WHERE finished_at IS NULL;
CREATE INDEX attempts_settled ON attempts (settled_seq) WHERE settled_seq IS NOT NULL;
CREATE INDEX attempts_finished ON attempts (campaign_id, finished_at) WHERE disposition IS NOT NULL;
CREATE INDEX attempts_provider_ref ON attempts (provider_ref) WHERE provider_ref IS NOT NULL;

CREATE TABLE ledgers (
    scope      TEXT PRIMARY KEY,
    in_flight  INTEGER NOT NULL,
    next_slot  INTEGER,
    day        TEXT,
    day_starts INTEGER NOT NULL,
    spent      INTEGER NOT NULL,
    reserved   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE suppressions (
    phone      TEXT    NOT NULL,
    scope      INTEGER NOT NULL, -- 0: everything, else a campaign's id
    reason     TEXT    NOT NULL,
    source     TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (phone, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX suppressions_scope ON suppressions (scope, phone);

CREATE TABLE nodes (
    id         INTEGER PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    started_at INTEGER NOT NULL,
    expires_at INTEGER           -- none: retired
) STRICT;

CREATE TABLE documents (
    collection TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    value      TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    PRIMARY KEY (collection, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE sequences (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
