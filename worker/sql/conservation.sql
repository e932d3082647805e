-- title: Conservation
-- answers: Day by day whether no slot is lost or counted twice, and whether all tables say the same. A day on which anything is off is false.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column date: The day (UTC) on which the breaks opened.
-- column slots: Rows of fct_ad_opportunities.
-- column filled: Of these, filled ones.
-- column unfilled: Of these, unfilled ones.
-- column impressed: Fills that began to play.
-- column released: Fills that were reported not to play.
-- column unsettled: Fills of which neither was reported: open until their token dies, then expired.
-- column impressions: Rows of fct_ad_impressions.
-- column revenue_micros: The sum of their revenue, of whatever currency: a checksum, not money.
-- column is_conserved: Whether all of the following hold: each slot has one row; filled + unfilled is all, with an ad and a fill_reason, or without an ad and with an unfilled_reason; impressed + released + unsettled is filled; each impression is of an impressed slot; and agg_slots_hourly has the same slots, impressions and revenue.
WITH slots AS (
    SELECT
        date,
        count(*) AS slots,
        count(DISTINCT opportunity_id) AS ids,
        count(*) FILTER (outcome = 'filled' AND ad_id IS NOT NULL AND fill_reason IS NOT NULL AND unfilled_reason IS NULL) AS filled,
        count(*) FILTER (outcome = 'unfilled' AND ad_id IS NULL AND fill_reason IS NULL AND unfilled_reason IS NOT NULL) AS unfilled,
        count(*) FILTER (outcome = 'filled' AND settled = 'impressed') AS impressed,
        count(*) FILTER (outcome = 'filled' AND settled = 'released') AS released,
        count(*) FILTER (outcome = 'filled' AND settled IS NULL) AS unsettled
    FROM fct_ad_opportunities
    WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1
), impressions AS (
    SELECT date, count(*) AS impressions, count(DISTINCT opportunity_id) AS ids, sum(recognized_revenue_micros) AS revenue_micros
    FROM fct_ad_impressions
    WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1
), hourly AS (
    SELECT
        date,
        sum(agg_slots_hourly.slots) AS slots,
        sum(agg_slots_hourly.impressed) AS impressed,
        sum(agg_slots_hourly.revenue_micros) AS revenue_micros
    FROM agg_slots_hourly
    WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1
)
SELECT
    date,
    coalesce(slots.slots, 0) AS slots,
    coalesce(slots.filled, 0) AS filled,
    coalesce(slots.unfilled, 0) AS unfilled,
    coalesce(slots.impressed, 0) AS impressed,
    coalesce(slots.released, 0) AS released,
    coalesce(slots.unsettled, 0) AS unsettled,
    coalesce(impressions.impressions, 0) AS impressions,
    coalesce(impressions.revenue_micros, 0) AS revenue_micros,
    coalesce(slots.slots = slots.ids
        AND slots.filled + slots.unfilled = slots.slots
        AND slots.impressed + slots.released + slots.unsettled = slots.filled
        AND slots.impressed = coalesce(impressions.impressions, 0)
        AND coalesce(impressions.ids, 0) = coalesce(impressions.impressions, 0)
        AND hourly.slots = slots.slots
        AND hourly.impressed = coalesce(impressions.impressions, 0)
        AND hourly.revenue_micros = coalesce(impressions.revenue_micros, 0), false) AS is_conserved
FROM slots FULL JOIN impressions USING (date) FULL JOIN hourly USING (date)
ORDER BY date;
