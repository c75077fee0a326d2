-- The registry of what training published.
CREATE TABLE snapshots (
    version     TEXT   NOT NULL PRIMARY KEY,
    created_at  BIGINT NOT NULL,
    -- published, promoted, retired or refused.
    state       TEXT   NOT NULL CHECK (state IN ('published', 'promoted', 'retired', 'refused')),
    manifest    TEXT   NOT NULL,
    metrics     TEXT   NOT NULL,
    -- When it was promoted last; a rollback goes to the one promoted before.
    promoted_at BIGINT
);

-- At most one snapshot serves.
CREATE UNIQUE INDEX snapshots_one_promoted ON snapshots (state) WHERE state = 'promoted';
