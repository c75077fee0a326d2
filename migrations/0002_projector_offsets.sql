-- How far each consumer that writes here has come; moved in the transaction that applies the records.
CREATE TABLE projector_offsets (
    name          TEXT   NOT NULL,
    log_partition BIGINT NOT NULL,
    -- Offset of the first record not applied yet.
    next_offset   BIGINT NOT NULL,
    PRIMARY KEY (name, log_partition)
);
