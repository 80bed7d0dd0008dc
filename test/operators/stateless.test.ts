// filter, map, flatMap and peek: the cases every operator owes, and what their callbacks may not return.
import { describe, expect, it } from 'vitest';
import { filter, flatMap, map, peek, rx } from '../../index.ts';
import { type Build, codes, run, series } from './series.ts';

const identity: Readonly<Record<string, Build>> = {
  filter: (s) => s.pipe(filter(() => true)),
  map: (s) => s.pipe(map((v) => v)),
  flatMap: (s) => s.pipe(flatMap((v) => [v])),
  peek: (s) => s.pipe(peek(() => {})),
  rx: (s) => s.pipe(rx((values) => values)),
};

/** The same steps around a callback of the test's. */
const calling: Readonly<Record<string, (callback: (value: unknown) => unknown) => Build>> = {
  filter: (callback) => (s) => s.pipe(filter(callback as () => boolean)),
  map: (callback) => (s) => s.pipe(map(callback)),
  flatMap: (callback) => (s) => s.pipe(flatMap(callback as () => unknown[])),
  peek: (callback) => (s) => s.pipe(peek(callback)),
};

describe.each(Object.entries(identity))('%s', (_name, build) => {
  it.each([
    ['empty', []],
    ['one', ['d1 0s=1']],
    ['many', ['d1 0s=1 1s=2 2s=3']],
    ['two keys interleaved', ['d1 0s=1 2s=3', 'd2 1s=2 3s=4']],
    ['a duplicate', ['d1 0s=1 0s=1']],
    ['out of order', ['d1 5s=1 0s=2 9s=3']],
    ['no key', ['- 0s=1']],
  ])('%s passes as it came', (_case, lines) => {
    const events = series(...lines);
    const outcome = run(build, events);
    expect(outcome.out).toEqual(events.map(({ key, value, atMs }) => `${key} ${atMs / 1_000}s=${JSON.stringify(value)}`));
    expect(outcome.dead).toEqual([]);
  });

  it('a record without a value does not reach it', () => {
    const outcome = run(build, series('d1 0s=1 1s=null 2s=3'));
    expect(outcome.out).toEqual(['d1 0s=1', 'd1 2s=3']);
    expect(codes(outcome)).toEqual(['E_NULL_VALUE']);
  });

  it('headers stay', () => {
    const seen: unknown[] = [];
    run((s) => build(s).pipe(peek((_v, record) => void seen.push(record.headers))), series('d1 0s=1'));
    expect(seen).toHaveLength(1);
    expect(Object.getPrototypeOf(seen[0])).toBe(null);
  });
});

describe.each(Object.entries(calling))('%s: its callback', (name, build) => {
  it('gets the value first and the record last', () => {
    const seen: unknown[] = [];
    const callback = (...all: unknown[]) => {
      seen.push(all);
      return [1];
    };
    run(build(callback as (value: unknown) => unknown), series('d1 3s=7'));
    expect(seen).toEqual([[7, { key: 'd1', value: 7, eventTimeMs: 3_000, headers: expect.anything() }]]);
  });

  it('may throw: that record is dead-lettered, the next goes on', () => {
    const outcome = run(
      build((v) => {
        if (v === 2) throw new Error('no twos');
        return [v];
      }),
      series('d1 0s=1 1s=2 2s=3'),
    );
    expect(outcome.out).toHaveLength(2);
    expect(outcome.dead).toMatchObject([{ code: 'E_CALLBACK', reason: 'no twos', step: `${name}#1`, origin: { offset: 1 }, value: '2' }]);
  });

  it('may not return a promise, not even one that fails', () => {
    const outcome = run(
      build((v) => (v === 1 ? [v] : v === 2 ? Promise.resolve(true) : Promise.reject(new Error('later')))),
      series('d1 0s=1 1s=2 2s=3'),
    );
    expect(outcome.out).toHaveLength(1);
    expect(codes(outcome)).toEqual(['E_ASYNC_STEP', 'E_ASYNC_STEP']);
  });

  it('must be a function', () => {
    expect(() => run(build(undefined as never), [])).toThrow(/E_PIPELINE: .*expects a function/);
  });
});

it('filter takes any truthy answer', () => {
  expect(run((s) => s.pipe(filter((v) => v)), series('d1 0s=0 1s=1 2s=""')).out).toEqual(['d1 1s=1']);
});

it.each([['map'], ['flatMap']])('%s refuses to emit nothing: a stream has no null values', (name) => {
  const give =
    (value: unknown): Build =>
    (s) =>
      name === 'map' ? s.pipe(map(() => value)) : s.pipe(flatMap(() => [value]));
  for (const value of [undefined, null]) {
    const outcome = run(give(value), series('d1 0s=1'));
    expect(outcome.out).toEqual([]);
    expect(outcome.dead).toMatchObject([{ code: 'E_RESULT', reason: expect.stringContaining(`${name}: the callback returned ${value}`) }]);
  }
});

describe('flatMap', () => {
  it('takes any synchronous iterable, and none is fine', () => {
    function* twice(v: number) {
      yield v;
      yield v + 1;
    }
    expect(run((s) => s.pipe(flatMap((v) => (v === 0 ? new Set<number>() : twice(v)))), series('d1 0s=0 1s=1')).out).toEqual([
      'd1 1s=1',
      'd1 1s=2',
    ]);
  });

  it('emits nothing of an iterable that fails on the way', () => {
    function* failing() {
      yield 1;
      throw new Error('halfway');
    }
    const outcome = run((s) => s.pipe(flatMap(failing)), series('d1 0s=1'));
    expect(outcome.out).toEqual([]);
    expect(outcome.dead).toMatchObject([{ code: 'E_CALLBACK', reason: 'halfway' }]);
  });

  it('refuses asynchronous iterables and what is no iterable', () => {
    async function* later() {
      yield 1;
    }
    const outcome = run(
      (s) => s.pipe(flatMap((v) => (v === 1 ? (later() as never) : v === 2 ? (7 as never) : (undefined as never)))),
      series('d1 0s=1 1s=2 2s=3'),
    );
    expect(outcome.dead.map(({ code, reason }) => [code, reason.replace(/^.*?returned /, '')])).toEqual([
      ['E_ASYNC_STEP', 'an asynchronous iterable; return an array or a synchronous one'],
      ['E_RESULT', 'number; return an array or another iterable'],
      ['E_RESULT', 'undefined; return an array or another iterable'],
    ]);
  });
});
