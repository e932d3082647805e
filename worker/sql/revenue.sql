-- title: Revenue
-- answers: What was recognised, once for each impression past its contract's threshold, to the micro.
-- param by: all|day|advertiser|campaign|flight|creative|title|country = flight | What to break it down by, beside the currency.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column key: The day, or the number of the advertiser, campaign, flight or creative, or the title or country.
-- column currency: ISO 4217; null of impressions whose terms are not known yet, which earn nothing until they are.
-- column impressions: Fills that provably began to play.
-- column delivered: Of these, those past the contract's completion threshold, a viewer's.
-- column revenue_micros: What they earned, in micros of the currency: exact.
SELECT
    CASE CAST($by AS VARCHAR)
        WHEN 'day' THEN strftime(date, '%Y-%m-%d')
        WHEN 'advertiser' THEN CAST(advertiser_id AS VARCHAR)
        WHEN 'campaign' THEN CAST(campaign_id AS VARCHAR)
        WHEN 'flight' THEN CAST(flight_id AS VARCHAR)
        WHEN 'creative' THEN CAST(creative_id AS VARCHAR)
        WHEN 'title' THEN title_id
        WHEN 'country' THEN country
        ELSE 'all'
    END AS key,
    currency,
    sum(impressed) AS impressions,
    sum(delivered) AS delivered,
    sum(revenue_micros) AS revenue_micros
FROM agg_slots_hourly
WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
GROUP BY 1, 2
HAVING sum(impressed) > 0
ORDER BY try_cast(key AS BIGINT) NULLS LAST, key NULLS LAST, currency NULLS LAST;
