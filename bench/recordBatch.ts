// How fast records become a batch's bytes and columns again, and which CRC32C serves best.
import { createRequire } from 'node:module';
import { crc32cTable } from '../log/crc32c.ts';
import { decodeRecordBatch } from '../log/recordBatch.ts';
import { RecordBatchEncoder } from '../log/recordBatchEncoder.ts';
import { type BenchResult, type Figure, figure } from './result.ts';

export const name = 'record-batch';

const RECORDS = 1_000;
const ROUNDS = 7;
/** Each round works at least this long. Unit: ms. */
const ROUND_MS = 250;

const keys = Array.from({ length: RECORDS }, (_, i) => Buffer.from(`dev-${String(i).padStart(5, '0')}`));
const values = Array.from({ length: RECORDS }, (_, i) =>
  Buffer.from(
    JSON.stringify({
      device: `dev-${String(i).padStart(5, '0')}`,
      ts: 1_700_000_000_000 + i * 60,
      value: 10 + i / 100,
      unit: 'C',
      site: `hall-${i % 10}`,
      seq: i,
      ok: true,
    }),
  ),
);
const headers = Object.assign(Object.create(null), {
  'mqtt.topic': Buffer.from('city/north/air/dev-00001'),
  'mqtt.qos': Buffer.from('1'),
  'mqtt.retain': Buffer.from('0'),
  ingestTimeMs: Buffer.from('1700000000000'),
}) as Record<string, Uint8Array>;

/** Nanoseconds per unit of work, one figure a round. */
function measure(units: number, work: () => void): number[] {
  const warmUntil = performance.now() + ROUND_MS;
  while (performance.now() < warmUntil) work();
  return Array.from({ length: ROUNDS }, () => {
    const start = performance.now();
    let times = 0;
    do {
      work();
      times++;
    } while (performance.now() - start < ROUND_MS);
    return ((performance.now() - start) * 1e6) / (times * units);
  });
}

const rounded = (runs: number[]) => runs.map((run) => Number(run.toPrecision(3)));

function encode(encoder: RecordBatchEncoder, withHeaders: boolean, checksum: boolean): Buffer {
  encoder.reset();
  for (let i = 0; i < RECORDS; i++) {
    const at = 1_700_000_000_000 + i * 60;
    if (withHeaders) encoder.add(keys[i] as Buffer, values[i] as Buffer, at, headers);
    else encoder.add(keys[i] as Buffer, values[i] as Buffer, at);
  }
  return encoder.seal({ checksum });
}

export async function run(): Promise<BenchResult> {
  const encoder = new RecordBatchEncoder();
  const plain = Buffer.from(encode(encoder, false, true));
  const headed = Buffer.from(encode(encoder, true, true));
  const options = { appendTimeMs: 0 };
  const figures: Record<string, Figure> = {};
  const microseconds = (runs: number[]) => rounded(runs.map((ns) => ns / 1000));
  figures.encode = figure(microseconds(measure(RECORDS, () => encode(encoder, false, true))), 'µs/record', 0.8);
  figures.decode = figure(microseconds(measure(RECORDS, () => decodeRecordBatch(plain, options))), 'µs/record', 0.3);
  figures['encode, four headers'] = figure(microseconds(measure(RECORDS, () => encode(encoder, true, true))), 'µs/record');
  figures['decode, four headers'] = figure(microseconds(measure(RECORDS, () => decodeRecordBatch(headed, options))), 'µs/record');
  figures['encode, no checksum'] = figure(microseconds(measure(RECORDS, () => encode(encoder, false, false))), 'µs/record');
  figures['decode, no checksum'] = figure(
    microseconds(measure(RECORDS, () => decodeRecordBatch(plain, { appendTimeMs: 0, checksum: false }))),
    'µs/record',
  );
  const { crc32c } = createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: (bytes: Buffer) => number };
  for (const size of [64, 256, 1_024, plain.length]) {
    const bytes = plain.subarray(0, size);
    const perSecond = (runs: number[]) => rounded(runs.map((ns) => 1 / ns));
    figures[`crc32c native, ${size} B`] = figure(perSecond(measure(size, () => crc32c(bytes))), 'GB/s');
    figures[`crc32c table, ${size} B`] = figure(perSecond(measure(size, () => crc32cTable(bytes, 0, size))), 'GB/s');
  }
  const bytes = Math.round(values.reduce((sum, value) => sum + value.length, 0) / RECORDS);
  return { name, figures, notes: `${RECORDS} records a batch, values of ${bytes} B, keys of 9 B` };
}
