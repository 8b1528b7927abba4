-- +goose Up
-- What the repairer must remember of the whole fleet: one row a key, the newest value only.
CREATE TABLE values_ (
  key   TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  at    BIGINT NOT NULL, -- nanoseconds since 1970, UTC
  text  TEXT NOT NULL
);

-- +goose Down
DROP TABLE values_;
