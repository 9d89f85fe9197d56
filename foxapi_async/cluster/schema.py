"""The tables of a cluster, in a schema of their own, and their versions.

The rows of `item` decide what is true about a batch. A worker owns the rows that it works on. `epoch` counts how
often a row was claimed. `tally` has the number of items and the credits of each batch and state. A trigger changes
it, so that no statement can forget to count. Each worker has its own rows of `tally`, so workers do not wait for each
other.
"""

from __future__ import annotations

from foxapi_async._ledger.entry import ItemState

SCHEMA = "foxapi"

# Only one program at a time makes or changes the tables.
LOCK = 0x466F7841

# One script for each version, in order. A published script is never changed; a new one continues it.
MIGRATIONS: tuple[str, ...] = (
    """
CREATE SCHEMA foxapi;
SET LOCAL search_path = foxapi;

CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE batch (
    id text PRIMARY KEY,
    state text NOT NULL DEFAULT 'open',  -- open, paused or cancelled
    reason text,  -- of a pause, in one word
    problem text,  -- the same, for people
    hint text,
    account text,  -- the hash of the base URL and the key; set by the first worker
    base_url text,
    budget numeric,
    price numeric,
    sealed boolean NOT NULL DEFAULT false,  -- whether all items are in the table
    stopped_models text[] NOT NULL DEFAULT '{}',  -- models whose quota is used up
    created timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE batch_meta (
    batch_id text NOT NULL REFERENCES batch ON DELETE CASCADE,
    name text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (batch_id, name)
);

CREATE TABLE worker (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    state text NOT NULL DEFAULT 'alive',  -- alive, left, lost (no heartbeat), dead (someone has said so)
    beat bigint NOT NULL DEFAULT 0,
    lease double precision NOT NULL DEFAULT 30,  -- seconds for which a heartbeat allows to send
    started timestamptz NOT NULL DEFAULT now(),
    seen timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE item (
    batch_id text NOT NULL REFERENCES batch ON DELETE CASCADE,
    key text NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,  -- the order in which items came
    place bigint NOT NULL DEFAULT 0,  -- in the input, from 0
    fingerprint text NOT NULL,
    kind text,  -- the fields that decide the price
    model text,
    state text NOT NULL DEFAULT 'new',
    origin text NOT NULL DEFAULT 'new',
    ready boolean NOT NULL DEFAULT true,  -- whether a worker should work on it
    owner bigint,
    epoch integer NOT NULL DEFAULT 0,
    sender bigint,  -- the worker of its last submit
    idempotency_key text NOT NULL DEFAULT '',
    task_id text,
    former_task_id text,
    price numeric,
    sunk numeric NOT NULL DEFAULT 0,
    paid boolean GENERATED ALWAYS AS (state IN ('submitted', 'unsaved')) STORED,
    cost numeric GENERATED ALWAYS AS (coalesce(price, 0) + sunk) STORED,
    record text,
    changed timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended xid8,  -- the transaction that recorded its last end
    PRIMARY KEY (batch_id, key)
) WITH (fillfactor = 70);

CREATE INDEX item_ready ON item (batch_id, paid, number) WHERE ready AND owner IS NULL;
CREATE INDEX item_owner ON item (owner) WHERE owner IS NOT NULL;
CREATE INDEX item_ended ON item (batch_id, ended, number) WHERE ended IS NOT NULL;
CREATE INDEX item_number ON item (batch_id, number);
CREATE INDEX item_unpriced ON item (batch_id) WHERE price IS NULL AND sunk = 0 AND state <> 'new';

-- The requests have their own table because they are long and never change. A trigger removes those of removed
-- items: a foreign key would check and lock each row of a new batch.
CREATE TABLE request (
    batch_id text NOT NULL,
    key text NOT NULL,
    opening text NOT NULL,
    PRIMARY KEY (batch_id, key)
);

-- The contents of local input files, each once.
CREATE TABLE input_file (sha256 bytea PRIMARY KEY, content bytea NOT NULL);
ALTER TABLE input_file ALTER content SET STORAGE EXTERNAL;

-- A task id of an item that has another one already.
CREATE TABLE second_task (
    batch_id text NOT NULL,
    key text NOT NULL,
    task_id text NOT NULL,
    price numeric,
    worker bigint,
    noted timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (batch_id, key, task_id)
);

CREATE TABLE price (
    account text NOT NULL,
    kind text NOT NULL,
    credits numeric,  -- NULL if the service does not report it
    PRIMARY KEY (account, kind)
);

-- What all workers of one account share.
CREATE TABLE account (
    id text PRIMARY KEY,
    held_until timestamptz,
    held_by bigint,
    problem text
);
CREATE TABLE rate_lease (
    account text NOT NULL,
    kind text NOT NULL,
    worker bigint NOT NULL,
    wanted double precision NOT NULL,
    granted double precision NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (account, kind, worker)
);

CREATE TABLE tally (
    batch_id text NOT NULL,
    worker bigint NOT NULL,
    state text NOT NULL,
    items bigint NOT NULL,
    credits numeric NOT NULL,
    PRIMARY KEY (batch_id, worker, state)
) WITH (fillfactor = 50);

CREATE FUNCTION count_new() RETURNS trigger LANGUAGE plpgsql SET search_path = foxapi AS $$
BEGIN
    INSERT INTO tally AS t
    SELECT batch_id, coalesce(nullif(current_setting('foxapi.worker', true), '')::bigint, 0), state,
        count(*), sum(cost)
    FROM new_rows GROUP BY batch_id, state ORDER BY batch_id, state
    ON CONFLICT (batch_id, worker, state) DO UPDATE SET
        items = t.items + excluded.items, credits = t.credits + excluded.credits;
    RETURN NULL;
END $$;

CREATE FUNCTION count_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = foxapi AS $$
BEGIN
    INSERT INTO tally AS t
    SELECT batch_id, coalesce(nullif(current_setting('foxapi.worker', true), '')::bigint, 0), state,
        sum(n), sum(cost)
    FROM (
        SELECT batch_id, state, 1 AS n, cost FROM new_rows
        UNION ALL SELECT batch_id, state, -1, -cost FROM old_rows
    ) AS change
    GROUP BY batch_id, state HAVING sum(n) <> 0 OR sum(cost) <> 0
    ORDER BY batch_id, state
    ON CONFLICT (batch_id, worker, state) DO UPDATE SET
        items = t.items + excluded.items, credits = t.credits + excluded.credits;
    RETURN NULL;
END $$;

CREATE FUNCTION remove_requests() RETURNS trigger LANGUAGE plpgsql SET search_path = foxapi AS $$
BEGIN
    DELETE FROM request USING old_rows WHERE (request.batch_id, request.key) = (old_rows.batch_id, old_rows.key);
    RETURN NULL;
END $$;

CREATE TRIGGER item_inserted AFTER INSERT ON item REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_new();
CREATE TRIGGER item_updated AFTER UPDATE ON item REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_changed();
CREATE TRIGGER item_removed AFTER DELETE ON item REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION remove_requests();
""",
)

VERSION = len(MIGRATIONS)


def names(states: frozenset[ItemState]) -> str:
    """States as a list for SQL."""
    return ", ".join(sorted(f"'{state.value}'" for state in states))
