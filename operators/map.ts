// map: one value into another.
import { type Rec, record } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import { valueOf } from './callbackResult.ts';
import { definedCallback } from './definedId.ts';

/**
 * Emits one record per record, with the value the callback returns.
 *
 * Shape   Rec<K, V> → Rec<K, R>          Unit    as the callback says; never null or undefined
 * Time    event time stays               Order   as input
 * State   none; key and headers stay
 * Errors  E_CALLBACK · E_ASYNC_STEP · E_RESULT (nothing returned) → dead letter       Cost    O(1) a record
 * Source  Kafka Streams mapValues
 * @example map((v) => v * 2)
 *   in   d1  0s=20  1s=19
 *   out  d1  0s=40  1s=38
 */
export function map<K, V, R>(to: (value: V, record: Rec<K, V>) => R): Step<Rec<K, V>, Rec<K, R>> {
  definedCallback('map', to);
  return step({
    kind: 'map',
    describe: 'map',
    build: (context) =>
      perRecord(context, (rec, out) => out.next(record(rec.key, valueOf(to(rec.value, rec), 'map'), rec.eventTimeMs, rec.headers))),
  });
}
