// Records on their way out, as record batches per topic and partition.
import { MillraceError } from '../engine/errors.ts';
import type { OutputBuffer } from '../engine/ports.ts';
import { type Headers, noHeaders } from '../engine/record.ts';
import { measureHeaders, RecordBatchEncoder } from './recordBatchEncoder.ts';

/** Largest record: key, value and headers together. Fits Kafka's default of 1,048,588 bytes a batch. Unit: bytes. */
export const RECORD_BYTES_MAX = 900 * 1024;
/** A batch is closed before it grows past this, unless one record alone does. Unit: bytes. */
const BATCH_BYTES_MAX = 1_000_000;
/** What a record takes besides key, value and headers. Unit: bytes. */
const RECORD_OVERHEAD_MAX = 40;

/** The batches of one partition, in order. */
export interface PartitionOutput {
  readonly topic: string;
  readonly partition: number;
  readonly batches: RecordBatchEncoder[];
}

/**
 * The output buffer of every log adapter. `partitionsOf` says how many partitions a topic has and throws
 * E_UNKNOWN_TOPIC for one that is not there, so a wrong name is met where the record is added.
 *
 * Errors  E_TOO_LARGE, E_UNKNOWN_TOPIC, E_EVENT_TIME: nothing was added
 */
export class BatchedOutput implements OutputBuffer {
  recordCount = 0;
  byteCount = 0;
  readonly #partitionsOf: (topic: string) => number;
  readonly #topics = new Map<string, (PartitionOutput | undefined)[]>();
  /** In order of their first record, so that a commit is written the same way every time. */
  readonly #outputs: PartitionOutput[] = [];
  #taken = false;

  constructor(partitionsOf: (topic: string) => number) {
    this.#partitionsOf = partitionsOf;
  }

  add(topic: string, partition: number, key: Uint8Array | null, value: Uint8Array | null, timeMs: number, headers: Headers): void {
    if (this.#taken) throw new MillraceError('E_ASSERT', `output buffer: a record for '${topic}' after the buffer was handed over`);
    const headersSize = measureHeaders(headers);
    const size = (key === null ? 0 : key.length) + (value === null ? 0 : value.length) + (headers === noHeaders ? 0 : headersSize);
    if (size > RECORD_BYTES_MAX)
      throw new MillraceError(
        'E_TOO_LARGE',
        `a record of ${size} bytes for topic '${topic}'; at most ${RECORD_BYTES_MAX} are taken, key and headers included`,
      );
    const batch = this.#batch(topic, partition, size);
    const before = batch.byteCount;
    batch.add(key, value, timeMs, headers, headersSize);
    this.recordCount++;
    this.byteCount += batch.byteCount - before;
  }

  /** The batch the next record of this partition goes to. */
  #batch(topic: string, partition: number, size: number): RecordBatchEncoder {
    const output = this.#topics.get(topic)?.[partition] ?? this.#open(topic, partition);
    const last = output.batches[output.batches.length - 1] as RecordBatchEncoder;
    if (last.count === 0 || last.byteCount + size + RECORD_OVERHEAD_MAX <= BATCH_BYTES_MAX) return last;
    const next = new RecordBatchEncoder(last.byteCount);
    output.batches.push(next);
    return next;
  }

  #open(topic: string, partition: number): PartitionOutput {
    const count = this.#partitionsOf(topic);
    if (!Number.isInteger(partition) || partition < 0 || partition >= count)
      throw new MillraceError('E_UNKNOWN_TOPIC', `topic '${topic}' has partitions 0 to ${count - 1}, not ${partition}`);
    let partitions = this.#topics.get(topic);
    if (partitions === undefined) this.#topics.set(topic, (partitions = new Array(count)));
    const output: PartitionOutput = { topic, partition, batches: [new RecordBatchEncoder()] };
    partitions[partition] = output;
    this.#outputs.push(output);
    return output;
  }

  /** Hands the batches over, once. Partitions without a record are left out. */
  take(): readonly PartitionOutput[] {
    if (this.#taken) throw new MillraceError('E_ASSERT', 'output buffer: handed over twice');
    this.#taken = true;
    return this.#outputs.filter((output) => (output.batches[0] as RecordBatchEncoder).count > 0);
  }

  /** Nothing of it was written: it may be handed over again. */
  giveBack(): void {
    this.#taken = false;
  }
}

/** The batches of a buffer that one of our logs made. */
export function takeOutput(buffer: OutputBuffer): readonly PartitionOutput[] {
  if (!(buffer instanceof BatchedOutput)) throw new MillraceError('E_ASSERT', 'output buffer: not made by newBuffer()');
  return buffer.take();
}
