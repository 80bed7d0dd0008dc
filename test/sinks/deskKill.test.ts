// Exactly once into DuckDB: a real process on a real log and file, killed over and over, also between the inserts and COMMIT.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { noHeaders } from '../../engine/record.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import { openEmbeddedLog } from '../../log/embedded/embeddedLog.ts';
import { duckdb } from '../../sinks/duckdb.ts';
import { resultKey } from '../../sinks/resultKey.ts';
import { deskTable, readFile } from './deskBed.ts';

const CHILD = fileURLToPath(new URL('deskChild.ts', import.meta.url));
const RECORDS = 6_000;
const KILLS = 12;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'millrace-desk-kill-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const every = deskTable(duckdb('every', { mode: 'append' }), { partitions: 2 });
const means = deskTable(duckdb('means'), { partitions: 2 });
const tables = [every, means];

/** Numbers 0 … RECORDS-1 into both topics: each a row of its own in one, 200 windows that are overwritten in the other. */
async function fillLog(): Promise<void> {
  const log = await openEmbeddedLog({ dir });
  await log.ensureTopics(tables.map(({ topic }) => topic));
  for (let from = 0; from < RECORDS; from += 100) {
    const buffer = log.newBuffer();
    for (let n = from; n < from + 100; n++) {
      const key = `k${n % 20}`;
      const startMs = (n % 200) * 1_000;
      buffer.add(every.topic.name, n % 2, resultKey.encode(key), resultCodec.encode({ n, more: `f${n}` }), n, noHeaders);
      buffer.add(means.topic.name, n % 2, resultKey.encode(key), resultCodec.encode({ startMs, endMs: startMs + 1_000, n }), n, noHeaders);
    }
    await log.append(buffer);
  }
  await log.close();
}

/** Runs the child until it ends by itself (true) or is killed: after `killMs`, or at the kill point of its environment. */
function run(
  killMs: number | undefined,
  killAt = '',
): Promise<{ readonly done: boolean; readonly signal: string | null; readonly errors: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', CHILD, dir, JSON.stringify(tables)], {
      env: { ...process.env, MILLRACE_KILL_AT: killAt },
    });
    let out = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      // The clock starts when the file is being opened; most of a start is loading modules.
      if (out === '' && killMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killMs);
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.on('error', reject);
    child.on('close', (_, signal) => resolve({ done: out.endsWith('done\n'), signal, errors }));
  });
}

it(`counts every record once after ${KILLS} kills`, { timeout: 240_000 }, async () => {
  await fillLog();
  let killed = 0;
  let inTransaction = 0;
  for (let i = 0; i < KILLS; i++) {
    const atPoint = i % 3 !== 2;
    const { done, signal, errors } = atPoint ? await run(undefined, `desk-in-transaction:${1 + i}`) : await run(i * 7);
    if (signal === 'SIGKILL') killed++;
    else expect(done, errors).toBe(true);
    if (signal === 'SIGKILL' && atPoint) inTransaction++;
    expect(errors).not.toMatch(/quarantine|put aside/);
  }
  // The test is void unless kills really struck inside transactions.
  expect(killed).toBeGreaterThan(4);
  expect(inTransaction).toBeGreaterThan(3);
  expect(await run(undefined)).toMatchObject({ done: true });

  const path = join(dir, 'results.duckdb');
  expect(
    await readFile(path, 'SELECT count(*)::INT c, count(DISTINCT n)::INT d, min(n) lo, max(n) hi, count(DISTINCT more)::INT m FROM every'),
  ).toEqual([{ c: RECORDS, d: RECORDS, lo: 0, hi: RECORDS - 1, m: RECORDS }]);
  // Of each of the 200 windows the last record stands: n in the last 200.
  expect(await readFile(path, 'SELECT count(*)::INT c, count(DISTINCT window_start)::INT w, min(n) lo, max(n) hi FROM means')).toEqual([
    { c: 200, w: 200, lo: RECORDS - 200, hi: RECORDS - 1 },
  ]);
  expect(await readFile(path, 'SELECT topic, "partition" p, next_offset::INT o FROM _millrace_positions ORDER BY ALL')).toEqual(
    ['line.every', 'line.means'].flatMap((topic) => [0, 1].map((p) => ({ topic, p, o: RECORDS / 2 }))),
  );
});
