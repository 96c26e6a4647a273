BEGIN TRANSACTION;
CREATE TABLE entries (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        expires_at_ms INTEGER NOT NULL
    );
CREATE INDEX entries_by_end ON entries (expires_at_ms);
COMMIT;
PRAGMA user_version=1;
