// peek: shows each record to a callback and changes nothing.
import type { Rec } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import { atOnce } from './callbackResult.ts';
import { definedCallback } from './definedId.ts';

/**
 * Calls the callback with each record, then emits the record as it is. For looking, e.g. a log line while developing:
 * after a crash or an aborted commit it is called again for the same records.
 *
 * Shape   Rec<K, V> → Rec<K, V>          Unit    as input
 * Time    event time stays               Order   as input
 * State   none
 * Errors  E_CALLBACK · E_ASYNC_STEP → dead letter       Cost    O(1) a record
 * Source  Kafka Streams peek
 * @example peek((v) => v)
 *   in   d1  0s=20  1s=19
 *   out  d1  0s=20  1s=19
 */
export function peek<K, V>(look: (value: V, record: Rec<K, V>) => void): Step<Rec<K, V>, Rec<K, V>> {
  definedCallback('peek', look);
  return step({
    kind: 'peek',
    describe: 'peek',
    build: (context) =>
      perRecord(context, (record, out) => {
        // Looking cannot be undone, so it waits until the record is meant.
        if (!context.trial) atOnce(look(record.value, record), 'peek');
        out.next(record);
      }),
  });
}
