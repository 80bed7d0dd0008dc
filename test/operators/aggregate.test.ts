// aggregate: owed cases, an oracle that computes every window from scratch, and cuts anywhere.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aggregate, count, first, hopping, last, map, max, mean, min, sum, tumbling, variance, type Windowing } from '../../index.ts';
import { type Build, codes, type Event, expectCutAnywhere, run, type RunOptions, series } from './series.ts';

const counted =
  (windows: Windowing): Build =>
  (s) =>
    s.pipe(aggregate('n', windows, { n: count() }));
const tumbling10 = counted(tumbling({ seconds: 10 }));
const short = (lines: readonly string[]) =>
  lines.map((line) => line.replace(/=\{"startMs":(\d+),"endMs":(\d+),(.*)\}$/, (_all, a, b, rest) => ` [${a / 1000},${b / 1000}) ${rest}`));
const out = (build: Build, lines: readonly string[], options?: RunOptions) => short(run(build, series(...lines), options).out);

describe('owed cases', () => {
  it('empty', () => expect(out(tumbling10, [])).toEqual([]));
  it('one', () => expect(out(tumbling10, ['d1 3s=1'])).toEqual(['d1 9.999s [0,10) "n":1']));
  it('many', () =>
    expect(out(tumbling10, ['d1 0s=1 9.999s=1 10s=1 35s=1'])).toEqual([
      'd1 9.999s [0,10) "n":2',
      'd1 19.999s [10,20) "n":1',
      'd1 39.999s [30,40) "n":1',
    ]));
  it('two keys interleaved', () =>
    expect(out(tumbling10, ['d1 0s=1 2s=1', 'd2 1s=1'])).toEqual(['d1 9.999s [0,10) "n":2', 'd2 9.999s [0,10) "n":1']));
  it('a duplicate counts twice', () => expect(out(tumbling10, ['d1 0s=1 0s=1'])).toEqual(['d1 9.999s [0,10) "n":2']));
  it('out of order within the window', () => expect(out(tumbling10, ['d1 5s=1 1s=1'])).toEqual(['d1 9.999s [0,10) "n":2']));
  it('nothing is emitted before the window closes', () => expect(out(tumbling10, ['d1 0s=1 9.999s=1'], { end: false })).toEqual([]));
  it('the record that closes a window at its end comes into the next', () =>
    expect(out(tumbling10, ['d1 0s=1 10s=1'], { end: false })).toEqual(['d1 9.999s [0,10) "n":1']));

  it.each([
    ['1 ms before grace ends it counts', '14.999s', ['d1 9.999s [0,10) "n":2'], []],
    ['when grace ends it is late', '15s', ['d1 9.999s [0,10) "n":1'], ['d1 5s=7']],
    ['1 ms after grace it is late', '15.001s', ['d1 9.999s [0,10) "n":1'], ['d1 5s=7']],
  ])('late: %s', (_name, at, expected, side) => {
    const outcome = run(
      counted(tumbling({ seconds: 10 }, { grace: { seconds: 5 } })),
      series('d1 0s=1', `d2 ${at}=1`, 'd1 15.002s=1').toSpliced(2, 0, ...series('d1 5s=7')),
      { side: 'late' },
    );
    expect(short(outcome.out).filter((line) => line.includes('[0,10)'))).toEqual(expected);
    expect(outcome.side).toEqual(side);
    expect(outcome.counters['step/n/late_windows'] ?? 0).toBe(side.length);
    expect(outcome.counters['step/n/late_records'] ?? 0).toBe(side.length);
  });

  it('a record that is late for some of its windows goes to the side once and into the others', () => {
    const outcome = run(counted(hopping({ seconds: 10 }, { seconds: 2 })), series('d1 13s=1 7s=1'), { side: 'late' });
    expect(outcome.side).toEqual(['d1 7s=1']);
    expect(outcome.counters).toMatchObject({ 'step/n/late_windows': 2, 'step/n/late_records': 1 });
    expect(short(outcome.out)).toContain('d1 13.999s [4,14) "n":2');
  });

  it('no key: dead letter, and time stands still', () => {
    const outcome = run(tumbling10, series('d1 0s=1', '- 50s=1').concat(series('d1 1s=1')));
    expect(codes(outcome)).toEqual(['E_NULL_KEY']);
    expect(short(outcome.out)).toEqual(['d1 9.999s [0,10) "n":2']);
  });

  it('no value: dead letter, and time stands still', () => {
    const outcome = run(tumbling10, [...series('d1 0s=1 50s=null'), ...series('d1 1s=1')]);
    expect(codes(outcome)).toEqual(['E_NULL_VALUE']);
    expect(short(outcome.out)).toEqual(['d1 9.999s [0,10) "n":2']);
  });

  it('a callback that throws undoes the whole record, in every window and every field', () => {
    const build: Build = (s) =>
      s.pipe(
        aggregate('n', hopping({ seconds: 10 }, { seconds: 5 }), {
          n: count(),
          sum: sum((v: number) => {
            if (v === 13) throw new Error('unlucky');
            return v;
          }),
        }),
      );
    const outcome = run(build, series('d1 6s=1 7s=13 60s=13 8s=2'));
    expect(outcome.dead).toMatchObject([
      { code: 'E_CALLBACK', reason: 'unlucky', step: 'n' },
      { code: 'E_CALLBACK', reason: 'unlucky', step: 'n' },
    ]);
    expect(short(outcome.out)).toEqual(['d1 9.999s [0,10) "n":2,"sum":3', 'd1 14.999s [5,15) "n":2,"sum":3']);
  });

  it('a step below that throws on a closing window costs that window alone', () => {
    const build: Build = (s) =>
      s.pipe(
        aggregate('n', tumbling({ seconds: 10 }), { n: count() }),
        map((w) => {
          if (w.n === 2) throw new Error('two');
          return w.n;
        }),
      );
    const outcome = run(build, series('d1 0s=1', 'd2 1s=1 2s=1', 'd3 3s=1', 'd1 11s=1'));
    expect(outcome.out).toEqual(['d1 9.999s=1', 'd3 9.999s=1', 'd1 19.999s=1']);
    expect(outcome.dead).toMatchObject([{ code: 'E_CALLBACK', reason: 'two', key: 'd2' }]);
  });
});

