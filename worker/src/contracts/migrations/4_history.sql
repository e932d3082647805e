-- What was booked when. A row for everything booked and for every change of it, as it was from then on, written with the change by
-- the triggers below: whatever changes a booking, in whichever way, leaves its history. Nothing here is ever changed or deleted.
--
-- The names are those of the lake's dimensions. A migration that adds a column to a table adds it to the table's triggers, too.
CREATE TABLE history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    dimension TEXT NOT NULL
        CHECK (dimension IN ('dim_advertisers', 'dim_campaigns', 'dim_campaign_flights', 'dim_creatives', 'dim_titles')),
    id TEXT NOT NULL,
    -- By the clock, but never before the change before.
    valid_from_ms INTEGER NOT NULL CHECK (valid_from_ms >= 0),
    content TEXT NOT NULL CHECK (json_valid(content))
) STRICT;
CREATE INDEX history_by_id ON history (dimension, id, valid_from_ms);

CREATE TRIGGER history_stays BEFORE UPDATE ON history BEGIN
    SELECT RAISE(ABORT, 'the history of bookings is append-only');
END;
CREATE TRIGGER history_remains BEFORE DELETE ON history BEGIN
    SELECT RAISE(ABORT, 'the history of bookings is append-only');
END;

-- What is booked when this history begins is taken for booked since ever.
INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_advertisers', advertiser_id, 0,
        json_object('advertiser_id', advertiser_id, 'slug', slug, 'name', name, 'caps', caps, 'min_gap', min_gap,
            'time_zone', time_zone)
    FROM advertisers;
CREATE TRIGGER advertisers_booked AFTER INSERT ON advertisers BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_advertisers', NEW.advertiser_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('advertiser_id', NEW.advertiser_id, 'slug', NEW.slug, 'name', NEW.name, 'caps', NEW.caps,
            'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone)
    FROM history WHERE dimension = 'dim_advertisers' AND id = CAST(NEW.advertiser_id AS TEXT);
END;
CREATE TRIGGER advertisers_changed AFTER UPDATE ON advertisers BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_advertisers', NEW.advertiser_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('advertiser_id', NEW.advertiser_id, 'slug', NEW.slug, 'name', NEW.name, 'caps', NEW.caps,
            'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone)
    FROM history WHERE dimension = 'dim_advertisers' AND id = CAST(NEW.advertiser_id AS TEXT);
END;

INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_campaigns', campaign_id, 0,
        json_object('campaign_id', campaign_id, 'slug', slug, 'advertiser_id', advertiser_id, 'name', name,
            'category', category, 'caps', caps, 'min_gap', min_gap, 'time_zone', time_zone)
    FROM campaigns;
CREATE TRIGGER campaigns_booked AFTER INSERT ON campaigns BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_campaigns', NEW.campaign_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('campaign_id', NEW.campaign_id, 'slug', NEW.slug, 'advertiser_id', NEW.advertiser_id, 'name', NEW.name,
            'category', NEW.category, 'caps', NEW.caps, 'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone)
    FROM history WHERE dimension = 'dim_campaigns' AND id = CAST(NEW.campaign_id AS TEXT);
END;
CREATE TRIGGER campaigns_changed AFTER UPDATE ON campaigns BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_campaigns', NEW.campaign_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('campaign_id', NEW.campaign_id, 'slug', NEW.slug, 'advertiser_id', NEW.advertiser_id, 'name', NEW.name,
            'category', NEW.category, 'caps', NEW.caps, 'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone)
    FROM history WHERE dimension = 'dim_campaigns' AND id = CAST(NEW.campaign_id AS TEXT);
END;

INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_campaign_flights', flight_id, 0,
        json_object('flight_id', flight_id, 'slug', slug, 'campaign_id', campaign_id, 'class', class,
            'starts_at', starts_at_ms, 'ends_at', ends_at_ms, 'committed_impressions', committed_impressions,
            'cpm_micros', cpm_micros, 'currency', currency, 'completion_threshold', completion_threshold,
            'weight', weight, 'caps', caps, 'min_gap', min_gap, 'time_zone', time_zone, 'ratings', ratings,
            'targeting', targeting, 'exclusion', exclusion, 'dayparts', dayparts, 'placement', placement,
            'pod_position', pod_position, 'is_paused', paused)
    FROM flights;
