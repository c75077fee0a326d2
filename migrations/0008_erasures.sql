-- Who was erased, as far as the archive is concerned. Rows stay, because records from before may come later.
CREATE TABLE erasures (
    person_key    BIGINT NOT NULL,
    -- Where the erasure stands in the topic of events; partition -1 for a session that went with its user.
    log_partition BIGINT NOT NULL,
    before_offset BIGINT NOT NULL,
    -- Event time of the erasure.
    erased_at     BIGINT NOT NULL,
    -- Ascends with every change of the table.
    revision      BIGINT NOT NULL,
    -- When the archive was free of the person's rows.
    done_at       BIGINT,
    PRIMARY KEY (person_key, log_partition)
);
