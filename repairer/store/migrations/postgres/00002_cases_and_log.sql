-- +goose Up
-- Both backends count their versions alike; PostgreSQL begins with version 2. The tables lease and
-- leaders are older than any version, because only the leader may migrate.

-- The current row of each case; derived from events in the same transaction.
CREATE TABLE cases (
  id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  serial  TEXT NOT NULL,
  is_open INTEGER NOT NULL,
  doc     TEXT NOT NULL
);
CREATE UNIQUE INDEX one_open_case_for_a_serial ON cases (serial) WHERE is_open = 1;
CREATE INDEX cases_by_serial ON cases (serial);

-- The append-only log. The store numbers it, without gaps.
CREATE TABLE events (
  seq     BIGINT PRIMARY KEY,
  case_id BIGINT NOT NULL REFERENCES cases (id),
  at      BIGINT NOT NULL, -- nanoseconds since 1970, UTC
  epoch   BIGINT NOT NULL,
  kind    TEXT NOT NULL,
  step    TEXT NOT NULL,
  text    TEXT NOT NULL,
  data    TEXT NOT NULL, -- not jsonb, which would not keep the bytes that the hash is of
  prev    TEXT NOT NULL,
  hash    TEXT NOT NULL
);
CREATE INDEX events_of_case ON events (case_id, seq);
-- +goose StatementBegin
CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the log is append-only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events EXECUTE FUNCTION events_stay();

CREATE TABLE retired (
  serial TEXT PRIMARY KEY,
  at     BIGINT NOT NULL
);

CREATE TABLE pauses (
  id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  scope    TEXT NOT NULL,
  owner    TEXT NOT NULL,
  reason   TEXT NOT NULL,
  since    BIGINT NOT NULL,
  until    BIGINT NOT NULL, -- 0: until resumed
  ended_at BIGINT NOT NULL DEFAULT 0,
  ended_by TEXT NOT NULL DEFAULT ''
);

-- The built-in tracker. It writes past the store, so the database itself refuses a deposed writer.
CREATE TABLE tickets (
  id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key        TEXT NOT NULL UNIQUE,
  case_id    TEXT NOT NULL,
  title      TEXT NOT NULL,
  body       TEXT NOT NULL,
  status     TEXT NOT NULL,
  resolution TEXT NOT NULL DEFAULT '',
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE TABLE ticket_comments (
  id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  ticket_id BIGINT NOT NULL REFERENCES tickets (id),
  key       TEXT NOT NULL UNIQUE,
  at        BIGINT NOT NULL,
  author    TEXT NOT NULL,
  text      TEXT NOT NULL
);
-- +goose StatementBegin
CREATE FUNCTION only_the_leader_writes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM lease WHERE epoch::text = current_setting('glia.epoch', true) FOR SHARE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'epoch is older than the newest one seen: another repairer leads';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER only_the_leader_writes BEFORE INSERT OR UPDATE OR DELETE ON tickets EXECUTE FUNCTION only_the_leader_writes();
CREATE TRIGGER only_the_leader_writes BEFORE INSERT OR UPDATE OR DELETE ON ticket_comments EXECUTE FUNCTION only_the_leader_writes();
