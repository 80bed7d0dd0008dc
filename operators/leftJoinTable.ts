// leftJoinTable: enriches each record with the table's row for its key, if there is one.
import { type Rec, record } from '../engine/record.ts';
import { perRecord, type Step, step } from '../engine/step.ts';
import type { Table } from '../engine/stream.ts';
import { valueOf } from './callbackResult.ts';
import { definedCallback } from './definedId.ts';

/**
 * Emits one record per record, made from its value and the table's latest row for its key, or undefined without one.
 * A record without a key joins undefined.
 *
 * Shape   Rec<K, V> × Table<K, T> → Rec<K, R>        Unit    as the callback says; never null or undefined
 * Time    the stream record's; the row counts as it is when the record comes, whatever its own time
 * State   the table, kept by the task and read to its end before the first record; only the stream side triggers
 * Order   as input
 * Errors  E_CALLBACK · E_ASYNC_STEP · E_RESULT → dead letter       Cost    one look-up a record
 * Source  Kafka Streams KStream-KTable leftJoin
 * @example leftJoinTable(rows, (v, row) => v + (row ?? 0))
 *   table d1 0s=100
 *   in   d1  1s=1
 *   in   d2  2s=2
 *   out  d1  1s=101
 *   out  d2  2s=2
 */
export function leftJoinTable<K, V, T, R>(
  rows: Table<K, T>,
  join: (value: V, row: T | undefined, record: Rec<K, V>) => R,
): Step<Rec<K, V>, Rec<K, R>> {
  definedCallback('leftJoinTable', join);
  return step({
    kind: 'leftJoinTable',
    describe: `leftJoinTable ${rows.topic.name}`,
    tables: [rows],
    build: (context) => {
      const view = context.table<K, T>(rows);
      return perRecord(context, (rec, out) => {
        const row = rec.key === null || rec.key === undefined ? undefined : view.get(rec.key as K);
        out.next(record(rec.key, valueOf(join(rec.value, row, rec), 'leftJoinTable'), rec.eventTimeMs, rec.headers));
      });
    },
  });
}
