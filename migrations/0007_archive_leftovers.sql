-- Files of the archive that no manifest row names: about to be, replaced, or left by a crash. Swept when they are old.
CREATE TABLE archive_leftovers (
    path         TEXT     NOT NULL PRIMARY KEY,
    -- When it was announced or replaced.
    since        BIGINT   NOT NULL,
    -- 1 once its deletion has begun: from then on it cannot become part of the archive.
    is_condemned SMALLINT NOT NULL
);
