-- The catalogue: one row per item, its searchable columns beside the whole item as JSON.
-- Times are milliseconds since 1970, booleans 0 or 1, JSON is TEXT: what SQLite and Postgres share.
CREATE TABLE items (
    item_id        TEXT             NOT NULL PRIMARY KEY,
    -- The 64-bit key that state and history hold; two items with one key are refused.
    item_key       BIGINT           NOT NULL UNIQUE,
    title          TEXT             NOT NULL,
    category       TEXT,
    brand          TEXT,
    price          DOUBLE PRECISION,
    currency       TEXT,
    item           TEXT             NOT NULL,
    hidden         SMALLINT         NOT NULL,
    in_stock       SMALLINT         NOT NULL,
    available_from BIGINT,
    updated_at     BIGINT           NOT NULL
);

CREATE INDEX items_by_category ON items (category, item_id);
