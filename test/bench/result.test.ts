// What the bench table says about a figure: the median that was measured, and which way is better.
import { describe, expect, it } from 'vitest';
import { betterOf, figure, median, reached } from '../../bench/result.ts';

describe('median', () => {
  it.each([
    [[3], 3],
    [[5, 1, 3], 3],
    [[4, 1, 3, 2], 2],
  ])('of %j is %d', (values, expected) => expect(median(values)).toBe(expected));
  it('of nothing is an error', () => expect(() => median([])).toThrow(/at least one/));
});

describe('a figure', () => {
  it.each([
    ['records/s', 'higher'],
    ['MB/s', 'higher'],
    ['µs a record', 'lower'],
    ['ms', 'lower'],
    ['bytes a window', 'lower'],
  ] as const)('in %s gets better when %s', (unit, better) => expect(betterOf({ value: 1, unit })).toBe(better));

  it('reaches its target from the right side', () => {
    expect(reached(figure([9, 10, 11], 'records/s', 10))).toBe(true);
    expect(reached(figure([9, 9, 11], 'records/s', 10))).toBe(false);
    expect(reached(figure([0.7, 0.9, 0.8], 'µs a record', 0.8))).toBe(true);
    expect(reached(figure([0.9], 'µs a record', 0.8))).toBe(false);
    expect(reached(figure([1], 'records/s'))).toBeUndefined();
    expect(reached({ value: 5, unit: 'points', target: 6, better: 'lower' })).toBe(true);
  });

  it('keeps all its runs', () => expect(figure([3, 1, 2], 'ms')).toEqual({ value: 2, unit: 'ms', runs: [3, 1, 2] }));
});
