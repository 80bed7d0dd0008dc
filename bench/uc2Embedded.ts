// The same job from the embedded log with JSON values, exactly once: what one core makes of what devices really send.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { json } from '../codecs/json.ts';
import type { StandardSchema } from '../codecs/standardSchema.ts';
import { openEmbeddedLog } from '../log/embedded/embeddedLog.ts';
import { type BenchResult, type Figure, figure } from './result.ts';
import { load, measure, type Reading, readingsTopic } from './uc2.ts';

export const name = 'uc2-embedded';

const RUNS = 5;
const RECORDS = 2_000_000;
const COMMIT_EVERY_MS = 100;
const CASES = [
  { keys: 1_000, target: 500_000 },
  { keys: 100_000, target: undefined },
] as const;

/** A schema by hand, as Standard Schema allows: every field is checked, nothing is copied. */
const byHand: StandardSchema<Reading> = {
  '~standard': {
    version: 1,
    vendor: 'bench',
    validate(value) {
      const problem = problemOf(value);
      return problem === undefined ? { value: value as Reading } : { issues: [problem] };
    },
  },
};

/** The first field that is not as it must be. */
function problemOf(value: unknown): { readonly message: string; readonly path: readonly string[] } | undefined {
  if (typeof value !== 'object' || value === null) return { message: 'not an object', path: [] };
  const { device, ts, value: measured, unit, site, seq } = value as Record<string, unknown>;
  if (typeof device !== 'string') return { message: 'not a string', path: ['device'] };
  if (!Number.isSafeInteger(ts)) return { message: 'not a whole number', path: ['ts'] };
  if (typeof measured !== 'number' || !Number.isFinite(measured)) return { message: 'not a number', path: ['value'] };
  if (typeof unit !== 'string') return { message: 'not a string', path: ['unit'] };
  if (typeof site !== 'string') return { message: 'not a string', path: ['site'] };
  if (!Number.isSafeInteger(seq)) return { message: 'not a whole number', path: ['seq'] };
  return undefined;
}

const withZod = z.object({ device: z.string(), ts: z.int(), value: z.number(), unit: z.string(), site: z.string(), seq: z.int() });

/** Measures both numbers of keys, with the schema by hand and with zod's. */
export async function run(): Promise<BenchResult> {
  const figures: Record<string, Figure> = {};
  for (const { keys, target } of CASES) {
    const dir = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
    const log = await openEmbeddedLog({ dir });
    try {
      await load(log, readingsTopic(json(byHand)), keys, RECORDS, (reading) => reading);
      for (const [schema, codec] of [
        ['by hand', json(byHand)],
        ['zod', json(withZod)],
      ] as const) {
        const runs: { readonly recordsPerSecond: number; readonly cpuMicroseconds: number }[] = [];
        for (let i = 0; i < RUNS; i++)
          runs.push(await measure(log, readingsTopic(codec), `uc2-${schema === 'zod' ? 'zod' : 'hand'}-${keys}-${i}`, COMMIT_EVERY_MS));
        figures[`${keys} keys, schema ${schema}`] = figure(
          runs.map((r) => r.recordsPerSecond),
          'records/s',
          schema === 'zod' ? undefined : target,
        );
        figures[`${keys} keys, schema ${schema}, processor`] = figure(
          runs.map((r) => r.cpuMicroseconds),
          'µs a record',
        );
      }
    } finally {
      await log.close();
      await rm(dir, { recursive: true, force: true });
    }
  }
  return {
    name,
    figures,
    notes: `${RECORDS} records of about 110 bytes JSON a run, one partition, one commit every ${COMMIT_EVERY_MS} ms, results as JSON rows in the same log.`,
  };
}
