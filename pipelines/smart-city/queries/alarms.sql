/* Alarms that fired, the newest state of each, those that still fire first. */
SELECT rule, key AS station, arg_max(state, _offset) AS now, to_timestamp(min(sinceMs) / 1000) AS since,
  CASE WHEN now = 'resolved' THEN to_timestamp(max(atMs) / 1000) END AS until
FROM alerts
WHERE pipeline = 'smart-city' AND state <> 'pending'
GROUP BY alertId, rule, key
ORDER BY now <> 'firing', since DESC
