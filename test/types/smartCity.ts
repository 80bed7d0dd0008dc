// A pipeline without one annotation, and the types that are inferred for it. Compiled by types.test.ts, never run.
import { mergeMap, filter as rxFilter, map as rxMap } from 'rxjs';
import { z } from 'zod';
import {
  type AlertEvent,
  aggregate,
  alert,
  alerts,
  count,
  dedupe,
  duckdb,
  filter,
  first,
  flatMap,
  hopping,
  joinTable,
  json,
  last,
  leftJoinTable,
  map,
  max,
  mean,
  merge,
  min,
  mqtt,
  peek,
  pipeline,
  rekey,
  rx,
  type Stream,
  stream,
  sum,
  table,
  topic,
  tumbling,
  variance,
  type Window,
} from 'millrace';
import { drive } from 'millrace/testing';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
// Its argument compiles only when the two types are the same.
const same = <A, B>(...equal: Equal<A, B>[]): void => void equal;

const AirReading = z.object({
  at: z.iso.datetime(),
  pm25: z.number(),
  tempC: z.number(),
  noise: z.number().optional(),
  samples: z.array(z.number()),
});
const Sensor = z.object({ district: z.string(), lat: z.number(), lon: z.number() });
const Air5m = z.object({ startMs: z.number(), endMs: z.number(), pm25: z.number(), worst: z.number(), readings: z.number() });

const cityAir = topic('city.air', json(AirReading), {
  from: mqtt('city/+zone/air/+device', { key: '{zone}/{device}', eventTime: (r) => r.at }),
});
const sensorsTopic = topic('city.sensors', json(Sensor), { keep: 'compact', seed: 'sensors.csv' });
const air5m = topic('city.air.5m', json(Air5m));

const readings = stream(cityAir);
const sensors = table(sensorsTopic);

const located = readings.pipe(
  filter((r) => r.pm25 >= 0 && r.pm25 < 1000),
  dedupe('once', (r) => r.at, { remember: { hours: 1 } }),
  peek((r, record) => void [r.tempC, record.eventTimeMs]),
  leftJoinTable(sensors, (reading, sensor) => ({ ...reading, district: sensor?.district ?? 'unknown' })),
);

const byDistrict = located.pipe(
  rekey('by-district', (r) => r.district),
  aggregate('air-5m', tumbling({ minutes: 5 }, { grace: { seconds: 30 } }), {
    pm25: mean((r) => r.pm25),
    worst: max((r) => r.pm25),
    readings: count(),
  }),
);

const mixed = located.pipe(
  aggregate('mixed', hopping({ minutes: 1 }, { seconds: 10 }, { emit: 'updates' }), {
    district: last((r) => r.district),
    n: count(),
    who: first((r) => ({ p: r.pm25 })),
    noise: mean((r) => r.noise),
    quiet: min((r) => (r.pm25 < 0 ? null : r.pm25)),
    spread: variance((r) => r.noise),
    total: sum((r) => r.noise),
    maybe: last((r) => r.noise),
  }),
);

const { hot, cold, rest } = located.branch({ hot: (r) => r.tempC > 30, cold: (r) => r.tempC < 0 });
const both = merge(hot, cold);

const inner = readings.pipe(joinTable(sensors, (r, s) => ({ x: s.lat + r.pm25 })));
const many = located.pipe(
  flatMap((r) => r.samples.map((s) => ({ s, over: s > 55 }))),
  rx((values) =>
    values.pipe(
      rxFilter((v) => v.over),
      mergeMap((v) => [v.s, v.s * 2]),
      rxMap((n) => ({ n })),
    ),
  ),
  filter((v) => v.n > 1),
  map((v, record) => ({ id: record.key, ...v })),
);

const alarms = located.pipe(
  alert('unhealthy-air', { when: (r) => r.pm25, above: 55, clearBelow: 45, for: { minutes: 10 }, severity: 'high' }),
);
const noisy = located.pipe(alert('noisy', { when: (r) => r.noise, above: 80 }));
const silent = located.pipe(alert('silent', { absentFor: { hours: 3 } }));

/** A whole pipeline: every target takes what is sent to it. */
export const city = pipeline('smart-city', [
  byDistrict.to(duckdb('air_5m', { keep: { days: 90 } })),
  byDistrict.to(air5m),
  byDistrict.side('late').to(duckdb('air_late')),
  mixed.to(duckdb('mixed')),
  many.to(duckdb('many')),
  inner.to(duckdb('inner')),
  rest.to(duckdb('rest')),
  both.to(duckdb('both')),
  merge(alarms, noisy, silent).to(alerts()),
]);

type Reading = z.infer<typeof AirReading>;
same<typeof readings, Stream<string, Reading>>(true);
const checks = {
  located: located satisfies Stream<string, Reading & { district: string }>,
  byDistrict: byDistrict satisfies Stream<string, Window & { pm25: number; worst: number; readings: number }>,
  many: many satisfies Stream<string, { id: string; n: number }>,
  both: both satisfies Stream<string, { district: string }>,
  alarms: alarms satisfies Stream<string, AlertEvent>,
};
type ValueOf<S> = S extends Stream<string, infer V> ? V : never;
type Mixed = ValueOf<typeof mixed>;
same<Mixed['district'], string>(true);
same<Mixed['who'], { p: number }>(true);
same<Mixed['noise'], number | null>(true);
same<Mixed['quiet'], number | null>(true);
same<Mixed['spread'], number | null>(true);
same<Mixed['total'], number>(true);
same<Mixed['maybe'], number | null>(true);
same<Mixed['n'], number>(true);
same<Mixed['startMs'], number>(true);
same<ValueOf<typeof byDistrict>['pm25'], number>(true);
same<ValueOf<typeof inner>, { x: number }>(true);
const late: Stream<string, Reading & { district: string }> = byDistrict.side('late');

// The driver is typed by the topic.
const driver = drive(city);
driver.send(cityAir, 'north/s1', { at: '2026-01-01T00:00:00Z', pm25: 1, tempC: 2, samples: [] }, 0);
// @ts-expect-error wrong value for the topic
driver.send(cityAir, 'north/s1', { pm25: '1' }, 0);
const worst: number | undefined = driver.read(air5m)[0]?.value?.worst;
void [checks, late, worst];