describe('results', () => {
  it('name field and step when an observation is no number', () => {
    for (const [value, said] of [
      [Number.NaN, 'NaN'],
      [Number.POSITIVE_INFINITY, 'Infinity'],
      ['x', 'a string'],
      [1n, 'a bigint'],
    ] as const) {
      const build: Build = (s) =>
        s.pipe(aggregate('air', tumbling({ seconds: 10 }), { n: count(), pm25: mean((() => value) as () => number) }));
      const outcome = run(build, series('d1 0s=1'));
      expect(outcome.out).toEqual([]);
      expect(outcome.dead).toMatchObject([
        {
          code: 'E_RESULT',
          reason: expect.stringContaining(
            `aggregate 'air', field 'pm25': mean needs a finite number, or undefined for a gap, and its callback returned ${said}`,
          ),
        },
      ]);
    }
  });

  it('a promise is E_ASYNC_STEP', () => {
    for (const field of [sum((async () => 1) as never), last(async () => 1)]) {
      expect(codes(run((s) => s.pipe(aggregate('a', tumbling({ seconds: 10 }), { field })), series('d1 0s=1')))).toEqual(['E_ASYNC_STEP']);
    }
  });

  it('what no store can keep is refused when the record comes, not when it is committed', () => {
    class Reading {}
    for (const value of [() => 1, Symbol('s'), { deep: [() => 1] }, new Map(), new Reading()]) {
      const outcome = run((s) => s.pipe(aggregate('a', tumbling({ seconds: 10 }), { l: last(() => value) })), series('d1 0s=1'));
      expect(codes(outcome)).toEqual(['E_RESULT']);
    }
  });

  it('an overflowing sum costs the record, not the window', () => {
    const outcome = run(
      (s) => s.pipe(aggregate('a', tumbling({ seconds: 10 }), { s: sum((v: number) => v), m: mean((v: number) => v) })),
      series('d1 0s=1.7e308 1s=1.7e308 2s=-1.7e308'),
    );
    expect(codes(outcome)).toEqual(['E_RESULT']);
    expect(short(outcome.out)).toEqual(['d1 9.999s [0,10) "s":0,"m":0']);
  });

  it('gaps are skipped; a window of gaps alone has null, a sum of 0', () => {
    const of = (v: number) => (v < 0 ? undefined : v);
    const fields = { n: count(), s: sum(of), m: mean(of), lo: min(of), hi: max(of), v: variance(of), f: first(of), l: last(of) };
    expect(out((s) => s.pipe(aggregate('a', tumbling({ seconds: 10 }), fields)), ['d1 0s=-1 1s=4 2s=-1 3s=2 4s=-1 11s=-1'])).toEqual([
      'd1 9.999s [0,10) "n":5,"s":6,"m":3,"lo":2,"hi":4,"v":1,"f":4,"l":2',
      'd1 19.999s [10,20) "n":1,"s":0,"m":null,"lo":null,"hi":null,"v":null,"f":null,"l":null',
    ]);
  });

  it('a window below a window sees time later by the grace above and loses nothing', () => {
    const build: Build = (s) =>
      s.pipe(
        aggregate('fine', tumbling({ seconds: 10 }, { grace: { seconds: 15 } }), { n: count() }),
        aggregate('coarse', tumbling({ seconds: 20 }), { n: sum((w: { n: number }) => w.n) }),
      );
    const outcome = run(build, series('d1 0s=1 12s=1 24s=1 13s=1 36s=1 60s=1'), { side: 'late' });
    expect(outcome.side).toEqual([]);
    expect(short(outcome.out)).toEqual(['d1 19.999s [0,20) "n":3', 'd1 39.999s [20,40) "n":2', 'd1 79.999s [60,80) "n":1']);
  });

  it('silence closes windows by a tick', () => {
    expect(out(tumbling10, ['d1 0s=1'], { end: true })).toEqual(['d1 9.999s [0,10) "n":1']);
  });
});

