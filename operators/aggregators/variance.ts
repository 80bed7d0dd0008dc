// variance: how far a number spreads around its mean.
import { type Aggregator, aggregator, definedOf, inRange, type NumberOf, observed } from './aggregator.ts';

/**
 * The population variance of what the callback returns (SQL var_pop): 0 for one observation, null for none.
 * The sample variance is this × n / (n − 1).
 *
 * Unit    the callback's, squared          Cells   3 numbers (observations, mean, squared distances)          Cost    O(1)
 * Errors  E_RESULT for NaN, an infinity, or squares beyond ±1.8e308; undefined and null are gaps and skipped
 * Source  Welford 1962; merge: Chan, Golub, LeVeque 1979
 * @example aggregate('v', tumbling({ seconds: 10 }), { variance: variance((v) => v) })
 *   in   d1  0s=20  9s=22  10s=5
 *   out  d1  9.999s={"startMs":0,"endMs":10000,"variance":1}
 */
export function variance<V, N extends number | null | undefined>(of: (value: V) => N): Aggregator<V, NumberOf<N>> {
  definedOf('variance', of);
  return aggregator<V, number | null>({
    kind: 'variance',
    width: 3,
    boxes: 0,
    init(numbers, i) {
      numbers[i] = 0;
      numbers[i + 1] = 0;
      numbers[i + 2] = 0;
    },
    add(numbers, i, _boxes, _k, value) {
      const x = observed(of(value), 'variance');
      if (x === x) join(numbers, i, 1, x, 0);
    },
    merge(numbers, i, _boxes, _k, from, j) {
      if (from[j] !== 0) join(numbers, i, from[j] as number, from[j + 1] as number, from[j + 2] as number);
    },
    result: (numbers, i) => (numbers[i] === 0 ? null : (numbers[i + 2] as number) / (numbers[i] as number)),
  }) as Aggregator<V, NumberOf<N>>;
}

/** Joins `n` observations with their mean and squared distances to the row's; with n = 1 this is Welford's update. */
function join(numbers: Float64Array, i: number, n: number, mean: number, squares: number): void {
  const had = numbers[i] as number;
  const all = had + n;
  const distance = mean - (numbers[i + 1] as number);
  const joined = inRange((numbers[i + 2] as number) + squares + distance * distance * ((had * n) / all), 'variance');
  numbers[i] = all;
  numbers[i + 1] = (numbers[i + 1] as number) + (distance * n) / all;
  numbers[i + 2] = joined;
}
