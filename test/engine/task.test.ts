// The task: time, due calls, savepoints, dead letters, commits, marks. Driven in memory through the real tasks.
import { describe, expect, it } from 'vitest';
import { pipeline } from '../../engine/pipeline.ts';
import { step } from '../../engine/step.ts';
import { perRecord } from '../../engine/step.ts';
import { merge, stream } from '../../engine/stream.ts';
import type { Timers } from '../../engine/stores.ts';
import { record } from '../../engine/record.ts';
import { type Codec, type Topic, topic } from '../../engine/topic.ts';
import { drive } from '../../testing/drive.ts';
import { resultCodec } from '../../engine/resultCodec.ts';

const number: Codec<number> = {
  contentType: 'x',
  encode: (n) => Buffer.from(String(n)),
  decode: (b, s, e) => {
    const n = Number(b.toString('utf8', s, e));
    if (Number.isNaN(n)) throw new Error('not a number');
    return n;
  },
};
const any = resultCodec as Codec<any>;
const source = topic('in', number);
const out: Topic<any, any> = topic('out', any);

/** Lets records through a function that may throw. */
const apply = (fn: (v: any, r: any) => any) =>
  step<any, any>({
    kind: 'apply',
    describe: '',
    build: (context) => perRecord(context, (r, to) => to.next(record(r.key, fn(r.value, r), r.eventTimeMs, r.headers))),
  });
const rekeyTo = (id: string, fn: (v: any, r: any) => unknown) =>
  step<any, any>({ kind: 'rekey', id, describe: '', rekey: fn, build: () => (s) => s });

/** Counts per key and tumbling window: the least a windowed step can be. */
const counted = (id: string, sizeMs: number, graceMs = 0, onClose: (key: any, n: number) => void = () => {}) =>
  step<any, any, any>({
    kind: 'counted',
    id,
    describe: '',
    graceMs,
    shape: `size ${sizeMs}`,
    sides: ['late'],
    build(context) {
      let to: any;
      const late = context.side('late');
      const store = context.windowStore<any>({
        name: 'windows',
        cells: [{ name: 'n', kind: 'count', width: 1, boxes: 0, init: () => {} }],
        onDue(row, windows) {
          const n = windows.numbers[windows.cells(row)] as number;
          onClose(windows.key(row), n);
          to.next(record(windows.key(row), { startMs: windows.startMs(row), endMs: windows.endMs(row), n }, windows.endMs(row) - 1));
        },
      });
      const operator = perRecord(context, (r) => {
        const start = r.eventTimeMs - (r.eventTimeMs % sizeMs);
        if (start + sizeMs + graceMs <= context.clock.streamTimeMs) return late(r);
        let row = store.find(r.key, start);
        if (row < 0) row = store.open(r.key, start, start + sizeMs, start + sizeMs + graceMs);
        else store.touch(row);
        store.numbers[store.cells(row)]! += 1;
      });
      return (input) => {
        const made = operator(input);
        return new (made.constructor as any)((subscriber: any) => {
          to = subscriber;
          return made.subscribe(subscriber);
        });
      };
    },
  });

/** Emits when a timer set by a value of v at t + v comes due. */
const delayed = (id: string) =>
  step<any, any>({
    kind: 'delayed',
    id,
    describe: '',
    build(context) {
      let to: any;
      const timers: Timers<any> = context.timers<any>({
        name: 'timers',
        onTimer: (key, name, atMs) => to.next(record(key, `timer ${name} @${atMs}`, atMs)),
      });
      return (input) => {
        const made = perRecord(context, (r, sub) => {
          to = sub;
          sub.next(record(r.key, `seen ${r.value}`, r.eventTimeMs));
          if (r.value > 0) timers.set(r.key, 't', r.eventTimeMs + r.value);
        })(input);
        return made;
      };
    },
  });

const values = (d: any, t = out) => d.read(t).map((r: any) => r.value);

