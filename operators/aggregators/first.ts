// first: the earliest value.
import { type Aggregator, definedOf } from './aggregator.ts';
import { boxed, type ValueOrNull } from './boxed.ts';

/**
 * What the callback returned for the record with the earliest event time; of several, the one that arrived first.
 * null when every observation was a gap.
 *
 * Unit    as the callback's; any value that can be stored          Cells   1 number (its event time), 1 box          Cost    O(1)
 * Errors  E_RESULT for a function, a symbol, NaN or an infinity; undefined and null are gaps and skipped
 * Source  SQL arg_min(value, event time)
 * @example aggregate('f', tumbling({ seconds: 10 }), { first: first((v) => v) })
 *   in   d1  3s=20  1s=22  9s=7  10s=5
 *   out  d1  9.999s={"startMs":0,"endMs":10000,"first":22}
 */
export function first<V, R>(of: (value: V) => R): Aggregator<V, ValueOrNull<R>> {
  return boxed('first', definedOf('first', of), (timeMs, heldMs) => timeMs < heldMs);
}
