// Fills table topics from their CSV files at start: once per content, with what vanished from the file deleted.
import { dirname, resolve } from 'node:path';
import { MillraceError, messageOf } from '../engine/errors.ts';
import { partitionOf } from '../engine/partitioner.ts';
import type { PlannedTopic } from '../engine/plan.ts';
import type { LogPort, OutputBuffer, TopicSpec } from '../engine/ports.ts';
import { type Headers, noHeaders } from '../engine/record.ts';
import type { Topic } from '../engine/topic.ts';
import { readSeed, type SeedRow } from './readSeed.ts';

/** Remembers which content each seeded topic was filled from: key topic name, value `{"sha256": …}`. */
export const SEEDS_TOPIC: TopicSpec = { name: 'millrace.seeds', partitions: 1, cleanup: 'compact', keepMs: Number.POSITIVE_INFINITY };

/** Header of a row that came from a seed: the file's hash. A row that a device wrote later has none, and stays. */
const SEED_HEADER = 'seed';

/** A topic to fill and the file to fill it from. */
export interface Seed {
  readonly topic: Topic<any, any>;
  readonly partitions: number;
  /** Absolute. */
  readonly file: string;
}

/** What one seed changed. */
export interface Seeded {
  readonly topic: string;
  readonly file: string;
  readonly rows: number;
  readonly written: number;
  readonly deleted: number;
}

/** The seeds of a pipeline: paths are relative to its file. */
export function seedsOf(topics: readonly PlannedTopic[], pipelineFile: string): readonly Seed[] {
  return topics.flatMap(({ topic, spec }) =>
    topic?.seed === undefined ? [] : [{ topic, partitions: spec.partitions, file: resolve(dirname(pipelineFile), topic.seed) }],
  );
}

/**
 * Brings every seeded topic to the state of its file. A file that has not changed since costs one read of it.
 * Rows, deletions and the memory of the content go into the log in one append.
 *
 * Errors  E_SEED naming file, line and column; E_TOPIC_CONFLICT when two files fill one topic; what the log says
 */
export async function seedTopics(log: LogPort, seeds: readonly Seed[]): Promise<readonly Seeded[]> {
  const byTopic = new Map<string, Seed>();
  for (const seed of seeds) {
    const other = byTopic.get(seed.topic.name);
    if (other !== undefined && other.file !== seed.file)
      throw new MillraceError(
        'E_TOPIC_CONFLICT',
        `topic '${seed.topic.name}' is seeded from ${other.file} and from ${seed.file}; seed it from one`,
      );
    byTopic.set(seed.topic.name, seed);
  }
  if (byTopic.size === 0) return [];
  await log.ensureTopics([SEEDS_TOPIC]);
  const hashes = await readLatest(log, SEEDS_TOPIC.name, 1);
  const done: Seeded[] = [];
  for (const seed of byTopic.values()) {
    const known = hashes.get(hexOf(Buffer.from(seed.topic.name)));
    const seeded = await seedOne(
      log,
      seed,
      known === undefined ? undefined : (JSON.parse(known.value.toString('utf8')) as { sha256: string }).sha256,
    );
    if (seeded !== undefined) done.push(seeded);
  }
  return done;
}

async function seedOne(log: LogPort, seed: Seed, knownHash: string | undefined): Promise<Seeded | undefined> {
  const { topic, partitions, file } = seed;
  const { rows, hash } = readSeed(file);
  if (hash === knownHash) return undefined;
  const current = await readLatest(log, topic.name, partitions);
  const buffer = log.newBuffer();
  const nowMs = Date.now();
  const headers: Headers = Object.assign(Object.create(null), { [SEED_HEADER]: Buffer.from(hash, 'utf8') });
  let written = 0;
  for (const row of rows) {
    const { key, value } = encodeRow(seed, row);
    const held = current.get(hexOf(key));
    current.delete(hexOf(key));
    if (held?.seeded && held.value.equals(value)) continue;
    addRow(buffer, seed, key, value, nowMs, headers);
    written++;
  }
  // What is left was not in the file. Rows that came from an earlier seed go; those that a device wrote stay.
  const vanished = [...current.values()].filter((held) => held.seeded);
  for (const { key } of vanished) addRow(buffer, seed, key, null, nowMs, headers);
  const memory = Buffer.from(JSON.stringify({ sha256: hash, rows: rows.length, atMs: nowMs }), 'utf8');
  buffer.add(SEEDS_TOPIC.name, 0, Buffer.from(topic.name, 'utf8'), memory, nowMs, noHeaders);
  await log.append(buffer);
  return { topic: topic.name, file, rows: rows.length, written, deleted: vanished.length };
}

function addRow(
  buffer: OutputBuffer,
  { topic, partitions }: Seed,
  key: Uint8Array,
  value: Uint8Array | null,
  timeMs: number,
  headers: Headers,
): void {
  buffer.add(topic.name, partitionOf(key, partitions), key, value, timeMs, headers);
}

/**
 * The row as the topic's readers will find it. For JSON the cells are written as they are, for a schema may transform what it
 * reads and then cannot write; other codecs write their own form. Either way it is read back once: that is the check.
 */
function encodeRow({ topic, file }: Seed, row: SeedRow): { key: Buffer; value: Buffer } {
  try {
    const key = Buffer.from(topic.keyCodec.encode(row.key));
    topic.keyCodec.decode(key, 0, key.length);
    const isJson = topic.codec.contentType.startsWith('application/json');
    const value = isJson ? Buffer.from(JSON.stringify(row.value), 'utf8') : Buffer.from(topic.codec.encode(row.value));
    topic.codec.decode(value, 0, value.length);
    return { key, value };
  } catch (error) {
    const what = messageOf(error).replace(/^E_[A-Z_]+: /, '');
    const column = Object.keys(row.value).find((name) =>
      new RegExp(`(?:^|[^\\w])${name.replaceAll(/[^\w]/g, '\\$&')}(?:$|[^\\w])`).test(what),
    );
    throw new MillraceError(
      'E_SEED',
      `${file}:${row.line}: ${column === undefined ? '' : `column '${column}': `}key '${row.key}' does not fit topic '${topic.name}': ${what}`,
      { cause: error },
    );
  }
}

interface Held {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly seeded: boolean;
}

/** The latest value per key, by the key's bytes in hex. */
async function readLatest(log: LogPort, topic: string, partitions: number): Promise<Map<string, Held>> {
  const held = new Map<string, Held>();
  for (let partition = 0; partition < partitions; partition++) {
    let { startOffset: offset, endOffset } = await log.bounds(topic, partition);
    while (offset < endOffset) {
      const [fetched] = await log.fetch([{ topic, partition, offset }], { waitMs: 0 });
      if (fetched === undefined || fetched.nextOffset <= offset) break;
      for (const batch of fetched.batches)
        for (let i = 0; i < batch.count; i++) {
          const start = batch.keyStart[i] as number;
          if (start < 0 || batch.baseOffset + (batch.offsetDelta[i] as number) < offset) continue;
          const key = Buffer.from(batch.bytes.subarray(start, batch.keyEnd[i]));
          const valueStart = batch.valueStart[i] as number;
          if (valueStart < 0) held.delete(hexOf(key));
          else
            held.set(hexOf(key), {
              key,
              value: Buffer.from(batch.bytes.subarray(valueStart, batch.valueEnd[i])),
              seeded: SEED_HEADER in batch.headers(i),
            });
        }
      offset = fetched.nextOffset;
      endOffset = Math.max(endOffset, fetched.endOffset);
    }
  }
  return held;
}

function hexOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('hex');
}