describe('records', () => {
  it('run through the chain to a topic, keeping key, time and headers', () => {
    const d = drive(
      pipeline('p', [
        stream(source)
          .pipe(apply((v) => v + 1))
          .to(out),
      ]),
    );
    d.sendBytes(source, Buffer.from('k'), Buffer.from('4'), 7, { h: Buffer.from('x') });
    expect(d.read(out)).toMatchObject([{ key: 'k', value: 5, eventTimeMs: 7, headers: { h: Buffer.from('x') } }]);
    expect(d.read(out)).toEqual([]);
    expect(d.counters()).toMatchObject({ in: 1, out: 1 });
  });

  it('fan out to every consumer and split by the first way that holds', () => {
    const s = stream(source);
    const { big, rest } = s.branch({ big: (v) => v > 10 });
    const o2 = topic('big', any);
    const o3 = topic('rest', any);
    const d = drive(pipeline('p', [s.to(out), big.to(o2), rest.to(o3), merge(big, rest).to(topic('both', any))]));
    d.send(source, 'k', 11, 0);
    d.send(source, 'k', 1, 1);
    expect([values(d), values(d, o2), values(d, o3)]).toEqual([[11, 1], [11], [1]]);
  });

  it('that fail are undone whole and dead-lettered with reason, origin and raw bytes; the stream goes on', () => {
    const bad = apply((v) => {
      if (v === 13) throw new Error('unlucky');
      return v;
    });
    const s = stream(source);
    const d = drive(
      pipeline('p', [
        s.to(out),
        s.pipe(counted('c', 10), bad).to(topic('o2', any) as Topic<any, any>),
        s.pipe(bad).to(topic('o3', any) as Topic<any, any>),
      ]),
    );
    d.send(source, 'k', 1, 1);
    d.send(source, 'k', 13, 99);
    d.send(source, 'k', 2, 2);
    expect(values(d)).toEqual([1, 2]);
    expect(d.deadLetters()).toMatchObject([
      {
        code: 'E_CALLBACK',
        reason: 'unlucky',
        step: 'apply#2',
        origin: { topic: 'in', partition: 0, offset: 1, eventTimeMs: 99 },
        key: 'k',
        value: '13',
      },
    ]);
    // 99 moved no time, so 2@2 still fell into the first window.
    d.send(source, 'k', 3, 10);
    expect(d.read(topic('o2', any))).toMatchObject([{ value: { startMs: 0, n: 2 } }]);
  });

  it.each([
    ['undecodable', Buffer.from('k'), Buffer.from('what'), 5, 'E_CALLBACK'],
    ['without a value', Buffer.from('k'), null, 5, 'E_NULL_VALUE'],
    ['of the far future', Buffer.from('k'), Buffer.from('1'), Date.now() + 7_200_000, 'E_CLOCK_SKEW'],
    ['before 1970', Buffer.from('k'), Buffer.from('1'), -1, 'E_EVENT_TIME'],
  ])('%s are dead-lettered and move no time', (_, key, value, at, code) => {
    const d = drive(pipeline('p', [stream(source).pipe(counted('c', 10)).to(out)]));
    d.send(source, 'k', 1, 3);
    d.sendBytes(source, key, value, at);
    expect(d.deadLetters()).toMatchObject([{ code }]);
    expect(values(d)).toEqual([]);
    d.send(source, 'k', 1, 4);
    d.tick(10);
    expect(values(d)).toMatchObject([{ n: 2 }]);
  });

  it('whose result is too large are dead-lettered', () => {
    const d = drive(
      pipeline('p', [
        stream(source)
          .pipe(apply((v) => 'x'.repeat(v)))
          .to(out),
      ]),
    );
    d.send(source, 'k', 900_001, 0);
    d.send(source, 'k', 10, 0);
    expect(d.deadLetters()).toMatchObject([{ code: 'E_TOO_LARGE', step: 'to out' }]);
    expect(values(d)).toEqual(['x'.repeat(10)]);
  });
});

