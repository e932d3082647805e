-- title: Discrepancy
-- answers: How a vendor's counts differ from ours, day by day.
-- param vendor: file | A CSV file with the head date,id,count: the day (UTC), the number of the flight or creative, the vendor's count.
-- param by: flight|creative = flight | Whose numbers those are.
-- param count: impressions|delivered|completes = impressions | What of ours the vendor's counts are compared with.
-- param apart_percent: int 0..=100 = 0 | Only rows that are this far apart, or farther; 0 is all.
-- column date: The day (UTC) on which the breaks opened.
-- column id: The flight or creative.
-- column ours: Our count; 0 where only the vendor has one.
-- column theirs: The vendor's; 0 where only we have one. Rows of one day and id are added up.
-- column difference: theirs - ours.
-- column difference_percent: difference / ours, in hundredths of a percent; null where we have none.
WITH theirs AS (
    SELECT date, id, CAST(sum("count") AS HUGEINT) AS counted
    FROM read_csv($vendor, header = true, columns = {'date': 'DATE', 'id': 'BIGINT', 'count': 'BIGINT'})
    GROUP BY 1, 2
), ours AS (
    SELECT
        date,
        CASE CAST($by AS VARCHAR) WHEN 'flight' THEN flight_id ELSE creative_id END AS id,
        CAST(sum(CASE CAST($count AS VARCHAR)
            WHEN 'impressions' THEN impressed
            WHEN 'delivered' THEN delivered
            ELSE completes
        END) AS HUGEINT) AS counted
    FROM agg_slots_hourly
    -- Only the days and ids that the vendor speaks of: a file of one flight is compared with that flight.
    WHERE date IN (SELECT date FROM theirs) AND impressed > 0
    GROUP BY 1, 2
), compared AS (
    SELECT
        coalesce(ours.date, theirs.date) AS date,
        coalesce(ours.id, theirs.id) AS id,
        coalesce(ours.counted, 0) AS ours,
        coalesce(theirs.counted, 0) AS theirs
    FROM ours FULL JOIN theirs ON ours.date = theirs.date AND ours.id = theirs.id
    WHERE coalesce(ours.id, theirs.id) IN (SELECT id FROM theirs)
)
SELECT
    date,
    id,
    ours,
    theirs,
    theirs - ours AS difference,
    CASE WHEN ours > 0 THEN round(100.0 * (theirs - ours) / ours, 2) END AS difference_percent
FROM compared
WHERE abs(theirs - ours) * 100 >= CAST($apart_percent AS BIGINT) * ours
ORDER BY date, id;
