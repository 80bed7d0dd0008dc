// last: the latest value.
import { type Aggregator, definedOf } from './aggregator.ts';
import { boxed, type ValueOrNull } from './boxed.ts';

/**
 * What the callback returned for the record with the latest event time; of several, the one that arrived last.
 * null when every observation was a gap.
 *
 * Unit    as the callback's; any value that can be stored          Cells   1 number (its event time), 1 box          Cost    O(1)
 * Errors  E_RESULT for a function, a symbol, NaN or an infinity; undefined and null are gaps and skipped
 * Source  SQL arg_max(value, event time)
 * @example aggregate('l', tumbling({ seconds: 10 }), { last: last((v) => v) })
 *   in   d1  1s=20  9s=22  3s=7  10s=5
 *   out  d1  9.999s={"startMs":0,"endMs":10000,"last":22}
 */
export function last<V, R>(of: (value: V) => R): Aggregator<V, ValueOrNull<R>> {
  return boxed('last', definedOf('last', of), (timeMs, heldMs) => timeMs >= heldMs);
}
