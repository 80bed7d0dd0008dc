// A desk on a temp folder and a memory log, with an independent look into the file.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { Registry } from 'prom-client';
import { shapeReader } from '../../codecs/shapeReader.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import type { TableSpec, Target } from '../../engine/topic.ts';
import { memoryLog } from '../../log/memory/memoryLog.ts';
import { deskMetrics } from '../../sinks/deskMetrics.ts';
import type { DeskTable } from '../../sinks/deskTable.ts';
import { type DuckdbWriter, type DuckdbWriterOptions, startDuckdbWriter } from '../../sinks/duckdbWriter.ts';
import { resultKey } from '../../sinks/resultKey.ts';

export const PIPELINE = 'line';
const DAY_MS = 86_400_000;

/** A descriptor's table as the desk gets it. */
export function deskTable(
  target: Target<any, any>,
  options: { partitions?: number; pipeline?: string; keepMs?: number; compact?: boolean } = {},
): DeskTable {
  const { partitions = 1, pipeline = PIPELINE, keepMs = 90 * DAY_MS, compact = false } = options;
  const { topic, table } = target.resolve(pipeline);
  return {
    pipeline,
    topic: { name: topic.name, partitions, cleanup: compact ? 'compact' : 'delete', keepMs: topic.keepMs ?? keepMs },
    table: table as TableSpec,
  };
}

export type Row = [key: unknown, value: unknown, timeMs?: number];

/** Everything a test of the writer needs; `clean` ends it. */
export async function deskBed(tables: readonly DeskTable[], more: Partial<DuckdbWriterOptions> & { nowMs?: () => number } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-desk-'));
  const path = join(dir, 'results.duckdb');
  const log = memoryLog(more.nowMs === undefined ? {} : { nowMs: more.nowMs });
  const registry = new Registry();
  const metrics = deskMetrics(registry);
  const told: string[] = [];
  await log.ensureTopics(tables.map(({ topic }) => topic));
  let writer: DuckdbWriter | undefined;
  const bed = {
    dir,
    path,
    log,
    registry,
    metrics,
    told,
    start(overrides: Partial<DuckdbWriterOptions> = {}): DuckdbWriter {
      writer = startDuckdbWriter({
        path,
        tables,
        reader: log,
        metrics,
        tell: (line) => told.push(line),
        flushMs: 20,
        rowReader: shapeReader,
        ...more,
        ...overrides,
      });
      return writer;
    },
    async put(rows: readonly Row[], topic = (tables[0] as DeskTable).topic.name, partition = 0): Promise<void> {
      const buffer = log.newBuffer();
      for (const [key, value, timeMs = 1_000] of rows)
        buffer.add(
          topic,
          partition,
          key === null ? null : resultKey.encode(key),
          value === null ? null : resultCodec.encode(value),
          timeMs,
          {},
        );
      await log.append(buffer);
    },
    async putRaw(value: Uint8Array, topic = (tables[0] as DeskTable).topic.name): Promise<void> {
      const buffer = log.newBuffer();
      buffer.add(topic, 0, Buffer.from('k'), value, 1_000, {});
      await log.append(buffer);
    },
    /** Rows as the running writer's file has them, after everything in the log is in. */
    async rows(sql: string): Promise<Record<string, unknown>[]> {
      if (writer === undefined) throw new Error('start first');
      await writer.drain();
      return writer.lend(async (connection) => (await connection.runAndReadAll(sql)).getRowObjectsJS());
    },
    async stop(): Promise<void> {
      await writer?.stop();
      writer = undefined;
    },
    /** Rows as a fresh reader finds them in the closed file. */
    read: (sql: string, file = path) => readFile(file, sql),
    async clean(): Promise<void> {
      await writer?.stop().catch(() => {});
      await rm(dir, { recursive: true, force: true });
    },
  };
  return bed;
}

/** Opens a closed file on its own and asks it. */
export async function readFile(path: string, sql: string): Promise<Record<string, unknown>[]> {
  const instance = await DuckDBInstance.create(path, { access_mode: 'READ_ONLY' });
  try {
    const connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    const rows = (await connection.runAndReadAll(sql)).getRowObjectsJS();
    connection.closeSync();
    return rows;
  } finally {
    instance.closeSync();
  }
}
