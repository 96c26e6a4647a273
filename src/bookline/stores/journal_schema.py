"""The journal's tables, version by version: jobs, events, records, turns and the rollout.

Rule 1:  a migration that was released is never changed; a new one is added behind it.
"""

import json

from bookline.stores.database import Migration, Session

FIRST = """
    CREATE TABLE jobs (
        job_id TEXT PRIMARY KEY, isbn TEXT NOT NULL, input_isbn TEXT NOT NULL,
        source TEXT NOT NULL, user_id TEXT, method TEXT NOT NULL, status TEXT NOT NULL,
        step TEXT, attempt INTEGER, attempt_open INTEGER NOT NULL DEFAULT 0,
        progress REAL NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL, run INTEGER NOT NULL DEFAULT 1, run_started_ms INTEGER,
        restarts INTEGER NOT NULL DEFAULT 0, node TEXT,
        cancel_requested INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL DEFAULT 0,
        result TEXT, error TEXT
    ) WITHOUT ROWID;
    CREATE INDEX jobs_newest ON jobs (created_ms, job_id);
    CREATE INDEX jobs_open ON jobs (node, job_id) WHERE status IN ('queued', 'running');
    CREATE INDEX jobs_finished ON jobs (updated_ms)
        WHERE status NOT IN ('queued', 'running');
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, seq INTEGER NOT NULL,
        key TEXT NOT NULL, terminal INTEGER NOT NULL, message TEXT NOT NULL
    );
    CREATE UNIQUE INDEX events_story ON events (job_id, seq);
    CREATE TABLE idempotency (
        key TEXT PRIMARY KEY, body TEXT NOT NULL, job_id TEXT NOT NULL, at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX idempotency_at ON idempotency (at_ms);
    CREATE TABLE turns (key TEXT PRIMARY KEY, free_at REAL NOT NULL) WITHOUT ROWID;
"""

RECORDS = """
    ALTER TABLE events ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX events_ends ON events (job_id) WHERE terminal = 1;
    CREATE TABLE import_records (
        record_id TEXT PRIMARY KEY, method TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT,
        provider TEXT NOT NULL, duration_ms INTEGER NOT NULL, stages TEXT NOT NULL,
        tries INTEGER NOT NULL, finished_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX import_records_finished ON import_records (finished_ms);
    CREATE TABLE rollout (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, actor TEXT NOT NULL,
        reason TEXT NOT NULL, state TEXT NOT NULL
    );
"""

METHODS = "CREATE INDEX import_records_method ON import_records (method, finished_ms);"

QUEUE = """
    ALTER TABLE jobs ADD COLUMN batch_id TEXT;
    ALTER TABLE jobs ADD COLUMN flow TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN marks TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE jobs ADD COLUMN spent_ms INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_waiting ON jobs (source, turn)
        WHERE status = 'queued' AND node IS NULL;
    CREATE INDEX jobs_flow ON jobs (flow, turn)
        WHERE status = 'queued' AND node IS NULL;
    CREATE INDEX jobs_cancelled ON jobs (node)
        WHERE status IN ('queued', 'running') AND cancel_requested = 1;
    CREATE INDEX jobs_batch ON jobs (batch_id, created_ms, job_id) WHERE batch_id IS NOT NULL;
    CREATE INDEX jobs_status ON jobs (status, created_ms, job_id);
    CREATE INDEX jobs_method ON jobs (method, created_ms, job_id);
    CREATE TABLE nodes (node TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE moments (name TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""


def open_tries_to_marks(session: Session) -> None:
    """A try that was open under the first tables is one mark under the next."""
    rows = session.execute(
        "SELECT job_id, step, attempt, updated_ms FROM jobs WHERE attempt_open = 1 "
        "AND status IN ('queued', 'running')"
    )
    for row in rows:
        mark = {"attempt": row["attempt"], "token": "", "begunMs": row["updated_ms"], "limitMs": 0}
        session.execute(
            "UPDATE jobs SET marks = :marks WHERE job_id = :job_id",
            {"marks": json.dumps({row["step"]: mark}), "job_id": row["job_id"]},
        )
    session.execute("ALTER TABLE jobs DROP COLUMN attempt_open")


# Turns that were kept without their time are forgotten: they are of some seconds.
TURNS_SET = """
    DELETE FROM turns;
    ALTER TABLE turns ADD COLUMN set_at REAL NOT NULL DEFAULT 0;
    CREATE INDEX turns_free ON turns (free_at);
