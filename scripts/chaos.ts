// The kill harness: real processes, numbered messages, SIGKILL at random and at named points, then an independent reader.
// usage: npm run chaos -- [--kills 25] [--seed N] [--clients 20] [--per-second 1000] [--keep] [--out FILE]
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { KILL_POINTS } from '../runtime/killPoint.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const CLI = here('../dist/runtime/cli.js');
const READY_MS_MAX = 60_000;

const { values: args } = parseArgs({
  options: {
    kills: { type: 'string', default: '25' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    clients: { type: 'string', default: '20' },
    'per-second': { type: 'string', default: '1000' },
    keep: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
});
const kills = Number(args.kills);
let random = Number(args.seed);

/** mulberry32: the whole run follows from one printed seed, as far as the machine lets it. */
function chance(): number {
  random = (random + 0x6d2b79f5) | 0;
  let t = Math.imul(random ^ (random >>> 15), 1 | random);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const oneOf = <T>(choices: readonly T[]): T => choices[Math.floor(chance() * choices.length)] as T;
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const data = mkdtempSync(join(tmpdir(), 'millrace-chaos-'));
const file = (name: string) => join(data, name);
const folder = file('data');
const log = createWriteStream(file('output.log'), { flags: 'a' });
const hits: Record<string, number> = {};
let port = 0;
let supervisor: ChildProcess | undefined;
/** Roles that the present supervisor has lost, as it said. */
let lost: string[] = [];

/** Starts a supervisor; resolves when it says that everything is ready. `point` makes its first child of that role die there. */
async function start(point?: string): Promise<void> {
  const env = { ...process.env, MILLRACE_KILL_AT: point ?? '' };
  const argv = [CLI, 'run', here('./chaos/pipeline.ts'), '--data', folder, '--mqtt-port', String(port), '--http-port', '0'];
  const child = spawn(process.execPath, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  supervisor = child;
  const deaths: string[] = [];
  lost = deaths;
  createInterface(child.stderr).on('line', (line) => {
    log.write(`${line}\n`);
    const role = /the (line|desk) is gone/.exec(line)?.[1];
    if (role !== undefined) deaths.push(role);
  });
  const ready = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('not ready within a minute')), READY_MS_MAX);
    createInterface(child.stdout).on('line', (line) => {
      if (!line.startsWith('millrace ready ')) return;
      clearTimeout(timer);
      resolve(line.slice('millrace ready '.length));
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`the supervisor ended with ${code ?? signal} before it was ready`));
    });
  });
  port = JSON.parse(ready).mqtt.port;
}

/** The process ids of the supervisor's children by role. */
function children(): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      const parent = /\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
      if (Number(parent) !== supervisor?.pid) continue;
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      for (const role of ['line', 'desk']) if (command.includes(`${role}Process`)) found.set(role, Number(pid));
    } catch {
      // It ended while we looked.
    }
  return found;
}

/** Waits until the role has another process than `old`, and that one is ready, as far as the metrics page knows. */
async function replaced(role: string, old: number | undefined): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  for (;;) {
    const now = children().get(role);
    if (now !== undefined && now !== old && (await isReady())) return;
    if (performance.now() > deadline) throw new Error(`the ${role} did not come back within a minute`);
    if (supervisor?.exitCode !== null) throw new Error(`the supervisor ended with ${supervisor?.exitCode}`);
    await pause(25);
  }
}

