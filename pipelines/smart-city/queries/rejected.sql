/* What was not believed, by station and reason. Many at one station: its analysers want a look. */
SELECT key AS station, pollutant, reason, count(*) AS hours, max(_event_time) AS latest
FROM air_rejected
GROUP BY ALL
ORDER BY hours DESC
