// What reading JSON costs: the parser alone, the reader that knows the shape, and the codec with two kinds of schema.
import { z } from 'zod';
import { json } from '../codecs/json.ts';
import { jsonDecoder } from '../codecs/jsonText.ts';
import type { StandardSchema } from '../codecs/standardSchema.ts';
import { type BenchResult, figure } from './result.ts';

export const name = 'json';

const RECORDS = 2_000;
const ROUNDS = 7;
/** Each round works at least this long. Unit: ms. */
const ROUND_MS = 150;

interface Reading {
  readonly device: string;
  readonly ts: number;
  readonly value: number;
  readonly unit: string;
  readonly site: string;
  readonly seq: number;
}

const readings: readonly Reading[] = Array.from({ length: RECORDS }, (_, i) => ({
  device: `dev-${String(i).padStart(5, '0')}`,
  ts: 1_700_000_000_000 + i * 60,
  value: Math.round(1_000 + ((i * 7_919) % 2_000)) / 100,
  unit: 'C',
  site: `hall-${i % 10}`,
  seq: i,
}));
const texts = readings.map((reading) => Buffer.from(JSON.stringify(reading)));
/** As a record batch holds them: one buffer, and where each value lies. */
const buffer = Buffer.concat(texts);
const starts = texts.reduce((all, text) => [...all, (all.at(-1) as number) + text.length], [0]);

const zodSchema = z.object({ device: z.string(), ts: z.number(), value: z.number(), unit: z.string(), site: z.string(), seq: z.number() });

/** A schema written by hand that checks every field. */
const handSchema: StandardSchema<Reading> = {
  '~standard': {
    version: 1,
    vendor: 'bench',
    validate(value) {
      const { device, ts, value: reading, unit, site, seq } = (value ?? {}) as Partial<Record<keyof Reading, unknown>>;
      if (
        typeof device === 'string' &&
        typeof ts === 'number' &&
        typeof reading === 'number' &&
        typeof unit === 'string' &&
        typeof site === 'string' &&
        typeof seq === 'number'
      )
        return { value: value as Reading };
      return { issues: [{ message: 'not a reading' }] };
    },
  },
};

/** Nanoseconds of processor time a record, one figure a round: other programs on the machine do not count. */
function measure(work: (i: number) => unknown): number[] {
  let kept: unknown;
  const round = (): number => {
    const startMs = performance.now();
    const before = process.cpuUsage();
    let done = 0;
    do {
      for (let i = 0; i < RECORDS; i++) kept = work(i);
      done += RECORDS;
    } while (performance.now() - startMs < ROUND_MS);
    const { user, system } = process.cpuUsage(before);
    return Math.round(((user + system) * 1e3) / done);
  };
  round();
  const runs = Array.from({ length: ROUNDS }, round);
  if (kept === undefined) throw new Error('nothing was read');
  return runs;
}

const decoding = (decode: (bytes: Buffer, start: number, end: number) => unknown) =>
  measure((i) => decode(buffer, starts[i] as number, starts[i + 1] as number));

/** Measures decoding and encoding of a reading of about 90 bytes. */
export async function run(): Promise<BenchResult> {
  const byHand = json(handSchema);
  const byZod = json(zodSchema);
  const unit = 'ns a record';
  return {
    name,
    figures: {
      'JSON.parse of the text': figure(
        decoding((bytes, start, end) => JSON.parse(bytes.toString('utf8', start, end))),
        unit,
      ),
      'shape reader': figure(decoding(jsonDecoder()), unit),
      'decode, schema by hand': figure(decoding(byHand.decode), unit),
      'decode, zod': figure(decoding(byZod.decode), unit),
      'encode, schema by hand': figure(
        measure((i) => byHand.encode(readings[i] as Reading)),
        unit,
      ),
      'encode, zod': figure(
        measure((i) => byZod.encode(readings[i] as Reading)),
        unit,
      ),
    },
    notes: `${Math.round(buffer.length / RECORDS)} bytes a record. The shape reader is kept while it is at least 1.5 times as fast as JSON.parse.`,
  };
}
