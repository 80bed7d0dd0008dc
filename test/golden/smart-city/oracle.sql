-- What the smart-city pipeline must say about its own data, computed another way: from the CSV, by SQL, all at once.
-- Nothing here comes from millrace. $data and $stations are the two files.

CREATE TABLE station AS SELECT key AS station, district, area FROM read_csv(getvariable('stations'));

-- Beijing has no daylight saving: local time is UTC+8 all year. A station without any value published nothing.
CREATE TABLE reading AS
SELECT station, time - INTERVAL 8 HOUR AS t, "PM2.5" AS pm25, PM10 AS pm10, SO2 AS so2, NO2 AS no2, CO AS co, O3 AS o3
FROM read_csv(getvariable('data'), nullstr = 'NA', types = {'time': 'TIMESTAMP', 'PM2.5': 'DOUBLE', 'PM10': 'DOUBLE', 'SO2': 'DOUBLE', 'NO2': 'DOUBLE', 'CO': 'DOUBLE', 'O3': 'DOUBLE'})
WHERE coalesce("PM2.5", PM10, SO2, NO2, CO, O3) IS NOT NULL;

CREATE TABLE long AS UNPIVOT reading ON pm25, pm10, so2, no2, co, o3 INTO NAME pollutant VALUE value;

-- The analysers' full scale in µg/m³: particles 1,000; 500 nmol/mol (CO: 50 µmol/mol) at 273 K, 101.325 kPa.
CREATE TABLE scale AS SELECT * FROM (VALUES
  ('pm25', 1000), ('pm10', 1000), ('so2', 500 * 64.066 / 22.414), ('no2', 500 * 46.006 / 22.414), ('o3', 500 * 47.998 / 22.414), ('co', 50000 * 28.01 / 22.414)
) AS t(pollutant, full_scale);

CREATE TABLE judged AS
SELECT station, t, pollutant, value,
  CASE
    WHEN value < 0 THEN 'below zero'
    WHEN value >= full_scale THEN 'off the scale'
    WHEN pollutant IN ('pm25', 'pm10') AND r.pm25 > r.pm10 THEN 'PM2.5 above PM10'
  END AS reason
FROM long JOIN scale USING (pollutant) JOIN reading r USING (station, t);

CREATE TABLE air_rejected AS
SELECT station AS key, t, pollutant, value, reason FROM judged WHERE reason IS NOT NULL;

-- Every window that a reading falls into: it ends 1 to `hours` hours after the reading's hour begins.
CREATE MACRO windows(hours) AS TABLE
SELECT station, t, t + to_hours(n::INTEGER) AS ends FROM reading, range(1, hours + 1) AS r(n);

CREATE MACRO means(hours, needed) AS TABLE
WITH w AS (FROM windows(hours)),
size AS (SELECT station, ends, count(*) AS readings FROM w GROUP BY ALL),
mean AS (
  SELECT station, ends, pollutant, CASE WHEN count(value) >= needed THEN avg(value) END AS mean
  FROM w JOIN judged USING (station, t) WHERE reason IS NULL GROUP BY ALL
)
SELECT size.station AS key, ends, any_value(district) AS district, any_value(area) AS area, any_value(readings) AS readings,
  max(mean) FILTER (pollutant = 'so2') AS so2, max(mean) FILTER (pollutant = 'no2') AS no2, max(mean) FILTER (pollutant = 'pm10') AS pm10,
  max(mean) FILTER (pollutant = 'co') AS co, max(mean) FILTER (pollutant = 'o3') AS o3, max(mean) FILTER (pollutant = 'pm25') AS pm25
FROM size JOIN station USING (station) LEFT JOIN mean USING (station, ends) GROUP BY ALL;

CREATE TABLE air_8h AS FROM means(8, 6);
CREATE TABLE air_24h AS FROM means(24, 20);

