// Every line under @ts-expect-error is a mistake that must not compile. Compiled by types.test.ts, never run.
// biome-ignore-all format: a mistake and its comment belong on neighbouring lines
import {
  aggregate,
  alert,
  alerts,
  count,
  dedupe,
  duckdb,
  filter,
  flatMap,
  hopping,
  joinTable,
  json,
  last,
  leftJoinTable,
  map,
  mean,
  mqtt,
  pipeline,
  rekey,
  rx,
  stream,
  table,
  topic,
  topicBy,
  tumbling,
} from 'millrace';
import { map as rxMap } from 'rxjs';
import { z } from 'zod';

const a = stream(topic('a', json(z.object({ pm25: z.number(), zone: z.string(), noise: z.number().optional() }))));
const rows = table(topic('t', json(z.object({ limit: z.number() }))));
const numberRows = table(topicBy(json(z.number()), 'tn', json(z.object({ limit: z.number() }))));
const out = topic('out', json(z.object({ pm25: z.number() })));
const minute = tumbling({ minutes: 1 });

// @ts-expect-error schema change: no such field
a.pipe(filter((r) => r.pm10 > 1));
// @ts-expect-error field lost by map is gone downstream
a.pipe(map((r) => ({ z: r.zone })), filter((r) => r.pm25 > 1));
// @ts-expect-error the values of flatMap's array, not the array
a.pipe(flatMap((r) => [r.zone]), map((v) => v.pm25));
// @ts-expect-error flatMap needs an iterable
a.pipe(flatMap((r) => r.pm25));
// @ts-expect-error aggregator over a field that is not there
a.pipe(aggregate('x', minute, { p: mean((r) => r.pm10), n: count() }));
// @ts-expect-error aggregator must return a number
a.pipe(aggregate('x', minute, { p: mean((r) => r.zone) }));
// @ts-expect-error a mean that may be without an observation may be null
a.pipe(aggregate('x', minute, { p: mean((r) => r.noise) }), map((w) => w.p + 1));
// @ts-expect-error so may a last
a.pipe(aggregate('x', minute, { p: last((r) => r.noise) }), map((w) => w.p + 1));
// @ts-expect-error an aggregate has an id
a.pipe(aggregate(minute, { n: count() }));
// @ts-expect-error the result has the fields of the aggregators, no others
a.pipe(aggregate('x', minute, { n: count() }), map((w) => w.m));
// @ts-expect-error left join row may be undefined
a.pipe(leftJoinTable(rows, (r, row) => r.pm25 > row.limit));
// @ts-expect-error table keyed by number, stream keyed by string
a.pipe(joinTable(numberRows, (r, row) => r.pm25 > row.limit));
// @ts-expect-error result does not fit the topic
a.pipe(map((r) => ({ zone: r.zone }))).to(out);
// @ts-expect-error not an alert event
a.to(alerts());
// @ts-expect-error no such side output
a.pipe(aggregate('x', minute, { n: count() })).side('lost');
// @ts-expect-error a step without sides has none
a.pipe(filter(() => true)).side('late');
// @ts-expect-error the sides are those of the last step
a.pipe(aggregate('x', minute, { n: count() }), filter(() => true)).side('late');
// @ts-expect-error a table row must be an object
a.pipe(map((r) => r.pm25)).to(duckdb('x'));
// @ts-expect-error alert callback sees the value's type
a.pipe(alert('x', { when: (r) => r.pm10, above: 1 }));
// @ts-expect-error an alert on a limit needs a number
a.pipe(alert('x', { when: (r) => r.zone, above: 1 }));
// @ts-expect-error a limit and silence are two alarms
a.pipe(alert('x', { when: (r) => r.pm25, above: 1, absentFor: { hours: 1 } }));
// @ts-expect-error a limit needs a reading
a.pipe(alert('x', { above: 1 }));
// @ts-expect-error dedupe goes by text or number
a.pipe(dedupe('x', (r) => r));
// @ts-expect-error hopping needs an advance
hopping({ minutes: 1 });
// @ts-expect-error rx sees the value's type
a.pipe(rx((values) => values.pipe(rxMap((r) => r.pm10))));
// @ts-expect-error event time from a field that is not there
topic('m', json(z.object({ at: z.number() })), { from: mqtt('m/+device', { key: '{device}', eventTime: (r) => r.when }) });
// @ts-expect-error a stream is no output
pipeline('p', [a]);
// @ts-expect-error json needs a Standard Schema
json({ pm25: 'number' });

// These must compile: rekey to a number, then join by number; a value of any object for a table of results.
a.pipe(
  rekey('k', (r) => Math.round(r.pm25)),
  joinTable(numberRows, (r, row) => r.pm25 > row.limit),
);
a.to(duckdb('all'));
