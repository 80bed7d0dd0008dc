// mean: the arithmetic mean of a number.
import { type Aggregator, aggregator, definedOf, type NumberOf, observed } from './aggregator.ts';
import { addCompensated } from './compensated.ts';

/**
 * The arithmetic mean of what the callback returns: compensated sum over the number of observations.
 * null when every observation was a gap.
 *
 * Unit    as the callback's          Cells   3 numbers (observations, sum, compensation)          Cost    O(1)
 * Errors  E_RESULT for NaN, an infinity, or a sum beyond ±1.8e308; undefined and null are gaps and skipped
 * Source  Neumaier 1974
 * @example aggregate('m', tumbling({ seconds: 10 }), { mean: mean((v) => v) })
 *   in   d1  0s=20  9s=22  10s=5
 *   out  d1  9.999s={"startMs":0,"endMs":10000,"mean":21}
 */
export function mean<V, N extends number | null | undefined>(of: (value: V) => N): Aggregator<V, NumberOf<N>> {
  definedOf('mean', of);
  return aggregator<V, number | null>({
    kind: 'mean',
    width: 3,
    boxes: 0,
    init(numbers, i) {
      numbers[i] = 0;
      numbers[i + 1] = 0;
      numbers[i + 2] = 0;
    },
    add(numbers, i, _boxes, _k, value) {
      const x = observed(of(value), 'mean');
      if (x !== x) return;
      addCompensated(numbers, i + 1, x, 'mean');
      numbers[i] = (numbers[i] as number) + 1;
    },
    merge(numbers, i, _boxes, _k, from, j) {
      addCompensated(numbers, i + 1, from[j + 1] as number, 'mean');
      numbers[i + 2] = (numbers[i + 2] as number) + (from[j + 2] as number);
      numbers[i] = (numbers[i] as number) + (from[j] as number);
    },
    result: (numbers, i) => (numbers[i] === 0 ? null : ((numbers[i + 1] as number) + (numbers[i + 2] as number)) / (numbers[i] as number)),
  }) as Aggregator<V, NumberOf<N>>;
}
