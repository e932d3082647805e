-- What a third party's VAST said when it was read last, of the tag that was booked then.
CREATE TABLE creative_vasts (
    creative_id INTEGER PRIMARY KEY REFERENCES creatives,
    url TEXT NOT NULL,
    fetched_at_ms INTEGER NOT NULL CHECK (fetched_at_ms >= 0),
    content TEXT NOT NULL CHECK (json_valid(content))
) STRICT;
