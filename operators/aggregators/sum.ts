// sum: the compensated sum of a number.
import { type Aggregator, aggregator, definedOf, observed } from './aggregator.ts';
import { addCompensated } from './compensated.ts';

/**
 * The sum of what the callback returns. Compensated, so 1e16 + 1 − 1e16 is 1. Without an observation it is 0.
 *
 * Unit    as the callback's          Cells   2 numbers (sum, compensation)          Cost    O(1)
 * Errors  E_RESULT for NaN, an infinity, or a sum beyond ±1.8e308; undefined and null are gaps and skipped
 * Source  Neumaier 1974
 * @example aggregate('s', tumbling({ seconds: 10 }), { sum: sum((v) => v) })
 *   in   d1  0s=20  9s=22  10s=5
 *   out  d1  9.999s={"startMs":0,"endMs":10000,"sum":42}
 */
export function sum<V>(of: (value: V) => number | null | undefined): Aggregator<V, number> {
  definedOf('sum', of);
  return aggregator<V, number>({
    kind: 'sum',
    width: 2,
    boxes: 0,
    init(numbers, i) {
      numbers[i] = 0;
      numbers[i + 1] = 0;
    },
    add(numbers, i, _boxes, _k, value) {
      const x = observed(of(value), 'sum');
      if (x === x) addCompensated(numbers, i, x, 'sum');
    },
    merge(numbers, i, _boxes, _k, from, j) {
      addCompensated(numbers, i, from[j] as number, 'sum');
      numbers[i + 1] = (numbers[i + 1] as number) + (from[j + 1] as number);
    },
    result: (numbers, i) => (numbers[i] as number) + (numbers[i + 1] as number),
  });
}
