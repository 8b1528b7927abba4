-- +goose Up
-- What belongs to no case, such as a pause, stands in the log as well: its case_id is null.
ALTER TABLE events ALTER COLUMN case_id DROP NOT NULL;

-- A forgiven serial keeps its row.
ALTER TABLE retired ADD COLUMN forgiven_at BIGINT NOT NULL DEFAULT 0;
