// alerts(): where alert events go: a topic per pipeline, one DuckDB table for all.
import type { AlertEvent } from '../engine/alertEvent.ts';
import { resultCodec } from '../engine/resultCodec.ts';
import { type TableSpec, type Target, topicBy } from '../engine/topic.ts';
import { resultKey } from './resultKey.ts';
import { ALERTS_TABLE } from './systemColumns.ts';

/** Every transition is a row; the latest of an alert is `arg_max(state, _offset)` by alertId. */
const TABLE: TableSpec = Object.freeze({
  name: ALERTS_TABLE,
  mode: 'append',
  columns: Object.freeze({
    alertId: 'VARCHAR',
    rule: 'VARCHAR',
    state: 'VARCHAR',
    severity: 'VARCHAR',
    sinceMs: 'BIGINT',
    atMs: 'BIGINT',
    value: 'DOUBLE',
  }),
  rebuild: true,
});

/**
 * Sends alert events to the topic `<pipeline>.alerts`, and from there to the DuckDB table `alerts`, which all pipelines share:
 * its column `pipeline` tells them apart.
 *
 * Shape   Rec<unknown, AlertEvent> → one row a transition      Unit    sinceMs, atMs: epoch ms
 * @example readings.pipe(alert('unhealthy-air', { when: (r) => r.pm25, above: 55 })).to(alerts())
 */
export function alerts(): Target<unknown, AlertEvent> {
  return TARGET;
}

const TARGET: Target<unknown, AlertEvent> = Object.freeze({
  resolve: (pipelineId: string) => ({ topic: topicBy(resultKey, `${pipelineId}.${ALERTS_TABLE}`, resultCodec), table: TABLE }),
});