describe('definition', () => {
  it.each([
    [() => aggregate('Bad', tumbling({ seconds: 1 }), { n: count() }), /the id 'Bad' must be kebab-case/],
    [() => aggregate('a', tumbling({ seconds: 1 }), {}), /needs at least one aggregator/],
    [() => aggregate('a', tumbling({ seconds: 1 }), { startMs: count() }), /field name 'startMs' is taken/],
    [() => aggregate('a', tumbling({ seconds: 1 }), { endMs: count() }), /field name 'endMs' is taken/],
    [() => aggregate('a', tumbling({ seconds: 1 }), { ['__proto__']: count() }), /field name '__proto__' is taken/],
    [() => aggregate('a', tumbling({ seconds: 1 }), { n: 1 as never }), /field 'n' is no aggregator/],
    [() => mean(undefined as never), /mean: expects a function/],
    [() => tumbling({ seconds: 0 }), /size must be longer than nothing/],
    [() => hopping({ seconds: 1 }, { seconds: 2 }), /advance must be between 1 ms and the size \(1s\), got 2s/],
    [() => hopping({ seconds: 1 }, {}), /advance must be between/],
    [() => hopping({ days: 7 }, { ms: 1 }), /604800000 windows/],
    [() => tumbling({ seconds: 1 }, { emit: 'early' as never }), /emit must be 'final' or 'updates', got 'early'/],
    [() => tumbling({ seconds: 1 }, { gracee: { seconds: 1 } } as never), /unknown option 'gracee'; there are grace, emit/],
  ])('%#', (make, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(/E_PIPELINE/);
  });

  it('describes itself', () => {
    const { spec } = aggregate('air-5m', hopping({ minutes: 5 }, { minutes: 1 }, { grace: { seconds: 30 } }), {
      pm25: mean(() => 1),
      n: count(),
    });
    expect(spec.describe).toBe('hopping 5m every 1m, grace 30s: pm25 mean, n count');
    expect(spec.graceMs).toBe(30_000);
  });
});

/** Every field by definition, from the list of what the window took in. */
interface Naive {
  readonly key: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly taken: { value: number | null; atMs: number }[];
}

function naiveWindows(events: readonly Event[], { sizeMs, advanceMs, graceMs }: Windowing): { windows: Naive[]; late: Event[] } {
  const windows = new Map<string, Naive>();
  const late: Event[] = [];
  let streamTimeMs = Number.NEGATIVE_INFINITY;
  for (const event of events) {
    streamTimeMs = Math.max(streamTimeMs, event.atMs);
    let isLate = false;
    for (let startMs = 0; startMs <= event.atMs; startMs += advanceMs) {
      const endMs = startMs + sizeMs;
      if (event.atMs >= endMs) continue;
      if (endMs + graceMs <= streamTimeMs) {
        isLate = true;
        continue;
      }
      const id = `${event.key} ${startMs}`;
      if (!windows.has(id)) windows.set(id, { key: event.key as string, startMs, endMs, taken: [] });
      windows.get(id)?.taken.push({ value: event.value as number, atMs: event.atMs });
    }
    if (isLate) late.push(event);
  }
  return { windows: [...windows.values()].toSorted((a, b) => a.endMs - b.endMs || (a.key < b.key ? -1 : 1)), late };
}

