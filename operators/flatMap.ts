// flatMap: one value into any number of values.
import { MillraceError } from '../engine/errors.ts';
import { type Rec, record } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import { atOnce, valueOf } from './callbackResult.ts';
import { definedCallback } from './definedId.ts';

/**
 * Emits one record per value of the iterable the callback returns, in its order; an empty one emits nothing.
 *
 * Shape   Rec<K, V> → Rec<K, R>, 0 to n        Unit    as the callback says; never null or undefined
 * Time    event time stays                     Order   as input, then as the iterable
 * State   none; key and headers stay
 * Errors  E_CALLBACK (also while iterating) · E_ASYNC_STEP · E_RESULT → dead letter, and then none of its values is emitted
 * Cost    O(values)
 * Source  Kafka Streams flatMapValues
 * @example flatMap((v) => [v, -v])
 *   in   d1  0s=1  1s=2
 *   out  d1  0s=1  0s=-1  1s=2  1s=-2
 */
export function flatMap<K, V, R>(to: (value: V, record: Rec<K, V>) => Iterable<R>): Step<Rec<K, V>, Rec<K, R>> {
  definedCallback('flatMap', to);
  return step({
    kind: 'flatMap',
    describe: 'flatMap',
    build: (context) =>
      perRecord(context, (rec, out) => {
        for (const value of iterableOf(to(rec.value, rec)))
          out.next(record(rec.key, valueOf(value, 'flatMap'), rec.eventTimeMs, rec.headers));
      }),
  });
}

function iterableOf<R>(values: Iterable<R>): Iterable<R> {
  if (Array.isArray(values)) return values;
  atOnce(values, 'flatMap');
  if (values !== null && values !== undefined) {
    if (typeof values[Symbol.iterator] === 'function') return values;
    if (typeof (values as { [Symbol.asyncIterator]?: unknown })[Symbol.asyncIterator] === 'function')
      throw new MillraceError(
        'E_ASYNC_STEP',
        'flatMap: the callback returned an asynchronous iterable; return an array or a synchronous one',
      );
  }
  throw new MillraceError(
    'E_RESULT',
    `flatMap: the callback returned ${values === null ? 'null' : typeof values}; return an array or another iterable`,
  );
}
