// count: how many records.
import { type Aggregator, aggregator } from './aggregator.ts';

/**
 * The number of records in the window, whatever their values.
 *
 * Unit    records          Cells   1 number          Cost    O(1)
 * Source  Kafka Streams count
 * @example aggregate('n', tumbling({ seconds: 10 }), { n: count() })
 *   in   d1  0s=20  9s=22  10s=5
 *   out  d1  9.999s={"startMs":0,"endMs":10000,"n":2}
 */
export function count(): Aggregator<unknown, number> {
  return COUNT;
}

const COUNT = aggregator<unknown, number>({
  kind: 'count',
  width: 1,
  boxes: 0,
  init(numbers, i) {
    numbers[i] = 0;
  },
  add(numbers, i) {
    numbers[i] = (numbers[i] as number) + 1;
  },
  merge(numbers, i, _boxes, _k, from, j) {
    numbers[i] = (numbers[i] as number) + (from[j] as number);
  },
  result: (numbers, i) => numbers[i] as number,
});
