// Air quality as a city runs it: running means per station, district and area, the index, two alarms.
import {
  aggregate,
  alert,
  alerts,
  count,
  dedupe,
  duckdb,
  flatMap,
  hopping,
  json,
  last,
  leftJoinTable,
  map,
  max,
  mean,
  merge,
  mqtt,
  pipeline,
  rekey,
  type Stream,
  stream,
  sum,
  table,
  topic,
  tumbling,
  type Window,
} from 'millrace';
import { airQualityIndex, subIndex } from './airQualityIndex.ts';
import { judge } from './plausible.ts';
import { AirReading, type ByPollutant, Station } from './schemas.ts';

const cityAir = topic('city.air', json(AirReading), {
  from: mqtt('city/+city/air/+station', { key: '{station}', eventTime: (r) => r.at }),
});
const stations = table(topic('city.stations', json(Station), { keep: 'compact', seed: 'stations.csv' }));

// ── Readings: each once, the impossible set aside, with the place they come from ──

const readings = stream(cityAir).pipe(
  dedupe('resent', (r) => r.at, { remember: { days: 7 } }),
  leftJoinTable(stations, (reading, station) => ({
    ...judge(reading),
    district: station?.district ?? 'unknown',
    area: station?.area ?? 'unknown',
  })),
);
const rejected = readings.pipe(flatMap((r) => r.rejected.map((rejection) => ({ ...rejection, district: r.district }))));
const measured = readings.pipe(map(({ plausible, district, area }) => ({ ...plausible, district, area })));

// ── Running means per station ──

/** What a mean needs to count: GB 3095-2012, table 4: 6 of 8 hours, 20 of 24. A mean of fewer is none. */
const HOURS_NEEDED = { 8: 6, 24: 20 } as const;

type Measured = ByPollutant & { readonly district: string; readonly area: string };

/** Mean of each pollutant, and in how many hours it was measured. */
const hourly = {
  district: last((r: Measured) => r.district),
  area: last((r: Measured) => r.area),
  readings: count(),
  so2: mean((r: Measured) => r.so2),
  no2: mean((r: Measured) => r.no2),
  pm10: mean((r: Measured) => r.pm10),
  co: mean((r: Measured) => r.co),
  o3: mean((r: Measured) => r.o3),
  pm25: mean((r: Measured) => r.pm25),
  so2Hours: sum((r: Measured) => (r.so2 === null ? 0 : 1)),
  no2Hours: sum((r: Measured) => (r.no2 === null ? 0 : 1)),
  pm10Hours: sum((r: Measured) => (r.pm10 === null ? 0 : 1)),
  coHours: sum((r: Measured) => (r.co === null ? 0 : 1)),
  o3Hours: sum((r: Measured) => (r.o3 === null ? 0 : 1)),
  pm25Hours: sum((r: Measured) => (r.pm25 === null ? 0 : 1)),
};

/** Leaves out the means that too few hours stand behind. */
function complete({ so2Hours, no2Hours, pm10Hours, coHours, o3Hours, pm25Hours, ...row }: Window & HourlyRow, hours: 8 | 24) {
  const enough = (mean: number | null, measuredHours: number) => (measuredHours >= HOURS_NEEDED[hours] ? mean : null);
  return {
    ...row,
    so2: enough(row.so2, so2Hours),
    no2: enough(row.no2, no2Hours),
    pm10: enough(row.pm10, pm10Hours),
    co: enough(row.co, coHours),
    o3: enough(row.o3, o3Hours),
    pm25: enough(row.pm25, pm25Hours),
  };
}
type HourlyRow = { readonly [Name in keyof typeof hourly]: ReturnType<(typeof hourly)[Name]['result']> };

/** Stations send within minutes; who comes later than this is set aside. */
const grace = { minutes: 10 };
const windows8h = measured.pipe(aggregate('air-8h', hopping({ hours: 8 }, { hours: 1 }, { grace }), hourly));
const windows24h = measured.pipe(aggregate('air-24h', hopping({ hours: 24 }, { hours: 1 }, { grace }), hourly));
const air8h = windows8h.pipe(map((r) => complete(r, 8)));
const air24h = windows24h.pipe(map((r) => complete(r, 24)));

