// The aggregators alone: numerically sound, and a merge equals having seen everything in one row.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Aggregator, count, first, last, max, mean, min, sum, variance } from '../../index.ts';

type Seen = readonly (readonly [value: number | undefined, timeMs: number])[];
type AnyAggregator = Aggregator<number | undefined, unknown>;

const self = (v: number | undefined) => v;
const every: Readonly<Record<string, AnyAggregator>> = {
  count: count(),
  sum: sum(self),
  mean: mean(self),
  min: min(self),
  max: max(self),
  variance: variance(self),
  first: first(self),
  last: last(self),
};

/** A row with other cells on both sides, which must stay as they are. */
function row(aggregator: AnyAggregator, seen: Seen) {
  const numbers = new Float64Array(aggregator.width + 2).fill(77);
  const boxes: unknown[] = ['before', ...Array.from({ length: aggregator.boxes }), 'after'];
  aggregator.init(numbers, 1, boxes, 1);
  for (const [value, timeMs] of seen) aggregator.add(numbers, 1, boxes, 1, value, timeMs);
  expect([numbers[0], numbers.at(-1), boxes[0], boxes.at(-1)]).toEqual([77, 77, 'before', 'after']);
  return { numbers, boxes, result: () => aggregator.result(numbers, 1, boxes, 1) };
}

const of = (aggregator: AnyAggregator, ...values: (number | undefined)[]) =>
  row(
    aggregator,
    values.map((value, i) => [value, i]),
  ).result();

/** The exact sum, correctly rounded once: Shewchuk's partials. */
function exactSum(values: readonly number[]): number {
  let partials: number[] = [];
  for (let x of values) {
    const next: number[] = [];
    for (let y of partials) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y;
      const low = y - (high - x);
      if (low !== 0) next.push(low);
      x = high;
    }
    partials = [...next, x];
  }
  return partials.reduce((a, b) => a + b, 0);
}

const finite = fc.double({ min: -1e12, max: 1e12, noNaN: true });
const observations = fc.array(fc.tuple(fc.option(finite, { nil: undefined, freq: 8 }), fc.nat(20)), { maxLength: 40 });

describe('numbers', () => {
  it('sum and mean lose nothing small beside something large', () => {
    expect(of(sum(self), 1e16, 1, -1e16)).toBe(1);
    expect(of(sum(self), 1, 1e100, 1, -1e100)).toBe(2);
    expect(of(mean(self), 1e16, 3, -1e16)).toBe(1);
    expect(of(sum(self), ...Array.from({ length: 10 }, () => 0.1))).toBe(1);
  });

  it('variance does not cancel beside a large offset', () => {
    expect(of(variance(self), 1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16)).toBe(22.5);
    expect(of(variance(self), 5)).toBe(0);
    expect(of(variance(self), 0.1, 0.1, 0.1)).toBe(0);
  });

  it('sum is the exact sum to the last digits', () => {
    fc.assert(
      fc.property(fc.array(finite, { maxLength: 60 }), (values) => {
        const exact = exactSum(values);
        const size = values.reduce((a, x) => a + Math.abs(x), 0);
        expect(Math.abs((of(sum(self), ...values) as number) - exact)).toBeLessThanOrEqual(2 ** -52 * Math.abs(exact) + 2 ** -90 * size);
      }),
    );
  });

  it('one observation is its own mean, min, max, first, last and sum', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (x) => {
        for (const name of ['sum', 'mean', 'min', 'max', 'first', 'last'])
          expect((of(every[name] as AnyAggregator, x) as number) - x).toBe(0);
      }),
    );
  });

  it('nothing observed: count and sum are 0, the rest null', () => {
    for (const [name, aggregator] of Object.entries(every))
      expect([name, of(aggregator)]).toEqual([name, name === 'count' || name === 'sum' ? 0 : null]);
  });

  it('count counts gaps, the others skip them', () => {
    for (const [name, aggregator] of Object.entries(every))
      expect([name, of(aggregator, undefined, 3, undefined)]).toEqual([name, name === 'variance' ? 0 : 3]);
  });
});

describe('first and last', () => {
  const seen: Seen = [
    [1, 5],
    [2, 3],
    [3, 3],
    [4, 9],
    [5, 9],
    [6, 7],
  ];
  it('go by event time; of several the first, the last that arrived', () => {
    expect(row(first(self), seen).result()).toBe(2);
    expect(row(last(self), seen).result()).toBe(5);
  });

  it('keep values of any type, as they are', () => {
    const kept = { text: 'x', list: [1, { deep: true }] };
    const numbers = new Float64Array(1);
    const boxes: unknown[] = [undefined];
    const any = last((v: unknown) => v);
    any.init(numbers, 0, boxes, 0);
    any.add(numbers, 0, boxes, 0, kept, 1);
    expect(any.result(numbers, 0, boxes, 0)).toBe(kept);
  });
});

describe.each(Object.entries(every))('%s', (name, aggregator) => {
  it('merged is what one row would have seen', () => {
    fc.assert(
      fc.property(observations, observations, (before, after) => {
        const merged = row(aggregator, before);
        const other = row(aggregator, after);
        aggregator.merge(merged.numbers, 1, merged.boxes, 1, other.numbers, 1, other.boxes, 1);
        const whole = row(aggregator, [...before, ...after]).result();
        const found = merged.result();
        if (typeof whole !== 'number' || !['sum', 'mean', 'variance'].includes(name)) expect(found).toBe(whole);
        else {
          const size = Math.max(0, ...[...before, ...after].map(([v]) => Math.abs(v ?? 0)));
          expect(Math.abs((found as number) - whole)).toBeLessThanOrEqual(1e-12 * (name === 'variance' ? size * size : 40 * size));
        }
      }),
    );
  });

  it('has changed nothing when it throws', () => {
    if (name === 'count') return expect(of(aggregator, Number.NaN)).toBe(1);
    const numbers = new Float64Array(aggregator.width);
    const boxes: unknown[] = Array.from({ length: aggregator.boxes });
    aggregator.init(numbers, 0, boxes, 0);
    aggregator.add(numbers, 0, boxes, 0, 4, 1);
    const before = [...numbers, ...boxes];
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      expect(() => aggregator.add(numbers, 0, boxes, 0, bad, 2)).toThrow(/finite number/);
    return expect([...numbers, ...boxes]).toEqual(before);
  });
});
