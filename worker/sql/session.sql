-- title: What happened
-- answers: Every event of one ad, of one ad break, or of one viewing session, in the order of time. Give one of the three.
-- one of: opportunity, break, session
-- param opportunity: uuid = | The slot of an ad: its opportunity_id, which tells its hour: no other is read.
-- param break: text = | An ad break: its break_id. Give days, too, or every day is read.
-- param session: text = | A viewing session: the pseudonym that events carry. Likewise.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column at: When, the earliest that any beacon says.
-- column event: What happened, by its VAST name.
-- column opportunity_id: The slot.
-- column break_id: Its ad break; null while the slot's row has not come.
-- column slot_index: Its place in the break, from 0; likewise.
-- column session: The client's session; null of a pixel.
-- column title_id: What was watched; null while the slot's row has not come.
-- column position: Where the break stood; likewise.
-- column ad_id: The ad that played.
-- column counts: Whether the report's token names the ad of the slot's standing row.
-- column deliveries: How often the event was reported.
-- column error_code: Of an error, VAST's code.
--
-- An opportunity_id is a UUID version 7: its first 48 bits are when its break opened, in milliseconds.
WITH events AS (
    SELECT *
    FROM fct_ad_events
    WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
        AND date = coalesce(CAST(make_timestamp(CAST('0x' || replace(left(CAST($opportunity AS VARCHAR), 13), '-', '') AS BIGINT) * 1000) AS DATE), date)
        AND hour = coalesce(extract(hour FROM make_timestamp(CAST('0x' || replace(left(CAST($opportunity AS VARCHAR), 13), '-', '') AS BIGINT) * 1000)), hour)
        AND ($opportunity IS NULL OR opportunity_id = lower(CAST($opportunity AS VARCHAR)))
        AND ($break IS NULL OR break_id = CAST($break AS VARCHAR))
        AND ($session IS NULL OR session = CAST($session AS VARCHAR))
), slots AS (
    SELECT opportunity_id, slot_index, title_id, position
    FROM fct_ad_opportunities
    WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
        AND date = coalesce(CAST(make_timestamp(CAST('0x' || replace(left(CAST($opportunity AS VARCHAR), 13), '-', '') AS BIGINT) * 1000) AS DATE), date)
        AND hour = coalesce(extract(hour FROM make_timestamp(CAST('0x' || replace(left(CAST($opportunity AS VARCHAR), 13), '-', '') AS BIGINT) * 1000)), hour)
        AND ($opportunity IS NULL OR opportunity_id = lower(CAST($opportunity AS VARCHAR)))
        AND ($break IS NULL OR break_id = CAST($break AS VARCHAR))
)
SELECT
    events.at,
    events.event,
    events.opportunity_id,
    events.break_id,
    slots.slot_index,
    events.session,
    slots.title_id,
    slots.position,
    events.ad_id,
    events.counts,
    events.deliveries,
    events.error_code
FROM events
LEFT JOIN slots ON slots.opportunity_id = events.opportunity_id
ORDER BY events.at, events.opportunity_id, events.received_at, events.event;
