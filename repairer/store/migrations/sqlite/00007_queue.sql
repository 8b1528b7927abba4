-- +goose Up
-- What package queue keeps. Times are nanoseconds since 1970, UTC.
CREATE TABLE queue (
  id       BIGINT PRIMARY KEY, -- without gaps, in the order of publishing
  key      TEXT NOT NULL UNIQUE,
  type     TEXT NOT NULL,
  payload  TEXT NOT NULL,
  at       BIGINT NOT NULL,
  state    TEXT NOT NULL, -- waiting, claimed, done, dead
  attempts BIGINT NOT NULL,
  next     BIGINT NOT NULL, -- while waiting: not before
  epoch    BIGINT NOT NULL, -- of the last claim
  problem  TEXT NOT NULL
);
CREATE INDEX queue_by_state ON queue (state, id);
CREATE TABLE queue_count (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  last   BIGINT NOT NULL, -- the newest id
  pruned BIGINT NOT NULL  -- the highest id that is no longer kept
);
INSERT INTO queue_count VALUES (1, 0, 0);
CREATE TABLE timers (
  key     TEXT PRIMARY KEY,
  due     BIGINT NOT NULL,
  type    TEXT NOT NULL,
  payload TEXT NOT NULL
);
CREATE INDEX timers_by_due ON timers (due, key);

-- The pauses of an older version end by a timer, too.
INSERT INTO timers SELECT 'pause/p' || id, until, 'pause-over', 'p' || id FROM pauses WHERE ended_at = 0 AND until <> 0;
