-- title: Onset of cap-blocking
-- answers: In which hour the share of slots left empty by frequency caps crossed a line that it was below in the hour before.
-- param line_percent: int 1..=100 = 10 | The line: this share of all slots of the hour, or more.
-- param slots_min: int 1..=1000000000 = 20 | Hours with fewer slots say nothing and are passed over.
-- param by: all|title|position|country|device = all | Whose hours are compared.
-- param every: first|all = first | Only the first crossing of each, or all of them.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column key: The title, position, country or device; null where that is not known.
-- column hour: The hour in which the line was crossed.
-- column slots: Slots of that hour.
-- column capped: Of these, those left empty as frequency_capped.
-- column capped_percent: capped / slots, in hundredths of a percent.
-- column hour_before: The hour with enough slots that was before; null if there was none: then the line was crossed at the start.
-- column capped_percent_before: The share in that hour.
WITH hourly AS (
    SELECT
        CASE CAST($by AS VARCHAR)
            WHEN 'title' THEN title_id
            WHEN 'position' THEN position
            WHEN 'country' THEN country
            WHEN 'device' THEN device
            ELSE 'all'
        END AS key,
        hour,
        CAST(sum(slots) AS HUGEINT) AS slots,
        CAST(coalesce(sum(slots) FILTER (unfilled_reason = 'frequency_capped'), 0) AS HUGEINT) AS capped
    FROM agg_slots_hourly
    WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1, 2
    HAVING sum(slots) >= CAST($slots_min AS BIGINT)
), compared AS (
    SELECT
        *,
        -- Whole numbers on both sides: a share that is exactly the line has crossed it.
        capped * 100 >= CAST($line_percent AS BIGINT) * slots AS is_above,
        lag(hour) OVER earlier AS hour_before,
        lag(slots) OVER earlier AS slots_before,
        lag(capped) OVER earlier AS capped_before
    FROM hourly
    WINDOW earlier AS (PARTITION BY key ORDER BY hour)
), crossed AS (
    SELECT *, row_number() OVER (PARTITION BY key ORDER BY hour) AS nth
    FROM compared
    WHERE is_above AND coalesce(capped_before * 100 < CAST($line_percent AS BIGINT) * slots_before, true)
)
SELECT
    key,
    hour,
    slots,
    capped,
    round(100.0 * capped / slots, 2) AS capped_percent,
    hour_before,
    round(100.0 * capped_before / slots_before, 2) AS capped_percent_before
FROM crossed
WHERE CAST($every AS VARCHAR) = 'all' OR nth = 1
ORDER BY hour, key NULLS LAST;
