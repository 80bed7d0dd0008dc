// MQTT QoS 1 into the embedded log: checked with the topic's codec, flushed, and acknowledged after that.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { json } from '../codecs/json.ts';
import type { StandardSchema } from '../codecs/standardSchema.ts';
import { DEAD_LETTER_TOPIC } from '../engine/deadLetter.ts';
import { topic } from '../engine/topic.ts';
import { startListener } from '../ingest/listener.ts';
import { mqtt } from '../ingest/mqtt.ts';
import { openEmbeddedLog } from '../log/embedded/embeddedLog.ts';
import type { MqttLoad } from './load/mqttLoad.ts';
import { type BenchResult, figure } from './result.ts';

export const name = 'ingest';

const LOAD = fileURLToPath(new URL('load/mqttLoad.js', import.meta.url));
const LOAD_CORE = '1';
const PARTITIONS = 4;

interface Reading {
  at: number;
  pm25: number;
  pm10: number;
  co: number;
  temp: number;
  station: string;
}

/** Checks every field by hand, so that the figure is ingest's and not a validator's. */
const Reading: StandardSchema<Reading> = {
  '~standard': {
    version: 1,
    vendor: 'bench',
    validate(value) {
      const r = value as Reading;
      const isReading =
        typeof r === 'object' &&
        r !== null &&
        typeof r.at === 'number' &&
        typeof r.pm25 === 'number' &&
        typeof r.pm10 === 'number' &&
        typeof r.co === 'number' &&
        typeof r.temp === 'number' &&
        typeof r.station === 'string';
      return isReading ? { value: r } : { issues: [{ message: 'not a reading' }] };
    },
  },
};

const air = topic('city.air', json(Reading), {
  from: mqtt('city/+zone/air/+device', { key: '{zone}/{device}', eventTime: (r) => r.at }),
});

/** The load in a process of its own, on another core where the system lets us choose. */
async function runLoad(load: MqttLoad): Promise<number[]> {
  const pinned = spawnSync('taskset', ['-c', LOAD_CORE, 'true']).status === 0 ? ['taskset', '-c', LOAD_CORE] : [];
  const [program, ...args] = [...pinned, process.execPath, LOAD, JSON.stringify(load)] as unknown as [string, ...string[]];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  const code = await new Promise<number | null>((done, fail) => child.once('error', fail).once('close', done));
  if (code !== 0) throw new Error(`the load ended with exit code ${code}`);
  return JSON.parse(printed) as number[];
}

/** Messages per second that were acknowledged, and what the log holds afterwards, which must be no less. */
async function measure(load: Omit<MqttLoad, 'port'>): Promise<{ rates: number[]; stored: number; cpuUs: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-bench-ingest-'));
  const log = await openEmbeddedLog({ dir });
  await log.ensureTopics([
    { name: air.name, partitions: PARTITIONS, cleanup: 'delete', keepMs: Infinity },
    { name: DEAD_LETTER_TOPIC, partitions: 1, cleanup: 'delete', keepMs: Infinity },
  ]);
  const listener = await startListener({
    log,
    routes: [{ topic: air, partitions: PARTITIONS }],
    port: 0,
    onWarning: console.warn,
    onFatal: (error) => {
      throw error;
    },
  });
  try {
    const before = process.cpuUsage();
    const rates = await runLoad({ ...load, port: listener.port });
    const { user, system } = process.cpuUsage(before);
    await listener.close();
    const ends = await Promise.all(Array.from({ length: PARTITIONS }, (_, p) => log.bounds(air.name, p)));
    const stored = ends.reduce((sum, { endOffset }) => sum + endOffset, 0);
    const { received, stored: counted } = listener.counters();
    if (stored !== received || stored !== counted) throw new Error(`received ${received}, counted ${counted}, in the log ${stored}`);
    return { rates, stored, cpuUs: (user + system) / stored };
  } finally {
    await log.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

export async function run(): Promise<BenchResult> {
  const each = { warmUpMs: 2_000, runMs: 2_000, runs: 5 };
  const bursts = await measure({ clients: 50, burst: 200, ...each });
  const singles = await measure({ clients: 1_000, burst: 1, ...each });
  return {
    name,
    figures: {
      '50 clients in bursts of 200': figure(bursts.rates, 'messages/s', 70_000),
      'CPU in bursts': { value: bursts.cpuUs, unit: 'µs a message' },
      '1,000 clients with one message in flight': figure(singles.rates, 'messages/s', 15_000),
      'CPU with one in flight': { value: singles.cpuUs, unit: 'µs a message' },
    },
    notes: `QoS 1, ~110-byte JSON parsed and checked field by field, event time from the payload, ${PARTITIONS} partitions, embedded log flushed before each PUBACK; the load on core ${LOAD_CORE}. All ${bursts.stored + singles.stored} messages received were in the log.`,
  };
}