// ── Means per district and area: the mean of their stations' means (HJ 663-2013) ──

type StationMeans = Window & Measured;

const overStations = {
  stations: count(),
  so2: mean((r: StationMeans) => r.so2),
  no2: mean((r: StationMeans) => r.no2),
  pm10: mean((r: StationMeans) => r.pm10),
  co: mean((r: StationMeans) => r.co),
  o3: mean((r: StationMeans) => r.o3),
  pm25: mean((r: StationMeans) => r.pm25),
};

/** The windows that end at the same hour meet in that hour; the result says which window it is the mean of. */
const meansOver = (id: string, from: Stream<string, StationMeans>, place: (r: StationMeans) => string, hours: 8 | 24) =>
  from.pipe(
    rekey(id, place),
    aggregate(`${id}-means`, tumbling({ hours: 1 }), overStations),
    map((r) => ({ ...r, startMs: r.endMs - hours * 3_600_000 })),
  );

const district8h = meansOver('district-8h', air8h, (r) => r.district, 8);
const district24h = meansOver('district-24h', air24h, (r) => r.district, 24);
const area24h = meansOver('area-24h', air24h, (r) => r.area, 24);

// ── The index: 24-hour means, ozone 8-hour means, every hour ──

const nothing: ByPollutant = { so2: null, no2: null, pm10: null, co: null, o3: null, pm25: null };

const subIndices = merge(
  air24h.pipe(
    map(({ district, so2, no2, pm10, co, pm25 }) => ({
      district,
      ...nothing,
      so2: subIndex('so2', so2),
      no2: subIndex('no2', no2),
      pm10: subIndex('pm10', pm10),
      co: subIndex('co', co),
      pm25: subIndex('pm25', pm25),
    })),
  ),
  air8h.pipe(map(({ district, o3 }) => ({ district, ...nothing, o3: subIndex('o3', o3) }))),
);
const airIndex = subIndices.pipe(
  aggregate('air-index', tumbling({ hours: 1 }), {
    district: last((r) => r.district),
    so2: max((r) => r.so2),
    no2: max((r) => r.no2),
    pm10: max((r) => r.pm10),
    co: max((r) => r.co),
    o3: max((r) => r.o3),
    pm25: max((r) => r.pm25),
  }),
  map((r) => ({ ...r, ...airQualityIndex(r) })),
);

// ── Alarms ──

/** From level IV on, moderately polluted (HJ 633-2012, table 2), three hours long; over when the air meets the standard again. */
const unhealthyAir = airIndex.pipe(
  alert('unhealthy-air', { when: (r) => r.aqi, above: 151, clearBelow: 101, for: { hours: 3 }, severity: 'high' }),
);
/** Two hourly reports in a row have not come. */
const silentStation = readings.pipe(alert('silent-station', { absentFor: { minutes: 150 }, severity: 'medium' }));

const means = { so2: 'DOUBLE', no2: 'DOUBLE', pm10: 'DOUBLE', co: 'DOUBLE', o3: 'DOUBLE', pm25: 'DOUBLE' };

export default pipeline('smart-city', [
  air8h.to(duckdb('air_8h', { columns: means })),
  air24h.to(duckdb('air_24h', { columns: means })),
  district8h.to(duckdb('district_8h', { columns: means })),
  district24h.to(duckdb('district_24h', { columns: means })),
  area24h.to(duckdb('area_24h', { columns: means })),
  airIndex.to(duckdb('air_index', { columns: { ...means, aqi: 'DOUBLE', level: 'VARCHAR', primaryPollutant: 'VARCHAR' } })),
  rejected.to(duckdb('air_rejected')),
  windows8h.side('late').to(duckdb('air_late', { columns: means })),
  unhealthyAir.to(alerts()),
  silentStation.to(alerts()),
]);
