// What one record or due call wants to send: held back until it is known to have succeeded.
import { MillraceError } from './errors.ts';
import { partitionOf } from './partitioner.ts';
import type { OutputBuffer } from './ports.ts';
import type { Headers } from './record.ts';

/** Largest key and value together. Kafka refuses batches a little above 1 MB. Unit: bytes. */
export const RECORD_BYTES_MAX = 900_000;

interface Pending {
  topic: string;
  partition: number;
  key: Uint8Array | null;
  value: Uint8Array | null;
  timeMs: number;
  headers: Headers;
}

/** A savepoint for outputs: stage, then settle or drop. */
export class Outbox {
  readonly #pending: Pending[] = [];

  /** Errors: E_TOO_LARGE, and then nothing was staged. */
  stage(topic: string, partitions: number, key: Uint8Array | null, value: Uint8Array | null, timeMs: number, headers: Headers): void {
    const bytes = (key?.length ?? 0) + (value?.length ?? 0);
    if (bytes > RECORD_BYTES_MAX)
      throw new MillraceError('E_TOO_LARGE', `a record for '${topic}' has ${bytes} bytes; ${RECORD_BYTES_MAX} is the most`);
    this.#pending.push({ topic, partition: partitionOf(key, partitions), key, value, timeMs, headers });
  }

  stageTo(topic: string, partition: number, key: Uint8Array | null, value: Uint8Array | null, timeMs: number, headers: Headers): void {
    this.#pending.push({ topic, partition, key, value, timeMs, headers });
  }

  get isEmpty(): boolean {
    return this.#pending.length === 0;
  }

  drop(): void {
    this.#pending.length = 0;
  }

  /** Moves what is staged into the commit's buffer and returns how many records that were. */
  settle(buffer: OutputBuffer): number {
    const count = this.#pending.length;
    for (let i = 0; i < count; i++) {
      const { topic, partition, key, value, timeMs, headers } = this.#pending[i] as Pending;
      buffer.add(topic, partition, key, value, timeMs, headers);
    }
    this.#pending.length = 0;
    return count;
  }
}
