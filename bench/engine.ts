// The engine alone: five steps and one-minute statistics from the log in memory, values in a compact binary form.
import type { Codec } from '../engine/topic.ts';
import { memoryLog } from '../log/memory/memoryLog.ts';
import { type BenchResult, type Figure, figure } from './result.ts';
import { load, measure, readingsTopic } from './uc2.ts';

export const name = 'engine';

const RUNS = 5;
const RECORDS = 2_000_000;
/** A job for throughput: the rows of a key fold into one a commit. uc2-embedded commits every 100 ms. */
const COMMIT_EVERY_MS = 1_000;
const CASES = [
  { keys: 1_000, target: 1_200_000 },
  { keys: 100_000, target: 600_000 },
] as const;

/** A reading in twelve bytes: the value as a float64, the sequence number as an unsigned 32-bit integer. */
interface Compact {
  readonly value: number;
  readonly seq: number;
}

const compact: Codec<Compact> = {
  contentType: 'application/octet-stream',
  encode({ value, seq }) {
    const bytes = Buffer.allocUnsafe(12);
    bytes.writeDoubleLE(value, 0);
    bytes.writeUInt32LE(seq, 8);
    return bytes;
  },
  decode: (bytes, start) => ({ value: bytes.readDoubleLE(start), seq: bytes.readUInt32LE(start + 8) }),
};

/** Measures both numbers of keys. */
export async function run(): Promise<BenchResult> {
  const figures: Record<string, Figure> = {};
  for (const { keys, target } of CASES) {
    const log = memoryLog();
    const source = readingsTopic(compact);
    await load(log, source, keys, RECORDS, ({ value, seq }) => ({ value, seq }));
    const speeds: number[] = [];
    const cpu: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      const { recordsPerSecond, cpuMicroseconds } = await measure(log, source, `uc2-${keys}-${i}`, COMMIT_EVERY_MS);
      speeds.push(recordsPerSecond);
      cpu.push(cpuMicroseconds);
    }
    await log.close();
    figures[`${keys} keys`] = figure(speeds, 'records/s', target);
    figures[`${keys} keys, processor`] = figure(cpu, 'µs a record');
  }
  return { name, figures, notes: `${RECORDS} records a run, one partition, commits every ${COMMIT_EVERY_MS} ms, results as JSON rows.` };
}
