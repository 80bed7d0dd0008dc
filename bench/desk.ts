// Rows into DuckDB: from record batches in the log to committed rows, decoding and positions included.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { shapeReader } from '../codecs/shapeReader.ts';
import { noHeaders } from '../engine/record.ts';
import { resultCodec } from '../engine/resultCodec.ts';
import type { TableSpec } from '../engine/topic.ts';
import { memoryLog } from '../log/memory/memoryLog.ts';
import { deskMetrics } from '../sinks/deskMetrics.ts';
import type { DeskTable } from '../sinks/deskTable.ts';
import { duckdb } from '../sinks/duckdb.ts';
import { startDuckdbWriter } from '../sinks/duckdbWriter.ts';
import { type BenchResult, figure } from './result.ts';

export const name = 'desk';

const ROWS = 500_000;
const RUNS = 5;
const KEYS = 1_000;
/** Records per commit of the line: what a batch in the log holds. */
const BATCH = 1_000;

/** The rows of a windowed job: one-minute count, sum, min, max, mean of a thousand devices. */
function rowOf(n: number, windows: number): { readonly key: string; readonly value: object; readonly timeMs: number } {
  const startMs = 1_700_000_000_000 + (Math.floor(n / KEYS) % windows) * 60_000;
  const mean = 20 + (n % 977) / 100;
  const value = { startMs, endMs: startMs + 60_000, count: 60, sum: mean * 60, min: mean - 1.5, max: mean + 1.5, mean };
  return { key: `dev-${n % KEYS}`, value, timeMs: startMs + 60_000 };
}

async function filledLog(desk: DeskTable, windows: number) {
  const log = memoryLog();
  await log.ensureTopics([desk.topic]);
  for (let from = 0; from < ROWS; from += BATCH) {
    const buffer = log.newBuffer();
    for (let n = from; n < from + BATCH; n++) {
      const { key, value, timeMs } = rowOf(n, windows);
      buffer.add(desk.topic.name, 0, Buffer.from(key), resultCodec.encode(value), timeMs, noHeaders);
    }
    await log.append(buffer);
  }
  return log;
}

function deskOf(mode: 'append' | 'upsert'): DeskTable {
  const { topic, table } = duckdb('rows', { mode }).resolve('bench');
  return {
    pipeline: 'bench',
    topic: { name: topic.name, partitions: 1, cleanup: 'delete', keepMs: Number.POSITIVE_INFINITY },
    table: table as TableSpec,
  };
}

/** Rows per second from the open file to the last commit. `windows` per key: all of ROWS for append, few for upsert. */
async function measure(mode: 'append' | 'upsert', windows: number): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-bench-desk-'));
  try {
    const desk = deskOf(mode);
    const reader = await filledLog(desk, windows);
    const writer = startDuckdbWriter({
      path: join(dir, 'results.duckdb'),
      tables: [desk],
      reader,
      metrics: deskMetrics(new Registry()),
      rowReader: shapeReader,
      tell: (line) => {
        throw new Error(line);
      },
    });
    await writer.opened;
    const startedMs = performance.now();
    await writer.drain();
    const seconds = (performance.now() - startedMs) / 1000;
    const rows = await writer.lend(async (c) => Number((await c.runAndReadAll('SELECT count(*) FROM rows')).getRows()[0]?.[0]));
    const expected = Math.min(ROWS, KEYS * windows);
    if (rows !== (mode === 'append' ? ROWS : expected)) throw new Error(`the table holds ${rows} rows`);
    await writer.stop();
    return ROWS / seconds;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Runs the bench. */
export async function run(): Promise<BenchResult> {
  const append: number[] = [];
  const upsert: number[] = [];
  const replace: number[] = [];
  for (let i = 0; i < RUNS; i++) {
    append.push(await measure('append', ROWS / KEYS));
    upsert.push(await measure('upsert', ROWS / KEYS));
    replace.push(await measure('upsert', 100));
  }
  return {
    name,
    figures: {
      append: figure(append, 'rows/s', 300_000),
      upsert: figure(upsert, 'rows/s', 100_000),
      'upsert, each row replaced five times': figure(replace, 'rows/s', 100_000),
    },
    notes: 'JSON results of five numbers and a window; 10,000 rows a transaction; table of 500,000 rows, or of 100,000 that are replaced.',
  };
}
