// joinTable: enriches each record with the table's row for its key, and leaves out those without one.
import { type Rec, record } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import type { Table } from '../engine/stream.ts';
import { valueOf } from './callbackResult.ts';
import { definedCallback } from './definedId.ts';
import { keyOf } from './keyOf.ts';

/**
 * Emits one record per record whose key has a row in the table, made from both; the rest is left out and counted.
 *
 * Shape   Rec<K, V> × Table<K, T> → Rec<K, R>        Unit    as the callback says; never null or undefined
 * Time    the stream record's; the row counts as it is when the record comes, whatever its own time
 * State   the table, kept by the task and read to its end before the first record; only the stream side triggers
 * Order   as input
 * Errors  E_NULL_KEY · E_CALLBACK · E_ASYNC_STEP · E_RESULT → dead letter; without a row: counter `unmatched`
 * Cost    one look-up a record
 * Source  Kafka Streams KStream-KTable join
 * @example joinTable(rows, (v, row) => v + row)
 *   table d1 0s=100
 *   in   d1  1s=1
 *   in   d2  2s=2
 *   out  d1  1s=101
 */
export function joinTable<K, V, T, R>(rows: Table<K, T>, join: (value: V, row: T, record: Rec<K, V>) => R): Step<Rec<K, V>, Rec<K, R>> {
  definedCallback('joinTable', join);
  return step({
    kind: 'joinTable',
    describe: `joinTable ${rows.topic.name}`,
    tables: [rows],
    build: (context) => {
      const view = context.table<K, T>(rows);
      return perRecord(context, (rec, out) => {
        const row = view.get(keyOf(rec, 'joinTable') as K);
        if (row === undefined) context.count('unmatched');
        else out.next(record(rec.key, valueOf(join(rec.value, row, rec), 'joinTable'), rec.eventTimeMs, rec.headers));
      });
    },
  });
}
