-- +goose Up
-- How far each sink of notices has come in the log, as JSON.
CREATE TABLE notices (
  sink     TEXT PRIMARY KEY,
  position TEXT NOT NULL
);

-- +goose Down
DROP TABLE notices;
