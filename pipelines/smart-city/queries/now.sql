/* The air now: each station's latest index, its level and what makes it. */
SELECT key AS station, district, window_end, aqi, level, primaryPollutant
FROM air_index
QUALIFY row_number() OVER (PARTITION BY key ORDER BY window_end DESC) = 1
ORDER BY aqi DESC NULLS LAST
