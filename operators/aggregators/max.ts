// max: the largest number.
import { type Aggregator, aggregator, definedOf, type NumberOf, observed } from './aggregator.ts';

/**
 * The largest number the callback returns. null when every observation was a gap.
 *
 * Unit    as the callback's          Cells   1 number          Cost    O(1)
 * Errors  E_RESULT for NaN or an infinity; undefined and null are gaps and skipped
 * Source  Kafka Streams reduce
 * @example aggregate('m', tumbling({ seconds: 10 }), { max: max((v) => v) })
 *   in   d1  0s=20  9s=22  10s=5
 *   out  d1  9.999s={"startMs":0,"endMs":10000,"max":22}
 */
export function max<V, N extends number | null | undefined>(of: (value: V) => N): Aggregator<V, NumberOf<N>> {
  definedOf('max', of);
  return aggregator<V, number | null>({
    kind: 'max',
    width: 1,
    boxes: 0,
    // NaN is no observation yet: it is not larger than anything, and observed() lets none in.
    init(numbers, i) {
      numbers[i] = Number.NaN;
    },
    add(numbers, i, _boxes, _k, value) {
      const x = observed(of(value), 'max');
      if (x === x && !((numbers[i] as number) >= x)) numbers[i] = x;
    },
    merge(numbers, i, _boxes, _k, from, j) {
      const x = from[j] as number;
      if (x === x && !((numbers[i] as number) >= x)) numbers[i] = x;
    },
    result: (numbers, i) => (numbers[i] === numbers[i] ? (numbers[i] as number) : null),
  }) as Aggregator<V, NumberOf<N>>;
}
