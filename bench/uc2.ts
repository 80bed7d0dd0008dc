// The job that stream processors are compared by: per device and minute count, sum, min, max and mean (Theodolite's UC2), behind five steps.
import { planOf } from '../engine/plan.ts';
import { pipeline } from '../engine/pipeline.ts';
import type { LogPort } from '../engine/ports.ts';
import { noHeaders } from '../engine/record.ts';
import { resultCodec } from '../engine/resultCodec.ts';
import { stream } from '../engine/stream.ts';
import { type Codec, type Topic, topic } from '../engine/topic.ts';
import { startWorker } from '../engine/worker.ts';
import { msgpack } from '../codecs/msgpack.ts';
import { aggregate } from '../operators/aggregate.ts';
import { count } from '../operators/aggregators/count.ts';
import { max } from '../operators/aggregators/max.ts';
import { mean } from '../operators/aggregators/mean.ts';
import { min } from '../operators/aggregators/min.ts';
import { sum } from '../operators/aggregators/sum.ts';
import { filter } from '../operators/filter.ts';
import { map } from '../operators/map.ts';
import { peek } from '../operators/peek.ts';
import { tumbling } from '../operators/tumbling.ts';

/** What a device says. */
export interface Reading {
  readonly device: string;
  /** Unit: epoch ms. */
  readonly ts: number;
  readonly value: number;
  readonly unit: string;
  readonly site: string;
  readonly seq: number;
}

/** A device speaks every 6 s, so a window holds ten readings. Unit: ms. */
const EVERY_MS = 6_000;
const START_MS = 1_700_000_040_000;
/** Records of one appended batch: what a commit of ingest holds under load. */
const BATCH = 2_000;

/** The source topic; its records are read by every run. */
export function readingsTopic<V>(codec: Codec<V>): Topic<string, V> {
  return topic('uc2.readings', codec);
}

/** The pipeline: five steps, then the windows. A new id reads the topic from its beginning again. */
export function uc2<V extends { readonly value: number }>(id: string, source: Topic<string, V>, commitEveryMs: number) {
  let seen = 0;
  const readings = stream(source).pipe(
    filter((reading) => reading.value >= -50 && reading.value < 150),
    map((reading) => ({ celsius: reading.value })),
    peek(() => {
      seen++;
    }),
    map((reading) => ({ kelvin: reading.celsius + 273.15 })),
    filter((reading) => reading.kelvin > 0),
    aggregate('per-minute', tumbling({ minutes: 1 }, { grace: { seconds: 5 } }), {
      count: count(),
      sum: sum((reading) => reading.kelvin),
      min: min((reading) => reading.kelvin),
      max: max((reading) => reading.kelvin),
      mean: mean((reading) => reading.kelvin),
    }),
  );
  const plan = planOf(pipeline(id, [readings.to(topic(`${id}.results`, resultCodec))], { commitEveryMs }));
  return { plan, seen: () => seen };
}

/** Fills the topic with `records` readings of `keys` devices. The values come from a fixed sequence, not from chance. */
export async function load<V>(
  log: LogPort,
  source: Topic<string, V>,
  keys: number,
  records: number,
  valueOf: (reading: Reading) => V,
): Promise<void> {
  await log.ensureTopics([{ name: source.name, partitions: 1, cleanup: 'delete', keepMs: Number.POSITIVE_INFINITY }]);
  const devices = Array.from({ length: keys }, (_, i) => `dev-${String(i).padStart(5, '0')}`);
  const keyBytes = devices.map((device) => source.keyCodec.encode(device));
  let random = 42;
  for (let from = 0; from < records; from += BATCH) {
    const buffer = log.newBuffer();
    for (let i = from; i < Math.min(from + BATCH, records); i++) {
      random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
      const d = i % keys;
      const ts = START_MS + Math.floor(i / keys) * EVERY_MS + Math.floor((d * EVERY_MS) / keys);
      const reading = { device: devices[d] as string, ts, value: 10 + (random % 2_000) / 100, unit: 'C', site: `hall-${d % 10}`, seq: i };
      buffer.add(source.name, 0, keyBytes[d] as Uint8Array, source.codec.encode(valueOf(reading)), ts, noHeaders);
    }
    await log.append(buffer);
  }
}

/** One run over all the topic holds: records a second of wall time, and processor time a record. */
export async function measure<V extends { readonly value: number }>(
  log: LogPort,
  source: Topic<string, V>,
  id: string,
  commitEveryMs: number,
): Promise<{ readonly recordsPerSecond: number; readonly cpuMicroseconds: number }> {
  const { plan, seen } = uc2(id, source, commitEveryMs);
  await log.ensureTopics(plan.topics.map(({ spec }) => spec));
  globalThis.gc?.();
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const worker = await startWorker({ log, plans: [plan], boxed: msgpack() });
  worker.endOfInput();
  await Promise.race([worker.finished, worker.failed]);
  const ms = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  await worker.stop();
  await checkResults(log, plan.outputs[0]?.topic.name ?? '', seen());
  return { recordsPerSecond: (seen() / ms) * 1_000, cpuMicroseconds: (user + system) / seen() };
}

/** A run counts only if every record that passed is in exactly one window: the counts in the result topic must add up. */
async function checkResults(log: LogPort, results: string, expected: number): Promise<void> {
  let total = 0;
  const { endOffset } = await log.bounds(results, 0);
  for (let offset = 0; offset < endOffset; ) {
    const [fetched] = await log.fetch([{ topic: results, partition: 0, offset }], { waitMs: 0 });
    if (fetched === undefined || fetched.nextOffset <= offset) throw new Error(`the result topic stops at ${offset} of ${endOffset}`);
    for (const { bytes, count: rows, valueStart, valueEnd } of fetched.batches)
      for (let i = 0; i < rows; i++)
        total += (resultCodec.decode(bytes, valueStart[i] as number, valueEnd[i] as number) as { count: number }).count;
    offset = fetched.nextOffset;
  }
  if (total !== expected) throw new Error(`${expected} records passed, but the windows count ${total}`);
}
