-- +goose Up
-- What belongs to no case, such as a pause, stands in the log as well: its case_id is null. SQLite can not
-- drop the NOT NULL, so the table is made anew. The hashes of the events do not change.
CREATE TABLE events_new (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  case_id INTEGER REFERENCES cases (id),
  at      INTEGER NOT NULL, -- nanoseconds since 1970, UTC
  epoch   INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  step    TEXT NOT NULL,
  text    TEXT NOT NULL,
  data    TEXT NOT NULL,
  prev    TEXT NOT NULL,
  hash    TEXT NOT NULL
);
INSERT INTO events_new (seq, case_id, at, epoch, kind, step, text, data, prev, hash)
  SELECT seq, case_id, at, epoch, kind, step, text, data, prev, hash FROM events ORDER BY seq;
DROP TABLE events; -- fires no trigger
ALTER TABLE events_new RENAME TO events;
CREATE INDEX events_of_case ON events (case_id, seq);
-- +goose StatementBegin
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER events_are_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
-- +goose StatementEnd

-- A forgiven serial keeps its row.
ALTER TABLE retired ADD COLUMN forgiven_at INTEGER NOT NULL DEFAULT 0;
