-- Caps are booked on whatever is shown, in the words of the file, with the time zone of their calendar.

ALTER TABLE advertisers ADD COLUMN caps TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(caps));
ALTER TABLE advertisers ADD COLUMN min_gap TEXT;
ALTER TABLE advertisers ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';

ALTER TABLE campaigns ADD COLUMN caps TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(caps));
ALTER TABLE campaigns ADD COLUMN min_gap TEXT;
ALTER TABLE campaigns ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';

ALTER TABLE creatives ADD COLUMN caps TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(caps));
ALTER TABLE creatives ADD COLUMN min_gap TEXT;
ALTER TABLE creatives ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';

ALTER TABLE flights ADD COLUMN min_gap TEXT;
ALTER TABLE flights ADD COLUMN time_zone TEXT NOT NULL DEFAULT 'UTC';

-- {"scope": "flight", "limit": 1, "window": {"rolling": {"ms": 3600000}}} becomes
-- {"scope": "flight", "limit": 1, "per": "1h"}; the other window there was is "lifetime".
UPDATE flights SET caps = (
    SELECT coalesce(json_group_array(json_object('scope', cap ->> 'scope', 'limit', cap -> 'limit', 'per', CASE
            WHEN ms IS NULL THEN 'flight'
            WHEN ms % 86400000 = 0 THEN (ms / 86400000) || 'd'
            WHEN ms % 3600000 = 0 THEN (ms / 3600000) || 'h'
            ELSE (ms / 60000) || 'm' END) ORDER BY place), '[]')
    FROM (SELECT key AS place, value AS cap, json_extract(value, '$.window.rolling.ms') AS ms FROM json_each(flights.caps))
);