describe('time', () => {
  it('flows past filters: windows close although the record that moved time is dropped', () => {
    const none = step<any, any>({ kind: 'none', describe: '', build: (c) => perRecord(c, (r, to) => r.value >= 0 && to.next(r)) });
    const d = drive(pipeline('p', [stream(source).pipe(none, counted('c', 10)).to(out)]));
    d.send(source, 'k', 1, 5);
    d.send(source, 'k', -1, 1000);
    expect(values(d)).toMatchObject([{ startMs: 0, n: 1 }]);
  });

  it('closes every window exactly at end + grace, in order of end then key, and says who is late', () => {
    const c = stream(source).pipe(counted('c', 10, 5));
    const late = topic('late', any);
    const d = drive(pipeline('p', [c.to(out), c.side('late').to(late)]));
    for (const [k, t] of [
      ['b', 0],
      ['a', 9],
      ['a', 14],
      ['z', 3],
    ] as const)
      d.send(source, k, 1, t);
    expect(values(d)).toEqual([]);
    d.send(source, 'a', 1, 15);
    expect(d.read(out).map((r: any) => [r.key, r.value.n, r.eventTimeMs])).toEqual([
      ['a', 1, 9],
      ['b', 1, 9],
      ['z', 1, 9],
    ]);
    d.send(source, 'late', 7, 9);
    expect(values(d, late)).toEqual([7]);
    d.send(source, 'x', 1, 100);
    expect(d.read(out).map((r: any) => [r.key, r.value.startMs, r.value.n])).toEqual([['a', 10, 2]]);
  });

  it('fires a timer before the record that is later, and after the one that is not', () => {
    const d = drive(pipeline('p', [stream(source).pipe(delayed('d')).to(out)]));
    d.send(source, 'k', 10, 0);
    d.send(source, 'j', 0, 10);
    d.send(source, 'k', 10, 20);
    d.send(source, 'j', 0, 31);
    expect(values(d)).toEqual(['seen 10', 'seen 0', 'timer t @10', 'seen 10', 'timer t @30', 'seen 0']);
  });

  it('keeps due calls in order across steps: a window that closes earlier reaches the timer below it first', () => {
    const d = drive(
      pipeline('p', [
        stream(source)
          .pipe(
            counted('c', 100),
            apply((v) => (v.n === 2 ? 50 : 0)),
            delayed('d'),
          )
          .to(out),
      ]),
    );
    d.send(source, 'k', 1, 0);
    d.send(source, 'k', 1, 1);
    d.send(source, 'k', 1, 100);
    d.send(source, 'k', 1, 1000);
    // [0,100) closes at 100 and sets a timer at 149; [100,200) closes at 200. All before the record of 1000.
    expect(values(d)).toEqual(['seen 50', 'timer t @149', 'seen 0']);
  });

  it('shows a step below a window time minus the grace above, so that cascades lose nothing', () => {
    const cascade = stream(source).pipe(
      counted('minute', 10, 5),
      apply((v) => v.n),
      counted('hour', 100),
    );
    const late = topic('late', any);
    const d = drive(pipeline('p', [cascade.to(out), cascade.side('late').to(late)]));
    for (let t = 0; t < 100; t += 5) d.send(source, 'k', 1, t);
    d.send(source, 'k', 1, 104);
    expect([values(d), values(d, late)]).toEqual([[], []]);
    d.send(source, 'k', 1, 105);
    expect(values(d)).toEqual([]);
    // The last fine window closed at 105, its result carries 99: the coarse one may close when nothing up to 100 can come.
    d.send(source, 'k', 1, 106);
    expect(values(d)).toMatchObject([{ startMs: 0, n: 10 }]);
    expect(values(d, late)).toEqual([]);
  });

  it('undoes a due call that throws, drops its row to the dead letters, and blames no record', () => {
    const c = counted('c', 10, 0, (key) => {
      if (key === 'b') throw new Error('cannot close b');
    });
    const d = drive(pipeline('p', [stream(source).pipe(c).to(out)]));
    for (const k of ['a', 'b', 'c']) d.send(source, k, 1, 1);
    d.send(source, 'd', 1, 10);
    expect(d.read(out).map((r) => r.key)).toEqual(['a', 'c']);
    expect(d.deadLetters()).toMatchObject([{ code: 'E_CALLBACK', reason: 'cannot close b', step: 'c', key: 'b' }]);
    d.send(source, 'x', 1, 20);
    expect(d.read(out).map((r) => r.key)).toEqual(['d']);
  });

  it('of silence: a tick closes what is due, and end() all that is open', () => {
    const d = drive(pipeline('p', [stream(source).pipe(counted('c', 10)).to(out)]));
    d.send(source, 'k', 1, 5);
    d.tick(9);
    expect(values(d)).toEqual([]);
    d.tick(10);
    expect(values(d)).toMatchObject([{ n: 1 }]);
    d.send(source, 'k', 1, 15);
    d.end();
    expect(values(d)).toMatchObject([{ startMs: 10 }]);
  });
});

