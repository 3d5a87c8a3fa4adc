-- Moments are whole microseconds, money is millionths, enumerations are the numbers in `codes.rs`, JSON is kept as text in the order
-- it came in (`variables::jsonb ->> 'name'` reads it).
--
-- What is written often is kept small and away from what is kept long:
--   queue          pending contacts of campaigns, in the order they are due; the timer
--   contacts       people and where they stand; nothing an attempt changes is in an index, so its updates stay in their page (HOT) as long as
--                  that has room, which is why half of each page is left free
--   open_attempts  claimed and not settled: as many rows as calls in flight
--   attempts       the history: only added to

-- One row: who this store is, and the counter that moves when something a gate depends on changes.
CREATE TABLE store_state (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    store_id uuid    NOT NULL DEFAULT gen_random_uuid(),
    changes  bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO store_state DEFAULT VALUES;

-- One row: the last place given in the stream of events. Its lock makes places follow the order of commits.
CREATE TABLE event_place (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    last bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 10);
INSERT INTO event_place DEFAULT VALUES;

CREATE SEQUENCE campaign_ids;
CREATE SEQUENCE contact_ids;
CREATE SEQUENCE attempt_ids;
CREATE SEQUENCE node_epochs;

CREATE TABLE campaigns (
    id            bigint   PRIMARY KEY,
    request_id    uuid     UNIQUE, -- none for restored campaigns
    revision      bigint   NOT NULL,
    status        smallint NOT NULL,
    campaign_type text     NOT NULL,
    assistant_id  bigint,
    name          text     NOT NULL,
    description   text,
    record        text     NOT NULL -- the whole record as JSON; the columns above are copies to search by
) WITH (fillfactor = 70);

-- Counters of a campaign, moved by the same transactions that move its contacts.
CREATE TABLE campaign_counts (
    campaign_id      bigint PRIMARY KEY,
    pending          bigint NOT NULL DEFAULT 0,
    in_progress      bigint NOT NULL DEFAULT 0,
    completed        bigint NOT NULL DEFAULT 0,
    failed           bigint NOT NULL DEFAULT 0,
    no_answer        bigint NOT NULL DEFAULT 0,
    busy             bigint NOT NULL DEFAULT 0,
    voicemail        bigint NOT NULL DEFAULT 0,
    skipped          bigint NOT NULL DEFAULT 0,
    cancelled        bigint NOT NULL DEFAULT 0,
    call_attempts    bigint NOT NULL DEFAULT 0,
    answered_calls   bigint NOT NULL DEFAULT 0,
    duration_seconds bigint NOT NULL DEFAULT 0,
    cost             bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- One row per transaction: its events as a JSON array.
CREATE TABLE events (
    place bigint      PRIMARY KEY,
    at    timestamptz NOT NULL,
    body  text        NOT NULL
);
-- Compressing costs more than the few days of space it saves.
ALTER TABLE events ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX events_at ON events USING brin (at);

-- Answers of calls that may be repeated after their answer was lost. Rows live for an hour.
CREATE TABLE requests (
    id     uuid        PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    answer text        NOT NULL
);
CREATE INDEX requests_at ON requests (at);

-- Zone keys are long and few; contacts carry their number.
CREATE TABLE zones (
    id  integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    key text    COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE contacts (
    id               bigint      PRIMARY KEY,
    owner            bigint      NOT NULL, -- a campaign's id, or minus a contact list's id
    zone_id          integer     NOT NULL,
    status           smallint    NOT NULL,
    due_at           timestamptz NOT NULL,
    run              integer     NOT NULL,
    attempts         integer     NOT NULL,
    version          bigint      NOT NULL,
    step             integer,
    step_channel     smallint,
    last_disposition smallint,
    last_attempt_at  timestamptz,
    replied_at       timestamptz,
    completed_at     timestamptz,
    answered_calls   integer     NOT NULL,
    call_attempts    integer     NOT NULL,
    duration_seconds bigint      NOT NULL,
    cost             bigint      NOT NULL,
    source           smallint    NOT NULL,
    created_at       timestamptz NOT NULL,
    reason_code      text,
    reason_text      text,
    phone            text        COLLATE "C" NOT NULL,
    name             text,
    email            text,
    company          text,
    consent          text,
    variables        text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
-- The number first: frequency caps look a person up over all campaigns.
CREATE UNIQUE INDEX contacts_phone ON contacts (phone, owner);
CREATE INDEX contacts_owner ON contacts (owner, id);
-- What a new run has still to reset; a run changes far more seldom than a status.
CREATE INDEX contacts_run ON contacts (owner, run);

CREATE TABLE queue (
    owner      bigint      NOT NULL,
    zone_id    integer     NOT NULL,
    due_at     timestamptz NOT NULL,
    contact_id bigint      NOT NULL,
    PRIMARY KEY (owner, zone_id, due_at, contact_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- What earlier runs came to; written when a contact is reset.
CREATE TABLE run_results (
    contact_id       bigint   NOT NULL,
    run              integer  NOT NULL,
    owner            bigint   NOT NULL,
    status           smallint NOT NULL,
    reason_code      text,
    reason_text      text,
    attempts         integer  NOT NULL,
    last_disposition smallint,
    completed_at     timestamptz,
    answered_calls   integer  NOT NULL,
    call_attempts    integer  NOT NULL,
    duration_seconds bigint   NOT NULL,
    cost             bigint   NOT NULL,
    PRIMARY KEY (contact_id, run)
);
CREATE INDEX run_results_owner ON run_results (owner, run);

CREATE TABLE open_attempts (
    id           bigint      PRIMARY KEY,
    campaign_id  bigint      NOT NULL,
    contact_id   bigint      NOT NULL UNIQUE, -- nobody twice at once
    run          integer     NOT NULL,
    number       integer     NOT NULL,
    step         integer     NOT NULL,
    channel      smallint    NOT NULL,
    spec_version integer     NOT NULL,
    state        smallint    NOT NULL,
    node_id      bigint      NOT NULL,
    epoch        bigint      NOT NULL,
    claimed_at   timestamptz NOT NULL,
    start_at     timestamptz NOT NULL,
    not_after    timestamptz NOT NULL,
    reserved     bigint      NOT NULL,
    caller       text,
    provider_ref text,
    started_at   timestamptz,
    account      text,
    claimed_day  date,               -- the day its start was counted on
    restored_key text                -- of an attempt copied from another store; others are made from this store's id
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX open_attempts_node ON open_attempts (node_id);
-- A hash, because a reference may be longer than a tree takes.
CREATE INDEX open_attempts_provider_ref ON open_attempts USING hash (provider_ref) WHERE provider_ref IS NOT NULL;

CREATE TABLE attempts (
    id               bigint      PRIMARY KEY,
    campaign_id      bigint      NOT NULL,
    contact_id       bigint      NOT NULL,
    run              integer     NOT NULL,
    number           integer     NOT NULL,
    step             integer     NOT NULL,
    channel          smallint    NOT NULL,
    spec_version     integer     NOT NULL,
    state            smallint    NOT NULL,
    node_id          bigint      NOT NULL,
    epoch            bigint      NOT NULL,
    claimed_at       timestamptz NOT NULL,
    start_at         timestamptz NOT NULL,
    not_after        timestamptz NOT NULL,
    reserved         bigint      NOT NULL,
    caller           text,
    provider_ref     text,
    started_at       timestamptz,
    account          text,
    restored_key     text,
    finished_at      timestamptz NOT NULL,
    disposition      smallint,           -- none for a refused one
    duration_seconds bigint,
    charged          bigint,             -- the provider's price, else what was reserved
    cost             bigint,             -- the provider's price, when it named one
    outcome_ref      text,
    detail           text,
    data             text,
    reason_code      text,
    reason_text      text
);
CREATE INDEX attempts_contact ON attempts (contact_id);
CREATE INDEX attempts_campaign ON attempts (campaign_id, id);
CREATE INDEX attempts_provider_ref ON attempts USING hash (provider_ref) WHERE provider_ref IS NOT NULL;
-- Attempts end in the order they are added, which is all this kind of index needs; it costs next to nothing.
CREATE INDEX attempts_finished ON attempts USING brin (finished_at) WITH (pages_per_range = 16);

-- What was moved out of the way with `archive`; nothing reads it but people.
CREATE TABLE archived_attempts (LIKE attempts INCLUDING STORAGE);
CREATE INDEX archived_attempts_campaign ON archived_attempts (campaign_id, id);
CREATE INDEX archived_attempts_contact ON archived_attempts (contact_id);

CREATE TABLE ledgers (
    scope      text    COLLATE "C" PRIMARY KEY,
    in_flight  integer NOT NULL DEFAULT 0,
    next_slot  timestamptz,
    day        date,
    day_starts integer NOT NULL DEFAULT 0,
    spent      bigint  NOT NULL DEFAULT 0,
    reserved   bigint  NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

CREATE TABLE suppressions (
    phone      text        COLLATE "C" NOT NULL,
    scope      bigint      NOT NULL, -- 0: everything, else a campaign's id
    reason     text        NOT NULL,
    source     text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (phone, scope)
);
CREATE INDEX suppressions_scope ON suppressions (scope, phone);

CREATE TABLE nodes (
    id         bigint      PRIMARY KEY,
    epoch      bigint      NOT NULL,
    name       text        NOT NULL,
    started_at timestamptz NOT NULL,
    expires_at timestamptz          -- none: retired
) WITH (fillfactor = 50);

CREATE TABLE documents (
    collection text   COLLATE "C" NOT NULL,
    key        text   COLLATE "C" NOT NULL,
    value      text   NOT NULL,
    revision   bigint NOT NULL,
    PRIMARY KEY (collection, key)
);

CREATE TABLE sequences (
    name  text   COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
);

-- Open and ended attempts alike, in the order `rows.rs` reads them.
CREATE VIEW all_attempts AS
SELECT id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at, start_at, not_after,
    reserved, caller, provider_ref, started_at, restored_key, account, NULL::timestamptz AS finished_at, NULL::smallint AS disposition,
    NULL::bigint AS duration_seconds, NULL::bigint AS charged, NULL::bigint AS cost, NULL::text AS outcome_ref, NULL::text AS detail,
    NULL::text AS data, NULL::text AS reason_code, NULL::text AS reason_text
FROM open_attempts
UNION ALL
SELECT id, campaign_id, contact_id, run, number, step, channel, spec_version, state, node_id, epoch, claimed_at, start_at, not_after,
    reserved, caller, provider_ref, started_at, restored_key, account, finished_at, disposition, duration_seconds, charged, cost,
    outcome_ref, detail, data, reason_code, reason_text
FROM attempts;
