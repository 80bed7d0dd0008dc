// What the desk counts, under Prometheus' naming rules.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export interface DeskMetrics {
  readonly rows: Counter<'table'>;
  readonly flushSeconds: Histogram;
  readonly position: Gauge<'topic' | 'partition'>;
  readonly lag: Gauge<'topic' | 'partition'>;
  readonly deadLettered: Counter<'code'>;
  readonly gapRecords: Counter<'topic' | 'partition'>;
  readonly expired: Counter<'table'>;
  readonly failures: Counter;
  readonly queries: Counter<'outcome'>;
}

/** Registers the desk's metrics. */
export function deskMetrics(registry: Registry): DeskMetrics {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name, help, labelNames: [...labelNames], registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge<L>({ name, help, labelNames: [...labelNames], registers });
  return {
    rows: counter('millrace_desk_rows_total', 'Records written into a result table, replaced rows included.', ['table']),
    flushSeconds: new Histogram({
      name: 'millrace_desk_flush_seconds',
      help: 'Time from the begin of a DuckDB transaction to its commit.',
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    }),
    position: gauge('millrace_desk_position', 'Offset up to which DuckDB holds the partition.', ['topic', 'partition']),
    lag: gauge('millrace_desk_lag', 'Records in the log that DuckDB does not hold yet.', ['topic', 'partition']),
    deadLettered: counter('millrace_desk_dead_lettered_total', 'Records that went to _millrace_dead_letters.', ['code']),
    gapRecords: counter('millrace_desk_gap_records_total', 'Offsets the log forgot before the desk read them.', ['topic', 'partition']),
    expired: counter('millrace_desk_expired_rows_total', 'Rows deleted because the table keeps them no longer.', ['table']),
    failures: counter('millrace_desk_failures_total', 'Times the DuckDB file had to be closed and opened again.', []),
    queries: counter('millrace_desk_queries_total', 'Queries by outcome.', ['outcome']),
  };
}