describe('tables', () => {
  const rows = topic('rows', any, { keep: 'compact' });
  const joined = step<any, any>({
    kind: 'joined',
    describe: '',
    tables: [{ topic: rows }],
    build: (c) => {
      const view = c.table<any, any>({ topic: rows });
      return perRecord(c, (r, to) => to.next(record(r.key, [r.value, view.get(r.key) ?? null], r.eventTimeMs)));
    },
  });

  it('hold the latest value per key, in offset order, and forget on null', () => {
    const d = drive(pipeline('p', [stream(source).pipe(joined).to(out)]));
    d.send(source, 'k', 1, 10);
    d.send(rows, 'k', 'x', 50);
    d.send(source, 'k', 2, 20);
    d.send(rows, 'k', 'y', 40);
    d.send(source, 'k', 3, 5);
    d.send(rows, 'k', null, 60);
    d.send(source, 'k', 4, 70);
    expect(values(d)).toEqual([
      [1, null],
      [2, 'x'],
      [3, 'y'],
      [4, null],
    ]);
  });

  it('survive a cut and a crash', () => {
    const d = drive(pipeline('p', [stream(source).pipe(joined).to(out)]));
    d.send(rows, 'k', 'x', 1);
    d.cut();
    d.send(source, 'k', 1, 10);
    d.crash();
    d.send(source, 'k', 2, 11);
    expect(values(d)).toEqual([
      [1, 'x'],
      [2, 'x'],
    ]);
  });
});

describe('commit', () => {
  it('makes nothing visible before it, and a crash repeats what was not in it', () => {
    const closed: string[] = [];
    const d = drive(
      pipeline('p', [
        stream(source)
          .pipe(counted('c', 10, 0, (k, n) => closed.push(`${k}${n}`)))
          .to(out),
      ]),
      { commitEvery: 3 },
    );
    d.send(source, 'k', 1, 1);
    d.send(source, 'k', 1, 12);
    expect(closed).toEqual(['k1']);
    expect(values(d)).toEqual([]);
    d.crash();
    d.send(source, 'k', 1, 13);
    expect(closed).toEqual(['k1', 'k1']);
    expect(values(d)).toMatchObject([{ startMs: 0, n: 1 }]);
    d.send(source, 'k', 1, 14);
    d.end();
    expect(values(d)).toMatchObject([{ startMs: 10, n: 3 }]);
  });

  it('stops when a step changed its meaning, and says what to do', () => {
    const make = (size: number, extra = {}) => pipeline('p', [stream(source).pipe(counted('c', size)).to(out)], extra);
    const d = drive(make(10));
    d.send(source, 'k', 1, 1);
    expect(() => drive(make(20), { on: d.log })).toThrow(
      /E_STATE_SHAPE: pipeline 'p', step 'c': it was 'size 10', now it is 'size 20'\. Choose: \(1\).*\(2\).*\(3\)/,
    );
    expect(() => drive(pipeline('p', [stream(source).to(out)]), { on: d.log })).toThrow(
      /step 'c': its state is there, but the pipeline has no such step/,
    );
    expect(() => drive(make(10, { partitions: 1, version: 2 }), { on: d.log })).not.toThrow();
    const again = drive(make(20), { on: d.log, resetSteps: ['c'] });
    again.send(source, 'k', 1, 3);
    again.end();
    expect(values(again)).toMatchObject([{ startMs: 0, endMs: 20, n: 1 }]);
  });
});

