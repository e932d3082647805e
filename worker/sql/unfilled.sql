-- title: Why slots stayed empty
-- answers: The unfilled slots by their reason, and by day, hour, title, position, country or device.
-- param by: all|day|hour|title|position|country|device = day | What to break it down by, beside the reason.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column key: The day, hour, title, position, country or device; null where that is not known.
-- column unfilled_reason: The reason nearest to filling.
-- column slots: Slots left empty for it.
-- column percent_of_unfilled: Of all unfilled slots of this key, in hundredths of a percent.
-- column percent_of_slots: Of all slots of this key, filled ones included, likewise.
WITH counted AS (
    SELECT
        CASE CAST($by AS VARCHAR)
            WHEN 'day' THEN strftime(date, '%Y-%m-%d')
            WHEN 'hour' THEN strftime(make_timestamp(epoch_us(hour)), '%Y-%m-%dT%H:00Z')
            WHEN 'title' THEN title_id
            WHEN 'position' THEN position
            WHEN 'country' THEN country
            WHEN 'device' THEN device
            ELSE 'all'
        END AS key,
        unfilled_reason,
        outcome,
        sum(slots) AS slots
    FROM agg_slots_hourly
    WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1, 2, 3
), compared AS (
    SELECT
        *,
        sum(slots) OVER (PARTITION BY key) AS all_slots,
        sum(slots) OVER (PARTITION BY key, outcome) AS all_of_outcome
    FROM counted
)
SELECT
    key,
    unfilled_reason,
    slots,
    round(100.0 * slots / all_of_outcome, 2) AS percent_of_unfilled,
    round(100.0 * slots / all_slots, 2) AS percent_of_slots
FROM compared
WHERE outcome = 'unfilled'
ORDER BY key NULLS LAST, slots DESC, unfilled_reason;
