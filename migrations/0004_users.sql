-- What shops told about users. An erased id stays as a tombstone until an explicit new change.
CREATE TABLE users (
    user_id    TEXT   NOT NULL PRIMARY KEY,
    properties TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    erased_at  BIGINT
);