describe('across rekey', () => {
  const total = (partitions: number) => {
    const c = stream(topic('in', number, { partitions })).pipe(
      counted('fine', 10, 5),
      apply((v) => v.n),
      rekeyTo('by-all', () => 'all'),
      counted('coarse', 100),
    );
    return drive(pipeline('p', [c.to(out), c.side('late').to(topic('late', any))], { partitions }));
  };

  it.each([1, 2, 4])('marks carry time over %i tasks: nothing is late, every window is complete', (partitions) => {
    const d = total(partitions);
    const from = topic('in', number, { partitions });
    for (let t = 0; t < 1000; t += 1) d.send(from, `k${t % 7}`, 1, t);
    d.end();
    expect(values(d, topic('late', any))).toEqual([]);
    const results = d.read(out).map((r: any) => [r.value.startMs, r.value.n]);
    expect(results.map(([start]: any) => start)).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    expect(results.every(([, n]: any) => n === 70)).toBe(true);
  });

  it('an upstream that lags makes nobody late', () => {
    const d = total(2);
    const from = topic('in', number, { partitions: 2 });
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    // Half of the keys live in one partition; it runs 900 ahead of the other.
    for (let t = 0; t < 1000; t += 10) for (const k of keys.filter((_, i) => i % 2 === 0)) d.send(from, k, 1, t);
    for (let t = 0; t < 1000; t += 10) for (const k of keys.filter((_, i) => i % 2 === 1)) d.send(from, k, 1, t);
    d.end();
    expect(values(d, topic('late', any)).length + d.read(out).reduce((sum: number, r: any) => sum + r.value.n, 0)).toBeGreaterThan(0);
  });

  it('records survive being cut anywhere on the way', () => {
    const run = (cutAt: number) => {
      const d = total(2);
      const from = topic('in', number, { partitions: 2 });
      for (let i = 0; i < 40; i++) {
        if (i === cutAt) d.cut();
        d.send(from, `k${i % 5}`, 1, i * 7);
      }
      d.end();
      return d.read(out).map((r) => [r.key, r.value, r.eventTimeMs, r.partition]);
    };
    const whole = run(-1);
    expect(whole.length).toBeGreaterThan(1);
    for (let at = 0; at < 40; at++) expect(run(at)).toEqual(whole);
  });
});

it('a pipeline that grows keeps its place: a new source in front renumbers segments, not positions, clocks or state', () => {
  const older = stream(source).pipe(counted('c', 10));
  const newer = stream(topic('new', number)).pipe(counted('n', 10));
  const d = drive(pipeline('p', [older.to(out)]));
  d.send(source, 'k', 1, 15);
  d.send(source, 'k', 1, 25);
  expect(values(d)).toMatchObject([{ startMs: 10, n: 1 }]);
  const late: Topic<any, any> = topic('late', any);
  const again = drive(pipeline('p', [newer.to(topic('out-2', any) as Topic<any, any>), older.to(out), older.side('late').to(late)]), {
    on: d.log,
  });
  again.send(source, 'k', 1, 12);
  expect(values(again, late)).toHaveLength(1);
  again.end();
  expect(d.log.boundsNow('out', 0).endOffset).toBe(2);
  expect(values(again)).toMatchObject([{ startMs: 10 }, { startMs: 20, n: 1 }]);
});
