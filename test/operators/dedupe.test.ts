// dedupe: what is a duplicate, for how long, and that nothing is remembered for ever.
import fc from 'fast-check';
import { assert, describe, expect, it } from 'vitest';
import { aggregate, count, dedupe, pipeline, stream, sum, topic, tumbling } from '../../index.ts';
import { drive } from '../../testing/index.ts';
import { around, anything, type Build, codes, type Event, expectCutAnywhere, input, run, series } from './series.ts';

const remember =
  (seconds: number): Build =>
  (s) =>
    s.pipe(dedupe('once', (v) => v, { remember: { seconds } }));

describe('owed cases', () => {
  it.each([
    ['empty', [], []],
    ['one', ['d1 0s=7'], ['d1 0s=7']],
    ['many', ['d1 0s=7 1s=8 2s=9'], ['d1 0s=7', 'd1 1s=8', 'd1 2s=9']],
    ['a duplicate', ['d1 0s=7 0s=7'], ['d1 0s=7']],
    ['two keys do not meet', ['d1 0s=7 2s=7', 'd2 1s=7'], ['d1 0s=7', 'd2 1s=7']],
    ['out of order', ['d1 5s=7 0s=7 6s=8'], ['d1 5s=7', 'd1 6s=8']],
    ['1 ms before it is forgotten', ['d1 0s=7 9.999s=7'], ['d1 0s=7']],
    ['when it is forgotten', ['d1 0s=7 10s=7'], ['d1 0s=7', 'd1 10s=7']],
    ['1 ms after it is forgotten', ['d1 0s=7 10.001s=7'], ['d1 0s=7', 'd1 10.001s=7']],
    ['a duplicate does not prolong', ['d1 0s=7 6s=7 12s=7'], ['d1 0s=7', 'd1 12s=7']],
    ['text and number differ', ['d1 0s=7 1s="7"'], ['d1 0s=7', 'd1 1s="7"']],
    ['another key moves time', ['d1 0s=7', 'd2 10s=1', 'd1 11s=7'], ['d1 0s=7', 'd2 10s=1', 'd1 11s=7']],
  ])('%s', (_name, lines, expected) => {
    const outcome = run(remember(10), series(...lines));
    expect(outcome.out).toEqual(expected);
    expect(outcome.dead).toEqual([]);
    expect(outcome.counters['step/once/duplicates'] ?? 0).toBe(series(...lines).length - expected.length);
  });

  it('a device that was offline longer than is remembered, and sends everything twice, is heard once', () => {
    const offline = [
      ...series('d2 1000s=1'),
      ...series('d1 0s=7 1s=8'),
      ...series('d1 0s=7 1s=8'),
      ...series('d2 1009s=2'),
      ...series('d1 0s=7'),
    ];
    expect(run(remember(10), offline).out).toEqual(['d2 1000s=1', 'd1 0s=7', 'd1 1s=8', 'd2 1009s=2']);
    expect(run(remember(10), [...offline, ...series('d2 1010s=3'), ...series('d1 0s=7')]).out.at(-1)).toBe('d1 0s=7');
  });

  it('no key, a throw, a promise, no usable id: dead letters', () => {
    const build: Build = (s) =>
      s.pipe(
        dedupe('once', (v) => {
          if (v === 1) throw new Error('one');
          return v === 2
            ? (Promise.resolve('x') as never)
            : v === 3
              ? (undefined as never)
              : v === 4
                ? Number.NaN
                : v === 5
                  ? ({} as never)
                  : v;
        }),
      );
    const outcome = run(build, series('d1 0s=1 1s=2 2s=3 3s=4 4s=5 5s=6', '- 6s=1'));
    expect(codes(outcome)).toEqual(['E_CALLBACK', 'E_ASYNC_STEP', 'E_RESULT', 'E_RESULT', 'E_RESULT', 'E_NULL_KEY']);
    expect(outcome.dead[2]?.reason).toContain('returned a value of type undefined; return a text or a finite number');
    expect(outcome.out).toEqual(['d1 5s=6']);
  });

  it('a record that fails below was not said: it passes when it comes again', () => {
    let failing = true;
    const build: Build = (s) =>
      s.pipe(
        dedupe('once', (v) => v),
        aggregate('n', tumbling({ seconds: 10 }), {
          n: count(),
          s: sum((v: number) => {
            if (failing) throw new Error('below');
            return v;
          }),
        }),
      );
    const driver = drive(around(build));
    driver.send(input, 'd1', 7, 0);
    failing = false;
    driver.send(input, 'd1', 7, 1);
    driver.send(input, 'd1', 7, 2);
    driver.end();
    expect(driver.read(topic('out', anything)).map((r) => r.value.n)).toEqual([1]);
  });

  it('remembers nothing once remember has passed', () => {
    const out = topic('out', anything);
    const driver = drive(
      pipeline('p', [
        stream(input)
          .pipe(dedupe('once', (v) => v, { remember: { seconds: 10 } }))
          .to(out),
      ]),
    );
    for (let i = 0; i < 50; i++) driver.send(input, `d${i % 5}`, i, i);
    driver.tick(20_000);
    const [claim] = driver.log.claimNow('p.v1', [0]);
    assert(claim !== undefined);
    expect([...(claim.state as Iterable<unknown>)]).toEqual([]);
  });
});

describe('definition', () => {
  it.each([
    [() => dedupe('Once', () => 1), /kebab-case/],
    [() => dedupe('once', 1 as never), /expects a function/],
    [() => dedupe('once', () => 1, { remember: {} }), /remember must be longer than nothing/],
    [() => dedupe('once', () => 1, { forget: { days: 1 } } as never), /unknown option 'forget'/],
  ])('%#', (make, message) => expect(make).toThrow(message));

  it('remembers a day unless told', () => expect(dedupe('once', () => 1).spec.describe).toBe('dedupe, remember 1d'));
});

describe('oracle', () => {
  const events = fc.array(fc.record({ key: fc.constantFrom('a', 'b'), value: fc.nat(3), atMs: fc.nat(40) }), { maxLength: 30 });

  it('drops exactly what passed less than remember of stream time ago', () => {
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 20 }), (records, rememberMs) => {
        const passed = new Map<string, number>();
        const expected: string[] = [];
        let nowMs = 0;
        for (const { key, value, atMs } of records as Event[]) {
          nowMs = Math.max(nowMs, atMs);
          const id = `${key}/${value}`;
          const before = passed.get(id);
          if (before !== undefined && nowMs - before < rememberMs) continue;
          passed.set(id, nowMs);
          expected.push(`${key} ${atMs / 1000}s=${value}`);
        }
        expect(run((s) => s.pipe(dedupe('once', (v) => v, { remember: { ms: rememberMs } })), records).out).toEqual(expected);
      }),
    );
  });

  it('gives the same when cut anywhere', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.constantFrom('a', 'b'), value: fc.nat(2), atMs: fc.nat(40) }), { maxLength: 8 }),
        (records) => expectCutAnywhere((s) => s.pipe(dedupe('once', (v) => v, { remember: { ms: 10 } })), records),
      ),
      { numRuns: 25 },
    );
  });
});