CREATE TABLE district_8h AS SELECT district AS key, ends, count(*) AS stations, avg(so2) AS so2, avg(no2) AS no2, avg(pm10) AS pm10, avg(co) AS co, avg(o3) AS o3, avg(pm25) AS pm25 FROM air_8h GROUP BY ALL;
CREATE TABLE district_24h AS SELECT district AS key, ends, count(*) AS stations, avg(so2) AS so2, avg(no2) AS no2, avg(pm10) AS pm10, avg(co) AS co, avg(o3) AS o3, avg(pm25) AS pm25 FROM air_24h GROUP BY ALL;
CREATE TABLE area_24h AS SELECT area AS key, ends, count(*) AS stations, avg(so2) AS so2, avg(no2) AS no2, avg(pm10) AS pm10, avg(co) AS co, avg(o3) AS o3, avg(pm25) AS pm25 FROM air_24h GROUP BY ALL;

-- HJ 633-2012, table 1, a row a segment: sub-index (low, high], concentration (bp_low, bp_high] in µg/m³, CO in mg/m³.
CREATE TABLE segment AS SELECT * FROM (VALUES
  ('so2', 0, 50, 0, 50), ('so2', 50, 100, 50, 150), ('so2', 100, 150, 150, 475), ('so2', 150, 200, 475, 800), ('so2', 200, 300, 800, 1600), ('so2', 300, 400, 1600, 2100), ('so2', 400, 500, 2100, 2620),
  ('no2', 0, 50, 0, 40), ('no2', 50, 100, 40, 80), ('no2', 100, 150, 80, 180), ('no2', 150, 200, 180, 280), ('no2', 200, 300, 280, 565), ('no2', 300, 400, 565, 750), ('no2', 400, 500, 750, 940),
  ('pm10', 0, 50, 0, 50), ('pm10', 50, 100, 50, 150), ('pm10', 100, 150, 150, 250), ('pm10', 150, 200, 250, 350), ('pm10', 200, 300, 350, 420), ('pm10', 300, 400, 420, 500), ('pm10', 400, 500, 500, 600),
  ('co', 0, 50, 0, 2), ('co', 50, 100, 2, 4), ('co', 100, 150, 4, 14), ('co', 150, 200, 14, 24), ('co', 200, 300, 24, 36), ('co', 300, 400, 36, 48), ('co', 400, 500, 48, 60),
  ('o3', 0, 50, 0, 100), ('o3', 50, 100, 100, 160), ('o3', 100, 150, 160, 215), ('o3', 150, 200, 215, 265), ('o3', 200, 300, 265, 800),
  ('pm25', 0, 50, 0, 35), ('pm25', 50, 100, 35, 75), ('pm25', 100, 150, 75, 115), ('pm25', 150, 200, 115, 150), ('pm25', 200, 300, 150, 250), ('pm25', 300, 400, 250, 350), ('pm25', 400, 500, 350, 500)
) AS t(pollutant, low, high, bp_low, bp_high);

-- The sub-index is rounded up: (n + d - 1) // d.
-- As reported: whole µg/m³, CO 0.1 mg/m³, halves to even; then exact decimals, so that rounding up sees no noise.
CREATE TABLE reported AS
SELECT key, ends, pollutant,
  CASE WHEN pollutant = 'co' THEN (round_even(mean / 100, 0) / 10)::DECIMAL(18, 1) ELSE round_even(mean, 0)::DECIMAL(18, 1) END AS c
FROM (
  SELECT key, ends, 'o3' AS pollutant, o3 AS mean FROM air_8h
  UNION ALL SELECT key, ends, pollutant, mean FROM (UNPIVOT (SELECT key, ends, so2, no2, pm10, co, pm25 FROM air_24h) ON so2, no2, pm10, co, pm25 INTO NAME pollutant VALUE mean)
) WHERE mean IS NOT NULL;

