-- Where in a break a flight stands, when it airs, whom it leaves out; what goes with a creative; where a title breaks.
-- Everything booked before says what it always said: an ad, anywhere in the break, at any hour, for everybody targeted.

ALTER TABLE flights ADD COLUMN placement TEXT NOT NULL DEFAULT 'ad' CHECK (placement IN ('ad', 'bumper', 'sponsorship'));
ALTER TABLE flights ADD COLUMN pod_position TEXT NOT NULL DEFAULT 'any' CHECK (pod_position IN ('any', 'first', 'last'));
ALTER TABLE flights ADD COLUMN exclusion TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(exclusion));
ALTER TABLE flights ADD COLUMN dayparts TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(dayparts));

ALTER TABLE ads ADD COLUMN weight INTEGER NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000);

ALTER TABLE creatives ADD COLUMN presentation TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(presentation));
ALTER TABLE creatives ADD COLUMN trackers TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(trackers)); -- those the origin calls
-- Of a creative whose video a third party's VAST names, `media` is empty and `duration_ms`, which must be something, is 1.
ALTER TABLE creatives ADD COLUMN vast TEXT;

ALTER TABLE titles ADD COLUMN breaks TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(breaks));
