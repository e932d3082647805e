-- title: What happened
-- answers: Every event of one ad, of one ad break, or of one viewing session, in the order of time. Give one of the three.
-- param opportunity: text = | The slot of an ad: its opportunity_id.
-- param break: text = | An ad break: its break_id.
-- param session: text = | A viewing session: the pseudonym that events carry.
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
FROM fct_ad_events AS events
LEFT JOIN fct_ad_opportunities AS slots ON slots.opportunity_id = events.opportunity_id
WHERE CASE
    WHEN $opportunity IS NULL AND $break IS NULL AND $session IS NULL
        THEN error('give one of the parameters opportunity, break and session')
    ELSE events.opportunity_id = coalesce(CAST($opportunity AS VARCHAR), events.opportunity_id)
        AND ($break IS NULL OR events.break_id = CAST($break AS VARCHAR))
        AND ($session IS NULL OR events.session = CAST($session AS VARCHAR))
    END
ORDER BY events.at, events.opportunity_id, events.received_at, events.event;