function naiveResult({ taken }: Pick<Naive, 'taken'>) {
  const seen = taken.filter(({ value }) => value !== -1) as { value: number; atMs: number }[];
  const values = seen.map(({ value }) => value);
  const total = values.reduce((a, b) => a + b, 0);
  const average = total / values.length;
  const byTime = seen.toSorted((a, b) => a.atMs - b.atMs);
  const some = values.length > 0;
  return {
    n: taken.length,
    s: total,
    m: some ? average : null,
    lo: some ? Math.min(...values) : null,
    hi: some ? Math.max(...values) : null,
    v: some ? values.reduce((a, x) => a + (x - average) ** 2, 0) / values.length : null,
    f: byTime[0]?.value ?? null,
    l: byTime.at(-1)?.value ?? null,
  };
}

const gap = (v: number) => (v === -1 ? null : v);
const all = { n: count(), s: sum(gap), m: mean(gap), lo: min(gap), hi: max(gap), v: variance(gap), f: first(gap), l: last(gap) };

const events = fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c'), value: fc.integer({ min: -1, max: 50 }), atMs: fc.nat(200) }), {
  maxLength: 40,
});
const windowings = fc
  .record({
    size: fc.integer({ min: 1, max: 40 }),
    part: fc.integer({ min: 1, max: 5 }),
    grace: fc.nat(30),
    emit: fc.constantFrom('final', 'updates'),
  })
  .map(({ size, part, grace, emit }) => hopping({ ms: size }, { ms: Math.max(1, Math.ceil(size / part)) }, { grace: { ms: grace }, emit }));

describe('oracle', () => {
  it('is what a computation from scratch gives, for any records, windows and grace', () => {
    fc.assert(
      fc.property(events, windowings, fc.integer({ min: 1, max: 5 }), (records, windows, commitEvery) => {
        const outcome = run((s) => s.pipe(aggregate('w', windows, all)), records, { side: 'late', commitEvery });
        const naive = naiveWindows(records, windows);
        const found = outcome.out.map((line) => JSON.parse(line.slice(line.indexOf('=') + 1)));
        const lastOf = new Map(found.map((row, i) => [`${outcome.out[i]?.split(' ')[0]} ${row.startMs}`, row]));
        if (windows.emit === 'final') expect(found.length).toBe(naive.windows.length);
        expect(lastOf.size).toBe(naive.windows.length);
        const rows = windows.emit === 'final' ? found : naive.windows.map(({ key, startMs }) => lastOf.get(`${key} ${startMs}`));
        naive.windows.forEach((window, i) => {
          const { v: spread, m: average, ...exact } = naiveResult(window);
          const { v, m, ...rest } = rows[i];
          expect(rest).toEqual({ startMs: window.startMs, endMs: window.endMs, ...exact });
          if (average === null || spread === null) expect([m, v]).toEqual([null, null]);
          else {
            expect(m).toBeCloseTo(average, 10);
            expect(v).toBeCloseTo(spread, 8);
          }
        });
        expect(outcome.side).toEqual(naive.late.map(({ key, value, atMs }) => `${key} ${atMs / 1000}s=${value}`));
        expect(outcome.dead).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  it('gives the same when cut anywhere, after a commit or after a crash', () => {
    const build =
      (windows: Windowing): Build =>
      (s) =>
        s.pipe(aggregate('w', windows, all));
    const records = series('a 0s=1 9s=2 3s=7 12s=3 26s=5 8s=1', 'b 1s=4 14s=6 31s=8 22s=2');
    for (const emit of ['final', 'updates'] as const) {
      expectCutAnywhere(build(tumbling({ seconds: 10 }, { grace: { seconds: 4 }, emit })), records, { side: 'late' });
      expectCutAnywhere(build(hopping({ seconds: 10 }, { seconds: 3 }, { emit })), records, { side: 'late' });
    }
  });

  it('gives the same when cut anywhere, for any records', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.constantFrom('a', 'b'), value: fc.nat(9), atMs: fc.nat(60) }), { maxLength: 8 }),
        windowings,
        (records, windows) => expectCutAnywhere((s) => s.pipe(aggregate('w', windows, all)), records, { side: 'late' }),
      ),
      { numRuns: 20 },
    );
  });
});
