-- title: Flights at risk
-- answers: Which flights will fall short unless something is done, the most urgent first, with the daily rate that catches up.
-- param day: date = | As of the end of this day; without, of the last day of which there is a snapshot.
-- param least: watch|at_risk|critical = at_risk | The least alert that is shown.
-- column day: The day of the snapshot, in its time zone.
-- column alert: critical, at_risk or watch: of the pacing index and of the days that remain.
-- column flight: The flight, by its id in the contracts file.
-- column campaign: Its campaign, likewise.
-- column advertiser: Its advertiser, likewise.
-- column committed: What was promised.
-- column delivered: What was delivered by then.
-- column missing: committed - delivered.
-- column pacing_index: Delivered over what should be by now; 1.0 is on track. Null while it says nothing.
-- column days_remaining: Days of its calendar that it still runs on.
-- column delivered_on_day: What it delivered on that day.
-- column required_per_day: The daily rate that delivers the rest in time.
-- column projected: What it will have delivered at its end as things go; null while it has not run for a day.
-- column is_provisional: Whether the day was not over when the snapshot was taken.
SELECT
    day,
    alert,
    flight,
    campaign,
    advertiser,
    committed,
    delivered,
    greatest(committed - delivered, 0) AS missing,
    CAST(pacing_index_millionths AS DECIMAL(18, 0)) / 1000000 AS pacing_index,
    days_remaining,
    delivered_on_day,
    required_per_day,
    projected,
    is_provisional
FROM campaign_pacing_daily
WHERE day = coalesce(CAST($day AS VARCHAR), (SELECT max(day) FROM campaign_pacing_daily))
    AND list_position(['watch', 'at_risk', 'critical'], alert)
        >= list_position(['watch', 'at_risk', 'critical'], CAST($least AS VARCHAR))
ORDER BY list_position(['watch', 'at_risk', 'critical'], alert) DESC, days_remaining, pacing_index, flight;