"""

BATCHES = """
    CREATE TABLE batches (
        batch_id TEXT PRIMARY KEY, name TEXT, format TEXT NOT NULL, source TEXT NOT NULL,
        refresh INTEGER NOT NULL, header TEXT NOT NULL, delimiter TEXT NOT NULL,
        created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, status TEXT NOT NULL,
        cancel_requested INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL DEFAULT 0,
        progress_ms INTEGER NOT NULL DEFAULT 0, progress_seq INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    CREATE INDEX batches_newest ON batches (created_ms, batch_id) WHERE status <> 'receiving';
    CREATE INDEX batches_open ON batches (status, created_ms, batch_id)
        WHERE status IN ('receiving', 'running');
    CREATE INDEX batches_over ON batches (updated_ms) WHERE status IN ('completed', 'cancelled');
    CREATE TABLE batch_items (
        batch_id TEXT NOT NULL, place INTEGER NOT NULL, line INTEGER, input TEXT NOT NULL,
        isbn TEXT, source TEXT NOT NULL, user_id TEXT, title TEXT, authors TEXT NOT NULL,
        open_library_id TEXT, reading TEXT, cells TEXT NOT NULL, state TEXT NOT NULL,
        todo TEXT NOT NULL, job_id TEXT, error TEXT, candidates TEXT,
        tries INTEGER NOT NULL DEFAULT 0, due_ms INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (batch_id, place)
    );
    CREATE INDEX batch_items_state ON batch_items (batch_id, state, place);
    CREATE INDEX batch_items_todo ON batch_items (batch_id, todo, due_ms, place)
        WHERE todo <> '';
    CREATE INDEX batch_items_isbn ON batch_items (batch_id, isbn) WHERE isbn IS NOT NULL;
    CREATE INDEX batch_items_job ON batch_items (job_id) WHERE job_id IS NOT NULL;
"""

ASKED_BY = """
    CREATE INDEX jobs_isbn ON jobs (isbn, created_ms, job_id);
    CREATE INDEX jobs_user ON jobs (user_id, created_ms, job_id) WHERE user_id IS NOT NULL;
"""

SECRETS = "CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"

# What the figures read is read from an index alone.
FIGURES = """
    CREATE INDEX jobs_open_method ON jobs (method, status, updated_ms)
        WHERE status IN ('queued', 'running');
    DROP INDEX import_records_method;
    CREATE INDEX import_records_figures
        ON import_records (method, finished_ms, outcome, provider, tries, duration_ms);
"""

WEBHOOKS = """
    CREATE TABLE webhooks (
        job_id TEXT NOT NULL, seq INTEGER NOT NULL, since_ms INTEGER NOT NULL,
        due_ms INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL,
        PRIMARY KEY (job_id, seq)
    ) WITHOUT ROWID;
    CREATE INDEX webhooks_due ON webhooks (state, due_ms);
    CREATE INDEX webhooks_since ON webhooks (since_ms);
"""

DONE = """
    ALTER TABLE jobs ADD COLUMN done TEXT;
    ALTER TABLE jobs ADD COLUMN is_left INTEGER NOT NULL DEFAULT 0;
"""

# In the order in which they are counted: no sort, and one row for each length that occurs.
FIGURES_IN_ORDER = """
    DROP INDEX import_records_figures;
    CREATE INDEX import_records_method ON import_records (method, finished_ms);
    CREATE INDEX import_records_figures
        ON import_records (method, outcome, provider, duration_ms, finished_ms, tries);
"""

# Failed imports of a method that has few: those of the others are passed by within the index.
STATUS_AND_METHOD = """
    DROP INDEX jobs_status;
    CREATE INDEX jobs_status ON jobs (status, created_ms, job_id, method);
"""

MIGRATIONS: tuple[Migration, ...] = (
    FIRST, RECORDS, METHODS, QUEUE, open_tries_to_marks, TURNS_SET, BATCHES, ASKED_BY,
    SECRETS, FIGURES, WEBHOOKS, DONE, FIGURES_IN_ORDER, STATUS_AND_METHOD,
)  # fmt: skip
