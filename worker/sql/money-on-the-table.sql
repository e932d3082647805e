-- title: Money on the table
-- answers: What the unfilled slots would have earned at the price of the filled ones beside them.
-- param by: all|day|title|position|reason = day | What to break it down by, beside the currency.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column key: The day, title, position or unfilled reason.
-- column currency: ISO 4217; null of slots without a price: in their hour and position nothing was filled that earned.
-- column unfilled: Unfilled slots; one beside which ads earned in several currencies is counted in each.
-- column missed_micros: What they would have earned, in micros.
--
-- The price of an unfilled slot is what the slots of the same hour (UTC) and position earned, over how many of them were filled: by
-- whomever, house ads included, seen or not. So it is what the next fill was worth, not what an impression is. Crawlers' slots are
-- neither priced nor missed. Of each hour, position and key, the product is rounded once, half up; sums are of these.
WITH slots AS (
    SELECT
        hour,
        position,
        CASE CAST($by AS VARCHAR)
            WHEN 'day' THEN strftime(date, '%Y-%m-%d')
            WHEN 'title' THEN title_id
            WHEN 'position' THEN position
            WHEN 'reason' THEN unfilled_reason
            ELSE 'all'
        END AS key,
        sum(slots) AS unfilled
    FROM agg_slots_hourly
    WHERE outcome = 'unfilled' AND invalid_traffic IS NULL
        AND date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1, 2, 3
), filled AS (
    SELECT hour, position, sum(slots) AS filled
    FROM agg_slots_hourly
    WHERE outcome = 'filled' AND invalid_traffic IS NULL
        AND date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1, 2
), earned AS (
    SELECT hour, position, currency, sum(revenue_micros) AS micros
    FROM agg_slots_hourly
    WHERE invalid_traffic IS NULL
        AND date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1, 2, 3
    HAVING sum(revenue_micros) > 0
), missed AS (
    SELECT slots.key, earned.currency, slots.unfilled, (2 * unfilled * micros + filled) // (2 * filled) AS micros
    FROM slots
    LEFT JOIN earned ON earned.hour = slots.hour AND earned.position = slots.position
    LEFT JOIN filled ON filled.hour = slots.hour AND filled.position = slots.position
)
SELECT key, currency, sum(unfilled) AS unfilled, coalesce(sum(micros), 0) AS missed_micros
FROM missed
GROUP BY 1, 2
ORDER BY 1, 2 NULLS LAST;
