/* Hours per day on which somewhere in the city the index was above 150, and the worst of them. Beijing is at UTC+8. */
SELECT CAST(window_start + INTERVAL 8 HOUR AS DATE) AS day, count(DISTINCT window_start) AS hours, max(aqi) AS worst, arg_max(key, aqi) AS station
FROM air_index
WHERE aqi > 150
GROUP BY day
ORDER BY day
