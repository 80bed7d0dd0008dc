/* PM2.5 of the districts over the last day, beside the standard of 75 µg/m³ (GB 3095-2012, grade II, 24-hour mean). */
SELECT key AS district, window_end, round(pm25, 1) AS pm25, round(pm25 / 75, 2) AS times_standard
FROM district_24h
QUALIFY row_number() OVER (PARTITION BY key ORDER BY window_end DESC) = 1
ORDER BY pm25 DESC NULLS LAST
