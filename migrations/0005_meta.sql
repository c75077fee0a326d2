-- Facts about this installation: format version, import markers.
CREATE TABLE meta (
    name    TEXT NOT NULL PRIMARY KEY,
    content TEXT NOT NULL
);
