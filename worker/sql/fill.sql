-- title: Fill
-- answers: How many slots were filled and with what, by day, hour, title, position, country or device. Every slot is in one row.
-- param by: all|day|hour|title|position|country|device = day | What to break it down by.
-- param from: date = | The first day (UTC) on which breaks opened; without, the first there is.
-- param to: date = | The last day; without, the last there is.
-- column key: The day, hour, title, position, country or device; null where that is not known.
-- column slots: Slots: filled + unfilled.
-- column filled: Slots with an ad: guaranteed + auction + house_ad.
-- column unfilled: Slots without.
-- column fill_percent: filled / slots, in hundredths of a percent.
-- column guaranteed: Filled by a contract.
-- column auction: Filled by an auction's winner.
-- column house_ad: Filled by an ad of the house.
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
    sum(slots) AS slots,
    coalesce(sum(slots) FILTER (outcome = 'filled'), 0) AS filled,
    coalesce(sum(slots) FILTER (outcome = 'unfilled'), 0) AS unfilled,
    round(100.0 * filled / sum(slots), 2) AS fill_percent,
    coalesce(sum(slots) FILTER (fill_reason = 'guaranteed'), 0) AS guaranteed,
    coalesce(sum(slots) FILTER (fill_reason = 'auction'), 0) AS auction,
    coalesce(sum(slots) FILTER (fill_reason = 'house_ad'), 0) AS house_ad
FROM agg_slots_hourly
WHERE date BETWEEN coalesce(CAST($from AS DATE), DATE '1970-01-01') AND coalesce(CAST($to AS DATE), DATE '9999-12-31')
GROUP BY 1
ORDER BY 1 NULLS LAST;
