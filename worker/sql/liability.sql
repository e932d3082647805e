-- title: Standing liability
-- answers: What is owed for flights that closed short, by advertiser and what became of it, to the micro.
-- param by: advertiser|campaign|flight = advertiser | To whom, or for what.
-- param status: standing|all|pending|scheduled|fulfilled|credited|void = standing | Of which make-goods: standing are pending and scheduled ones.
-- column key: The advertiser, campaign or flight, by its id in the contracts file.
-- column status: What became of the make-goods.
-- column currency: ISO 4217, of the contracts.
-- column make_goods: How many.
-- column shortfall: By how many impressions the flights fell short.
-- column liability_micros: What is still owed, in micros: exact.
SELECT
    CASE CAST($by AS VARCHAR) WHEN 'campaign' THEN campaign WHEN 'flight' THEN flight ELSE advertiser END AS key,
    status,
    currency,
    count(*) AS make_goods,
    sum(shortfall) AS shortfall,
    sum(liability_micros) AS liability_micros
FROM makegoods
WHERE CAST($status AS VARCHAR) IN ('all', status) OR (CAST($status AS VARCHAR) = 'standing' AND status IN ('pending', 'scheduled'))
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