async function isReady(): Promise<boolean> {
  try {
    const ports = JSON.parse(readFileSync(join(folder, 'ports.json'), 'utf8'));
    return (await fetch(`http://127.0.0.1:${ports.http.port ?? ports.http}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

function kill(what: string, pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(pid, 'SIGKILL');
    hits[what] = (hits[what] ?? 0) + 1;
  } catch {
    // It was already gone.
  }
}

async function killSupervisor(point?: string): Promise<void> {
  const child = supervisor as ChildProcess;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  kill('supervisor', child.pid);
  await gone;
  await start(point);
}

const total = () => Object.values(hits).reduce((sum, n) => sum + n, 0);

/** One round: a random kill of a role, or a new supervisor whose line or desk dies at a named point. */
async function round(i: number): Promise<void> {
  await pause(100 + chance() * 900);
  const point = i % 3 === 0 ? KILL_POINTS[(i / 3) % KILL_POINTS.length] : undefined;
  if (point !== undefined) {
    await killSupervisor(`${point}:${1 + Math.floor(chance() * 20)}`);
    const role = point === 'desk-in-transaction' ? 'desk' : 'line';
    // It may have died before the supervisor was ready, or be about to.
    const deadline = performance.now() + READY_MS_MAX;
    while (!lost.includes(role)) {
      if (performance.now() > deadline) throw new Error(`nothing died at ${point}`);
      await pause(10);
    }
    hits[point] = (hits[point] ?? 0) + 1;
    await replaced(role, undefined);
    return;
  }
  const role = oneOf(['line', 'line', 'desk', 'supervisor']);
  if (role === 'supervisor') return killSupervisor();
  const pid = children().get(role);
  kill(role, pid);
  await replaced(role, pid);
}

function cli(...argv: string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [CLI, ...argv, '--data', folder], {
    encoding: 'utf8',
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`millrace ${argv.join(' ')} ended with ${status}: ${stderr}`);
  return stdout;
}

/** Waits until every row is in a window or late: silence closes the last ones. */
async function settled(): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  for (;;) {
    const count = (sql: string) => Number(JSON.parse(cli('query', sql, '--format', 'json'))[0].n);
    try {
      const rows = count('SELECT count(*) AS n FROM chaos_rows');
      const topics: { topic: string; records: number }[] = JSON.parse(cli('topics', '--format', 'json'));
      const topicRows = topics.find((t) => t.topic === 'chaos.chaos_rows')?.records;
      const counted = count('SELECT coalesce(sum(n), 0) AS n FROM chaos_windows') + count('SELECT count(*) AS n FROM chaos_late');
      if (rows > 0 && rows === topicRows && rows === counted) return;
      if (performance.now() > deadline)
        throw new Error(`${topicRows} rows in the topic, ${rows} in DuckDB, ${counted} counted after a minute of silence`);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await pause(500);
  }
}

async function main(): Promise<void> {
  console.error(`chaos: ${kills} kills, seed ${args.seed}`);
  await start();
  const load = fork(here('./chaos/load.ts'), { execArgv: ['--import', 'tsx'] });
  let progress = { acknowledged: 0, inDoubt: 0 };
  load.on('message', (message: typeof progress) => {
    progress = message;
  });
  load.send({
    port,
    clients: Number(args.clients),
    perSecond: Number(args['per-second']),
    acknowledgedFile: file('acknowledged.ndjson'),
    doubtFile: file('doubt.ndjson'),
  });
  for (let i = 0; total() < kills; i++) {
    await round(i);
    if (i % 5 === 4)
      console.error(`chaos: ${total()} of ${kills} kills, ${progress.acknowledged} acknowledged, ${progress.inDoubt} in doubt`);
  }
  await pause(500);
  const loadDone = new Promise((resolve) => load.once('exit', resolve));
  load.send('stop');
  await loadDone;
  await settled();
  const stopped = new Promise((resolve) => (supervisor as ChildProcess).once('exit', resolve));
  (supervisor as ChildProcess).kill('SIGINT');
  if ((await stopped) !== 0) throw new Error('the last run did not stop cleanly');
  for (const name of ['rows', 'windows', 'late']) writeFileSync(file(`${name}.ndjson`), cli('read', `chaos.chaos_${name}`));
  const verify = spawnSync(
    'python3',
    [
      here('./chaos/verify.py'),
      join(folder, 'results.duckdb'),
      ...['acknowledged', 'doubt', 'rows', 'windows', 'late'].map((name) => file(`${name}.ndjson`)),
    ],
    { encoding: 'utf8', maxBuffer: 2 ** 26 },
  );
  if (verify.error !== undefined || verify.stdout === '')
    throw new Error(`the independent reader did not run (pip install duckdb): ${verify.error?.message ?? verify.stderr}`);
  const report = JSON.parse(verify.stdout);
  const missed = KILL_POINTS.filter((point) => hits[point] === undefined);
  if (kills >= 25 && missed.length > 0) throw new Error(`void: never killed at ${missed.join(', ')}`);
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), node: process.version };
  const result = {
    name: 'chaos',
    date: new Date().toISOString().slice(0, 10),
    seed: Number(args.seed),
    machine,
    kills: total(),
    hits,
    ...report,
  };
  if (args.out !== undefined) writeFileSync(args.out, `${JSON.stringify(result, null, 2)}\n`);
  console.log(JSON.stringify(result, null, 2));
  const bad = verify.status !== 0;
  console.log(
    bad
      ? `chaos: FAILED, seed ${args.seed}; see ${data}`
      : `chaos: ${total()} kills, ${report.acknowledged} acknowledged messages, each exactly once`,
  );
  if (bad) process.exitCode = 1;
  else if (!args.keep) rmSync(data, { recursive: true, force: true });
}

main().catch((error) => {
  console.error(`chaos: ${error instanceof Error ? error.message : error}; seed ${args.seed}; what was left is in ${data}`);
  supervisor?.kill('SIGKILL');
  process.exit(1);
});
