/* Where a station's 24-hour mean of PM2.5 does not count, for fewer than 20 of 24 hours were measured. */
SELECT key AS station, count(*) AS windows, min(window_end) AS first, max(window_end) AS latest
FROM air_24h
WHERE pm25 IS NULL
GROUP BY key
ORDER BY windows DESC