CREATE TABLE sub_index AS
SELECT key, ends, pollutant, coalesce(
  (SELECT min(low + ((high - low) * (c * 10 - bp_low * 10)::BIGINT + (bp_high - bp_low) * 10 - 1) // ((bp_high - bp_low) * 10)) FROM segment s WHERE s.pollutant = r.pollutant AND c <= bp_high AND (c > bp_low OR bp_low = 0)),
  (SELECT max(high) FROM segment s WHERE s.pollutant = r.pollutant)
) AS i
FROM reported r;

CREATE TABLE air_index AS
SELECT a.key, a.ends, any_value(district) AS district,
  max(i) FILTER (pollutant = 'so2') AS so2, max(i) FILTER (pollutant = 'no2') AS no2, max(i) FILTER (pollutant = 'pm10') AS pm10,
  max(i) FILTER (pollutant = 'co') AS co, max(i) FILTER (pollutant = 'o3') AS o3, max(i) FILTER (pollutant = 'pm25') AS pm25,
  max(i) AS aqi,
  CASE WHEN aqi <= 50 THEN 'excellent' WHEN aqi <= 100 THEN 'good' WHEN aqi <= 150 THEN 'lightly polluted'
       WHEN aqi <= 200 THEN 'moderately polluted' WHEN aqi <= 300 THEN 'heavily polluted' WHEN aqi > 300 THEN 'severely polluted' END AS level,
  CASE WHEN aqi > 50 THEN array_to_string(list_filter(['so2', 'no2', 'pm10', 'co', 'o3', 'pm25'], lambda p: list_contains(arg_max_null_ties, p)), ', ') END AS primaryPollutant,
  count(i) AS pollutants
FROM (SELECT *, list(pollutant) FILTER (i = top) OVER (PARTITION BY key, ends) AS arg_max_null_ties FROM (SELECT *, max(i) OVER (PARTITION BY key, ends) AS top FROM sub_index)) s
RIGHT JOIN air_24h a ON s.key = a.key AND s.ends = a.ends
GROUP BY a.key, a.ends, arg_max_null_ties;

-- Unhealthy air: an hour of 151 or more begins a hold; three hours in a row at 151 or more fire it, three hours after the first, whatever
-- comes then; a value of 100 or less ends it. An hour without an index is neither. An index row speaks at its end less 1 ms.
CREATE TABLE unhealthy AS
WITH RECURSIVE numbered AS (SELECT *, ends - INTERVAL 1 MILLISECOND AS t, row_number() OVER (PARTITION BY key ORDER BY ends) AS n FROM air_index),
walk AS (
  SELECT key, n, t, 'normal' AS phase, NULL::TIMESTAMP AS since, NULL::BIGINT AS seen, []::STRUCT(state VARCHAR, moment TIMESTAMP, value BIGINT)[] AS says
  FROM (SELECT key, 0::BIGINT AS n, min(t) AS t FROM numbered GROUP BY key)
  UNION ALL
  SELECT key, n, t,
    CASE WHEN held = 'firing' AND aqi < 101 THEN 'normal' WHEN held = 'firing' THEN 'firing' WHEN aqi >= 151 THEN 'pending' WHEN aqi < 151 THEN 'normal' ELSE held END,
    CASE WHEN held = 'normal' AND aqi >= 151 THEN t ELSE since END,
    coalesce(aqi, seen),
    list_concat(
      CASE WHEN phase = 'pending' AND held = 'firing' THEN [{state: 'firing', moment: since + INTERVAL 3 HOUR, value: seen}] ELSE [] END,
      CASE WHEN held = 'normal' AND aqi >= 151 THEN [{state: 'pending', moment: t, value: aqi}] WHEN held = 'firing' AND aqi < 101 THEN [{state: 'resolved', moment: t, value: aqi}] ELSE [] END)
  FROM (
    SELECT w.key, x.n, x.t, x.aqi, w.phase, w.since, w.seen, CASE WHEN w.phase = 'pending' AND x.t >= w.since + INTERVAL 3 HOUR THEN 'firing' ELSE w.phase END AS held
    FROM walk w JOIN numbered x ON x.key = w.key AND x.n = w.n + 1
  )
)
SELECT key, 'unhealthy-air' AS rule, e.state, e.moment, e.value::DOUBLE AS value FROM walk, unnest(says) AS u(e);

-- A silent station: more than two and a half hours without a reading; over with the next. The last readings are followed by silence for good.
CREATE TABLE silent AS
WITH gap AS (SELECT station AS key, t, lead(t) OVER (PARTITION BY station ORDER BY t) AS next FROM reading)
SELECT key, 'silent-station' AS rule, 'firing' AS state, t + INTERVAL 150 MINUTE AS moment, NULL::DOUBLE AS value FROM gap WHERE next IS NULL OR next - t >= INTERVAL 150 MINUTE
UNION ALL
SELECT key, 'silent-station', 'resolved', next, NULL FROM gap WHERE next - t >= INTERVAL 150 MINUTE;

CREATE TABLE alerts AS FROM unhealthy UNION ALL FROM silent;
