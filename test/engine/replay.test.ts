// A replay gives the same results to the byte: order of inputs, ticks and marks come from the journal.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aggregate, alert, count, filter, leftJoinTable, max, rekey, tumbling } from '../../operators/index.ts';
import { pipeline } from '../../engine/pipeline.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import { merge, stream, table } from '../../engine/stream.ts';
import { type Codec, topic } from '../../engine/topic.ts';
import { type Driver, drive } from '../../testing/drive.ts';

interface Reading {
  readonly zone: string;
  readonly v: number;
}
const codec = resultCodec as Codec<Reading>;
const any = resultCodec as Codec<any>;

function city(partitions: number) {
  const a = topic('a', codec, { partitions });
  const b = topic('b', codec, { partitions });
  const limits = topic('limits', any, { keep: 'compact', partitions });
  const all = merge(stream(a), stream(b)).pipe(
    filter((r) => r.v > 0),
    leftJoinTable(table(limits), (r, limit) => ({ ...r, limit: (limit as { at: number } | undefined)?.at ?? 50 })),
  );
  const byDevice = all.pipe(aggregate('by-device', tumbling({ ms: 50 }, { grace: { ms: 20 } }), { n: count(), top: max((r) => r.v) }));
  const byZone = all.pipe(
    rekey('zone', (r) => r.zone),
    aggregate('by-zone', tumbling({ ms: 100 }), { n: count(), top: max((r) => r.v) }),
  );
  const silent = all.pipe(alert('silent', { absentFor: { ms: 70 }, when: (r: Reading) => r.v } as never));
  const outs = ['device', 'zone', 'late', 'alarm'].map((name) => topic(name, any));
  const p = pipeline(
    'city',
    [byDevice.to(outs[0] as never), byZone.to(outs[1] as never), byDevice.side('late').to(outs[2] as never), silent.to(outs[3] as never)],
    { partitions },
  );
  return { a, b, limits, outs, p };
}

const everything = (d: Driver, outs: ReturnType<typeof city>['outs']) =>
  outs.map((t) => d.read(t).map((r) => [r.partition, r.key, r.value, r.eventTimeMs]));

describe('replay', () => {
  it.each([1, 3])('of %i tasks with two inputs, a table, a rekey, ticks and cuts equals the first run', (partitions) => {
    const action = fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          kind: fc.constantFrom('a', 'b'),
          key: fc.integer({ min: 0, max: 5 }),
          v: fc.integer({ min: -1, max: 90 }),
          dt: fc.integer({ min: -30, max: 40 }),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constant('limits'),
          key: fc.integer({ min: 0, max: 5 }),
          v: fc.integer({ min: 1, max: 9 }),
          dt: fc.constant(0),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          kind: fc.constantFrom('tick', 'cut', 'crash'),
          key: fc.constant(0),
          v: fc.constant(0),
          dt: fc.integer({ min: 0, max: 200 }),
        }),
      },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (actions, commitEvery) => {
        const { a, b, limits, outs, p } = city(partitions);
        const d = drive(p, { commitEvery });
        let now = 1_000;
        for (const { kind, key, v, dt } of actions) {
          now += Math.max(0, dt);
          const at = Math.max(0, now + Math.min(0, dt));
          if (kind === 'tick') d.tick(now);
          else if (kind === 'cut') d.cut();
          else if (kind === 'crash') d.crash();
          else if (kind === 'limits') d.send(limits, `d${key}`, { at: v }, at);
          else d.send(kind === 'a' ? a : b, `d${key}`, { zone: `z${key % 2}`, v }, at);
        }
        d.end();
        const first = everything(d, outs);
        const again = drive(p, { replayOf: d });
        again.settle();
        expect(everything(again, outs)).toEqual(first);
      }),
      { numRuns: 150 },
    );
  });
});
