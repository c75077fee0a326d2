-- The archive's manifest: a file belongs to the archive once its row is here.
CREATE TABLE archive_files (
    path          TEXT   NOT NULL PRIMARY KEY,
    topic         TEXT   NOT NULL,
    -- Day (UTC) of the earliest event in the file.
    day           TEXT   NOT NULL,
    log_partition BIGINT NOT NULL,
    -- Offsets of the batch that the file is part of, both included; files of one batch share them.
    first_offset  BIGINT NOT NULL,
    last_offset   BIGINT NOT NULL,
    n_rows        BIGINT NOT NULL,
    size_bytes    BIGINT NOT NULL,
    sha256        TEXT   NOT NULL,
    -- Event times, both included.
    min_time      BIGINT NOT NULL,
    max_time      BIGINT NOT NULL
);

CREATE INDEX archive_files_by_time ON archive_files (topic, min_time);
