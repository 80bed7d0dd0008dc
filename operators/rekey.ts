// rekey: gives each record a new key; the engine cuts the pipeline here and shuffles through an internal topic.
import { assert, MillraceError } from '../engine/errors.ts';
import type { Rec } from '../engine/record.ts';
import { type AnyRec, type Step, step } from '../engine/step.ts';
import { atOnce } from './callbackResult.ts';
import { definedCallback, definedId } from './definedId.ts';

/**
 * Emits each record under the key the callback returns, in the partition that key belongs to.
 *
 * Shape   Rec<K, V> → Rec<K2, V>         Unit    key: text, bytes, or anything that JSON can write
 * Time    event time stays; time crosses by marks: nobody below is late because an upstream task lags
 * State   none; the records pass through the topic <pipeline>.v<version>.rekey.<id>
 * Order   per upstream task and new key, as input
 * Errors  E_CALLBACK · E_ASYNC_STEP · E_NULL_KEY (no key returned) · E_RESULT → dead letter       Cost    one write and one read
 * Source  Kafka Streams selectKey + repartition; timely dataflow's frontiers for the marks
 * @example rekey('by-value', (v) => `v${v}`)
 *   in   d1  0s=20  1s=19
 *   out  v20 0s=20
 *   out  v19 1s=19
 */
export function rekey<K, V, K2>(id: string, key: (value: V, record: Rec<K, V>) => K2): Step<Rec<K, V>, Rec<K2, V>> {
  definedId('rekey', id);
  definedCallback('rekey', key);
  return step({
    kind: 'rekey',
    id,
    describe: 'rekey',
    rekey: (value: V, record: AnyRec) => keyFrom(atOnce(key(value, record), 'rekey')),
    build: () => assert(false, 'a rekey is not built: the engine cuts the pipeline there') as never,
  });
}

function keyFrom(key: unknown): unknown {
  if (key === null || key === undefined)
    throw new MillraceError(
      'E_NULL_KEY',
      `rekey: the callback returned ${String(key)}; return a key, or leave such records out with filter`,
    );
  return key;
}
