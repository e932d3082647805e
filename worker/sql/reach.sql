-- title: Reach and frequency
-- answers: How many viewers an advertiser, campaign, flight or creative reached, and how many of them saw it how often.
-- param by: advertiser|campaign|flight|creative = campaign | Of what.
-- param id: int 0..=4294967295 = | Of this one only; without, of all. 0 is what auctions sold.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column id: The number of the advertiser, campaign, flight or creative.
-- column frequency: How often these viewers saw it in those days.
-- column viewers: How many viewers saw it exactly that often.
-- column impressions: frequency * viewers.
-- column reach: All viewers that it reached.
-- column frequency_mean: All its impressions over its reach, in hundredths.
-- column viewers_at_least: How many viewers saw it that often or more.
WITH seen AS (
    SELECT
        CASE CAST($by AS VARCHAR)
            WHEN 'advertiser' THEN advertiser_id
            WHEN 'campaign' THEN campaign_id
            WHEN 'flight' THEN flight_id
            ELSE creative_id
        END AS id,
        viewer,
        count(*) AS frequency
    FROM fct_ad_impressions
    WHERE invalid_traffic IS NULL
        AND date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
    GROUP BY 1, 2
    HAVING id = coalesce(CAST($id AS BIGINT), id)
), spread AS (
    SELECT id, frequency, count(*) AS viewers
    FROM seen
    GROUP BY 1, 2
)
SELECT
    id,
    frequency,
    viewers,
    frequency * viewers AS impressions,
    sum(viewers) OVER (PARTITION BY id) AS reach,
    round(1.0 * sum(frequency * viewers) OVER (PARTITION BY id) / sum(viewers) OVER (PARTITION BY id), 2) AS frequency_mean,
    sum(viewers) OVER (PARTITION BY id ORDER BY frequency DESC) AS viewers_at_least
FROM spread
ORDER BY id, frequency;
