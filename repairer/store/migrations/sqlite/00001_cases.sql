-- +goose Up
-- One row: which database this is, and the epoch of its newest opening.
CREATE TABLE epoch (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  store TEXT NOT NULL,
  epoch INTEGER NOT NULL
);
INSERT INTO epoch (id, store, epoch) VALUES (1, lower(hex(randomblob(4))), 0);

-- The current row of each case; derived from events in the same transaction.
CREATE TABLE cases (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  serial    TEXT NOT NULL,
  is_open   INTEGER NOT NULL,
  doc       TEXT NOT NULL
);
CREATE UNIQUE INDEX one_open_case_for_a_serial ON cases (serial) WHERE is_open = 1;
CREATE INDEX cases_by_serial ON cases (serial);

-- The append-only log.
CREATE TABLE events (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  case_id INTEGER NOT NULL REFERENCES cases (id),
  at      INTEGER NOT NULL, -- nanoseconds since 1970, UTC
  epoch   INTEGER NOT NULL,
  kind    TEXT NOT NULL,
  step    TEXT NOT NULL,
  text    TEXT NOT NULL,
  data    TEXT NOT NULL
);
CREATE INDEX events_of_case ON events (case_id, seq);
-- +goose StatementBegin
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER events_are_kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
-- +goose StatementEnd

CREATE TABLE retired (
  serial TEXT PRIMARY KEY,
  at     INTEGER NOT NULL
);

CREATE TABLE pauses (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  scope    TEXT NOT NULL,
  owner    TEXT NOT NULL,
  reason   TEXT NOT NULL,
  since    INTEGER NOT NULL,
  until    INTEGER NOT NULL, -- 0: until resumed
  ended_at INTEGER NOT NULL DEFAULT 0,
  ended_by TEXT NOT NULL DEFAULT ''
);

-- The built-in tracker.
CREATE TABLE tickets (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  key        TEXT NOT NULL UNIQUE,
  case_id    TEXT NOT NULL,
  title      TEXT NOT NULL,
  body       TEXT NOT NULL,
  status     TEXT NOT NULL,
  resolution TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE TABLE ticket_comments (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  ticket_id INTEGER NOT NULL REFERENCES tickets (id),
  key       TEXT NOT NULL UNIQUE,
  at        INTEGER NOT NULL,
  author    TEXT NOT NULL,
  text      TEXT NOT NULL
);

-- +goose Down
DROP TABLE ticket_comments;
DROP TABLE tickets;
DROP TABLE pauses;
DROP TABLE retired;
DROP TABLE events;
DROP TABLE cases;
DROP TABLE epoch;
