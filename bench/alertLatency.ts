// From a device's publish to its alarm on the alerts topic, flushed, through the whole product: listener, log, worker, desk.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startMillrace } from '../runtime/startMillrace.ts';
import type { AlertLoad } from './load/alertLoad.ts';
import { type BenchResult, figure } from './result.ts';

export const name = 'alert-latency';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const LOAD_CORE = '1';
const TARGET_MS = 30;

/** The load in a process of its own, on another core where the system lets us choose. */
async function runLoad(load: AlertLoad): Promise<number[][]> {
  const pinned = spawnSync('taskset', ['-c', LOAD_CORE, 'true']).status === 0 ? ['taskset', '-c', LOAD_CORE] : [];
  const command = [...pinned, process.execPath, here('load/alertLoad.js'), JSON.stringify(load)] as unknown as readonly [
    string,
    ...string[],
  ];
  const [program, ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk;
  });
  const code = await new Promise<number | null>((done, fail) => child.once('error', fail).once('close', done));
  if (code !== 0) throw new Error(`the load ended with exit code ${code}`);
  return JSON.parse(printed) as number[][];
}

/** The value that so many per cent of the others do not exceed. */
function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((percent / 100) * sorted.length) - 1)] as number;
}

/** Runs line and desk on one core, loads them from the other, and takes the time of every alarm. */
export async function run(): Promise<BenchResult> {
  const data = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const millrace = await startMillrace({
    pipelines: [here('load/alertPipeline.js')],
    data,
    mqttPort: 0,
    httpPort: 0,
    logLevel: 'warn',
    tell: (line) => process.stderr.write(`${line}\n`),
  });
  try {
    const runs = await runLoad({
      port: millrace.info.mqtt.port,
      dir: data,
      clients: 100,
      devices: 1_000,
      perSecond: 10_000,
      alarmEvery: 50,
      warmUpMs: 5_000,
      runMs: 8_000,
      runs: 5,
    });
    const of = (percent: number): number[] => runs.map((latencies) => percentile(latencies, percent));
    return {
      name,
      figures: { p50: figure(of(50), 'ms'), p99: figure(of(99), 'ms', TARGET_MS), 'p99.9': figure(of(99.9), 'ms') },
      notes: `10,000 publishes/s at QoS 1 from 100 connections, zod's schema, ${runs.map((one) => one.length).join('/')} alarms a run; from when a publish was due to when another process sees the flushed alert.`,
    };
  } finally {
    await millrace.stop();
    rmSync(data, { recursive: true, force: true });
  }
}
