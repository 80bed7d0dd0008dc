// filter: lets through the records a callback says yes to.
import type { Rec } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import { atOnce } from './callbackResult.ts';
import { definedCallback } from './definedId.ts';

/**
 * Emits each record for which the callback returns true, as it is.
 *
 * Shape   Rec<K, V> → Rec<K, V>          Unit    as input
 * Time    event time stays; time flows past the step whether records pass or not (Kafka Streams stalls here)
 * State   none                           Order   as input
 * Errors  E_CALLBACK · E_ASYNC_STEP → dead letter       Cost    O(1) a record
 * Source  Kafka Streams filter
 * @example filter((v) => v >= 20)
 *   in   d1  0s=20  1s=19  2s=21
 *   out  d1  0s=20  2s=21
 */
export function filter<K, V>(keep: (value: V, record: Rec<K, V>) => boolean): Step<Rec<K, V>, Rec<K, V>> {
  definedCallback('filter', keep);
  return step({
    kind: 'filter',
    describe: 'filter',
    build: (context) =>
      perRecord(context, (record, out) => {
        if (atOnce(keep(record.value, record), 'filter')) out.next(record);
      }),
  });
}
