-- title: Completion
-- answers: How far the ads were watched, by creative, flight, campaign, title, position or device.
-- param by: creative|flight|campaign|title|position|device|day = creative | What to break it down by.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column key: The number of the creative, flight or campaign, or the title, position, device or day.
-- column starts: Impressions: ads that began to play.
-- column first_quartiles: Of these, how many reached 25 % without a gap.
-- column midpoints: How many reached 50 %.
-- column third_quartiles: How many reached 75 %.
-- column completes: How many reached the end.
-- column completion_percent: completes / starts, in hundredths of a percent.
-- column skips: How many were skipped.
-- column errors: How many failed.
-- column is_conserved: Whether starts >= first_quartiles >= midpoints >= third_quartiles >= completes. It always is.
SELECT
    CASE CAST($by AS VARCHAR)
        WHEN 'creative' THEN CAST(creative_id AS VARCHAR)
        WHEN 'flight' THEN CAST(flight_id AS VARCHAR)
        WHEN 'campaign' THEN CAST(campaign_id AS VARCHAR)
        WHEN 'title' THEN title_id
        WHEN 'position' THEN position
        WHEN 'device' THEN device
        ELSE strftime(date, '%Y-%m-%d')
    END AS key,
    sum(impressed) AS starts,
    sum(agg_slots_hourly.first_quartiles) AS first_quartiles,
    sum(agg_slots_hourly.midpoints) AS midpoints,
    sum(agg_slots_hourly.third_quartiles) AS third_quartiles,
    sum(agg_slots_hourly.completes) AS completes,
    round(100.0 * sum(agg_slots_hourly.completes) / sum(impressed), 2) AS completion_percent,
    sum(agg_slots_hourly.skips) AS skips,
    sum(agg_slots_hourly.errors) AS errors,
    sum(impressed) >= sum(agg_slots_hourly.first_quartiles)
        AND sum(agg_slots_hourly.first_quartiles) >= sum(agg_slots_hourly.midpoints)
        AND sum(agg_slots_hourly.midpoints) >= sum(agg_slots_hourly.third_quartiles)
        AND sum(agg_slots_hourly.third_quartiles) >= sum(agg_slots_hourly.completes) AS is_conserved
FROM agg_slots_hourly
WHERE impressed > 0
    AND date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
GROUP BY 1
ORDER BY try_cast(key AS BIGINT) NULLS LAST, key NULLS LAST;
