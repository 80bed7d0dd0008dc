// What the line counts, under Prometheus' naming rules: worker and listener.
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { COMMIT_BUCKETS_MS, type TaskMetrics, type WorkerMetrics } from '../engine/worker.ts';

/** What the listener and the player add: totals since the process started, and what is so now. */
export interface IngestMetrics {
  readonly received: number;
  readonly stored: number;
  readonly deadLettered: Readonly<Record<string, number | undefined>>;
  readonly unrouted: number;
  readonly clients: number;
  readonly rejectedConnections: number;
  readonly refusedPackets: number;
}

export interface LineMetricsOptions {
  readonly worker: () => WorkerMetrics;
  readonly ingest: () => IngestMetrics;
  /** Unit: epoch ms. */
  readonly nowMs?: () => number;
}

/** The line's metrics in Prometheus' text form, made anew at each call. */
export function lineMetrics(options: LineMetricsOptions): () => Promise<string> {
  const { worker, ingest, nowMs = Date.now } = options;
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'millrace_line_' });
  const setTasks = taskMetrics(registry, nowMs);
  const setIngest = ingestMetrics(registry);
  return async () => {
    const { tasks, commits } = worker();
    setTasks(tasks);
    setIngest(ingest());
    return `${await registry.metrics()}${commitHistogram(commits)}`;
  };
}

/** Counters that are totals already: set, not added to. */
function totals<L extends string>(registry: Registry, name: string, help: string, labelNames: readonly L[]) {
  const counter = new Counter<L>({ name, help, labelNames: [...labelNames], registers: [registry] });
  return { reset: () => counter.reset(), set: (labels: Record<L, string>, total: number) => counter.inc(labels, total) };
}

function taskMetrics(registry: Registry, nowMs: () => number): (tasks: readonly TaskMetrics[]) => void {
  const task = ['pipeline', 'partition'] as const;
  const recordsIn = totals(registry, 'millrace_records_in_total', 'Records taken from topics.', task);
  const recordsOut = totals(registry, 'millrace_records_out_total', 'Records written to topics.', task);
  const deadLettered = totals(registry, 'millrace_records_dead_lettered_total', 'Records that went to millrace.dlq.', [...task, 'code']);
  const late = totals(registry, 'millrace_records_late_total', 'Records whose window had been closed.', [...task, 'step']);
  const events = totals(registry, 'millrace_step_events_total', 'What a step counts.', [...task, 'step', 'event']);
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge<L>({ name, help, labelNames: [...labelNames], registers: [registry] });
  const lag = gauge('millrace_lag_records', 'Records in the topic that the task has not taken.', ['pipeline', 'topic', 'partition']);
  const behind = gauge('millrace_stream_time_behind_seconds', 'Wall clock minus stream time.', [...task, 'segment']);
  const state = gauge('millrace_state_rows', 'Rows of state held.', task);
  return (tasks) => {
    for (const metric of [recordsIn, recordsOut, deadLettered, late, events, lag, behind, state]) metric.reset();
    for (const { pipeline, partition, counters, lag: lags, streamTimeMs, stateRows } of tasks) {
      const labels = { pipeline, partition: String(partition) };
      for (const [name, total] of Object.entries(counters)) {
        const [kind, ...rest] = name.split('/');
        const event = rest.at(-1) ?? '';
        const step = rest.slice(0, -1).join('/');
        if (kind === 'in') recordsIn.set(labels, total);
        else if (kind === 'out') recordsOut.set(labels, total);
        else if (kind === 'dead_lettered') deadLettered.set({ ...labels, code: event }, total);
        else if (event === 'late') late.set({ ...labels, step }, total);
        else events.set({ ...labels, step, event }, total);
      }
      for (const { topic, partition: of, records } of lags) lag.set({ pipeline, topic, partition: String(of) }, records);
      streamTimeMs.forEach((timeMs, segment) => {
        if (timeMs !== undefined) behind.set({ ...labels, segment: String(segment) }, (nowMs() - timeMs) / 1_000);
      });
      state.set(labels, stateRows);
    }
  };
}

function ingestMetrics(registry: Registry): (now: IngestMetrics) => void {
  const received = totals(registry, 'millrace_ingest_received_total', 'Publishes received over MQTT.', []);
  const stored = totals(registry, 'millrace_ingest_stored_total', 'Records the listener put into the log.', []);
  const deadLettered = totals(registry, 'millrace_ingest_dead_lettered_total', 'Publishes that went to millrace.dlq.', ['code']);
  const unrouted = totals(registry, 'millrace_ingest_unrouted_total', 'Publishes that no route took: acknowledged, not stored.', []);
  const rejected = totals(registry, 'millrace_ingest_rejected_connections_total', 'Clients not let in.', []);
  const refused = totals(registry, 'millrace_ingest_refused_packets_total', 'Packets that closed their connection.', []);
  const clients = new Gauge({ name: 'millrace_ingest_clients', help: 'Clients connected now.', registers: [registry] });
  return (now) => {
    for (const metric of [received, stored, deadLettered, unrouted, rejected, refused]) metric.reset();
    received.set({}, now.received);
    stored.set({}, now.stored);
    for (const [code, total] of Object.entries(now.deadLettered)) deadLettered.set({ code }, total ?? 0);
    unrouted.set({}, now.unrouted);
    rejected.set({}, now.rejectedConnections);
    refused.set({}, now.refusedPackets);
    clients.set(now.clients);
  };
}

/** The worker keeps its histogram itself, so it is written out by hand: buckets add up, the last one holds all. */
function commitHistogram({ count, sumMs, buckets }: WorkerMetrics['commits']): string {
  let below = 0;
  const rows = COMMIT_BUCKETS_MS.map((boundMs, i) => {
    below += buckets[i] ?? 0;
    return `millrace_commit_seconds_bucket{le="${boundMs / 1_000}"} ${below}\n`;
  });
  return [
    '# HELP millrace_commit_seconds Time from the cut to the log’s answer.\n# TYPE millrace_commit_seconds histogram\n',
    ...rows,
    `millrace_commit_seconds_bucket{le="+Inf"} ${count}\nmillrace_commit_seconds_sum ${sumMs / 1_000}\nmillrace_commit_seconds_count ${count}\n`,
  ].join('');
}
