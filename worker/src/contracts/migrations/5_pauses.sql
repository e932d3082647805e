-- When a flight was set to paused, and back, is in the history. Of few flights: this finds them without reading all of it.
CREATE INDEX history_of_pauses ON history (id)
    WHERE dimension = 'dim_campaign_flights' AND json_extract(content, '$.is_paused') = 1;