CREATE TRIGGER flights_booked AFTER INSERT ON flights BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_campaign_flights', NEW.flight_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('flight_id', NEW.flight_id, 'slug', NEW.slug, 'campaign_id', NEW.campaign_id, 'class', NEW.class,
            'starts_at', NEW.starts_at_ms, 'ends_at', NEW.ends_at_ms,
            'committed_impressions', NEW.committed_impressions, 'cpm_micros', NEW.cpm_micros,
            'currency', NEW.currency, 'completion_threshold', NEW.completion_threshold, 'weight', NEW.weight,
            'caps', NEW.caps, 'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone, 'ratings', NEW.ratings,
            'targeting', NEW.targeting, 'exclusion', NEW.exclusion, 'dayparts', NEW.dayparts,
            'placement', NEW.placement, 'pod_position', NEW.pod_position, 'is_paused', NEW.paused)
    FROM history WHERE dimension = 'dim_campaign_flights' AND id = CAST(NEW.flight_id AS TEXT);
END;
CREATE TRIGGER flights_changed AFTER UPDATE ON flights BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_campaign_flights', NEW.flight_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('flight_id', NEW.flight_id, 'slug', NEW.slug, 'campaign_id', NEW.campaign_id, 'class', NEW.class,
            'starts_at', NEW.starts_at_ms, 'ends_at', NEW.ends_at_ms,
            'committed_impressions', NEW.committed_impressions, 'cpm_micros', NEW.cpm_micros,
            'currency', NEW.currency, 'completion_threshold', NEW.completion_threshold, 'weight', NEW.weight,
            'caps', NEW.caps, 'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone, 'ratings', NEW.ratings,
            'targeting', NEW.targeting, 'exclusion', NEW.exclusion, 'dayparts', NEW.dayparts,
            'placement', NEW.placement, 'pod_position', NEW.pod_position, 'is_paused', NEW.paused)
    FROM history WHERE dimension = 'dim_campaign_flights' AND id = CAST(NEW.flight_id AS TEXT);
END;

INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_creatives', creative_id, 0,
        json_object('creative_id', creative_id, 'slug', slug, 'advertiser_id', advertiser_id, 'name', name,
            'duration_ms', CASE WHEN vast IS NULL THEN duration_ms END, 'universal_ad_id', universal_ad_id,
            'media', media, 'vast', vast, 'caps', caps, 'min_gap', min_gap, 'time_zone', time_zone)
    FROM creatives;
CREATE TRIGGER creatives_booked AFTER INSERT ON creatives BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_creatives', NEW.creative_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('creative_id', NEW.creative_id, 'slug', NEW.slug, 'advertiser_id', NEW.advertiser_id, 'name', NEW.name,
            'duration_ms', CASE WHEN NEW.vast IS NULL THEN NEW.duration_ms END,
            'universal_ad_id', NEW.universal_ad_id, 'media', NEW.media, 'vast', NEW.vast, 'caps', NEW.caps,
            'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone)
    FROM history WHERE dimension = 'dim_creatives' AND id = CAST(NEW.creative_id AS TEXT);
END;
CREATE TRIGGER creatives_changed AFTER UPDATE ON creatives BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_creatives', NEW.creative_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('creative_id', NEW.creative_id, 'slug', NEW.slug, 'advertiser_id', NEW.advertiser_id, 'name', NEW.name,
            'duration_ms', CASE WHEN NEW.vast IS NULL THEN NEW.duration_ms END,
            'universal_ad_id', NEW.universal_ad_id, 'media', NEW.media, 'vast', NEW.vast, 'caps', NEW.caps,
            'min_gap', NEW.min_gap, 'time_zone', NEW.time_zone)
    FROM history WHERE dimension = 'dim_creatives' AND id = CAST(NEW.creative_id AS TEXT);
END;

INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_titles', title_id, 0,
        json_object('title_id', title_id, 'name', name, 'rating', rating, 'genres', genres, 'duration_ms', duration_ms,
            'breaks', breaks)
    FROM titles;
CREATE TRIGGER titles_booked AFTER INSERT ON titles BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_titles', NEW.title_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('title_id', NEW.title_id, 'name', NEW.name, 'rating', NEW.rating, 'genres', NEW.genres,
            'duration_ms', NEW.duration_ms, 'breaks', NEW.breaks)
    FROM history WHERE dimension = 'dim_titles' AND id = CAST(NEW.title_id AS TEXT);
END;
CREATE TRIGGER titles_changed AFTER UPDATE ON titles BEGIN
    INSERT INTO history (dimension, id, valid_from_ms, content)
    SELECT 'dim_titles', NEW.title_id, max(CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER), coalesce(max(valid_from_ms), 0)),
        json_object('title_id', NEW.title_id, 'name', NEW.name, 'rating', NEW.rating, 'genres', NEW.genres,
            'duration_ms', NEW.duration_ms, 'breaks', NEW.breaks)
    FROM history WHERE dimension = 'dim_titles' AND id = CAST(NEW.title_id AS TEXT);
END;
