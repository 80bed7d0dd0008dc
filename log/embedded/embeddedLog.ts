// The log of one machine: LMDB in the data folder, one writer, any number of readers.
import { join } from 'node:path';
import { MillraceError } from '../../engine/errors.ts';
import type {
  AssignmentListener,
  Bounds,
  CommitOutcome,
  Fetched,
  FetchOptions,
  FetchWant,
  LogPort,
  Membership,
  OutputBuffer,
  TaskClaim,
  TaskCommit,
  TopicInfo,
  TopicSpec,
} from '../../engine/ports.ts';
import { joinAlone } from '../joinAlone.ts';
import { BatchedOutput, takeOutput } from '../outputBuffer.ts';
import { checkTopicSpec } from '../topicSpecs.ts';
import { Waiters } from '../waiters.ts';
import { Cleaner } from './cleaner.ts';
import { CommitQueue, type CommitScope } from './commitQueue.ts';
import { type Environment, openForWriting, removeUnfinished } from './environment.ts';
import { FlushedFile } from './flushedFile.ts';
import { findTime, PARTITION_BYTES_MAX, readPartition } from './partitionReader.ts';
import { recordKey } from './rows.ts';
import { place, storedBatch } from './storedBatch.ts';
import { readCheckpoints, TaskTable } from './taskTable.ts';
import { type Partition, PartitionDrafts, TopicTable } from './topicTable.ts';
import { takeWriterLock } from './writerLock.ts';

/** Default limit of the log's size, 16 GiB. A power of two as a number: shifted left it would be negative. */
const MAX_SIZE_BYTES = 2 ** 34;
const MAX_SIZE_BYTES_LEAST = 2 ** 20;
/** Part of the limit that appends may use; the rest is for workers, whose commits free what was appended. */
const APPEND_SHARE = 0.9;
/** Default time between two looks for what may be deleted. */
const CLEAN_EVERY_MS = 30_000;

export interface EmbeddedLogOptions {
  /** The data folder; the log is in `log/` inside. Created if need be, readable by its owner alone. */
  readonly dir: string;
  /** Default 16 GiB. Above 90 % of it appends are refused, above all of it commits. Unit: bytes. */
  readonly maxSizeBytes?: number | undefined;
  /** Clock of append times and retention. Default Date.now. */
  readonly nowMs?: (() => number) | undefined;
  /** How often topics are cleaned; Infinity: only when asked. Default 30 s. Unit: ms. */
  readonly cleanEveryMs?: number | undefined;
  /** Told once when the disk refuses to make a commit durable: the process must end. Unit: E_FLUSH. */
  readonly onFatal?: ((error: MillraceError) => void) | undefined;
  /** Told when a commit passes a point at which tests kill the process. */
  readonly onPoint?: ((point: 'in-commit' | 'after-commit-before-flush') => void) | undefined;
}

/** Encoded batches of one partition, still without a place. */
interface Pending {
  readonly partition: Partition;
  readonly batches: readonly { readonly value: Buffer; readonly count: number }[];
}

export class EmbeddedLog implements LogPort {
  readonly #environment: Environment;
  readonly #flushed: FlushedFile;
  readonly #release: () => void;
  readonly #maxSizeBytes: number;
  readonly #nowMs: () => number;
  readonly #queue: CommitQueue;
  readonly #topics: TopicTable;
  readonly #drafts: PartitionDrafts;
  readonly #tasks: TaskTable;
  readonly #cleaner: Cleaner;
  readonly #waiters = new Waiters();
  #closing: Promise<void> | undefined;

  /** Use {@link openEmbeddedLog}. */
  constructor(environment: Environment, flushed: FlushedFile, release: () => void, options: EmbeddedLogOptions) {
    this.#environment = environment;
    this.#flushed = flushed;
    this.#release = release;
    this.#maxSizeBytes = options.maxSizeBytes ?? MAX_SIZE_BYTES;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#queue = new CommitQueue({ environment, flushed, onPoint: options.onPoint, onFatal: options.onFatal });
    this.#topics = new TopicTable(environment);
    this.#drafts = new PartitionDrafts(environment);
    this.#tasks = new TaskTable(environment, () => this.#open());
    this.#cleaner = new Cleaner({
      environment,
      queue: this.#queue,
      topics: this.#topics,
      drafts: this.#drafts,
      nowMs: this.#nowMs,
      everyMs: options.cleanEveryMs ?? CLEAN_EVERY_MS,
    });
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    this.#open();
    for (const spec of specs) checkTopicSpec(spec);
    if (!this.#topics.holds(specs)) await this.#queue.run((scope) => this.#topics.ensure(specs, scope));
  }

  async listTopics(): Promise<readonly TopicInfo[]> {
    this.#open();
    return this.#topics.list();
  }

  async bounds(topic: string, partition: number): Promise<Bounds> {
    this.#open();
    const { startOffset, endOffset } = this.#topics.partition(topic, partition);
    return { startOffset, endOffset };
  }

  async fetch(wants: readonly FetchWant[], { waitMs, partitionBytesMax = PARTITION_BYTES_MAX }: FetchOptions): Promise<readonly Fetched[]> {
    const deadlineMs = performance.now() + waitMs;
    for (;;) {
      this.#open();
      const fetched = wants.map((want) =>
        readPartition(this.#environment, this.#topics.partition(want.topic, want.partition), want.offset, partitionBytesMax),
      );
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0 || fetched.some((one, i) => one.nextOffset !== (wants[i] as FetchWant).offset)) return fetched;
      await this.#waiters.wait(leftMs);
    }
  }

  async offsetForTime(topic: string, partition: number, timeMs: number): Promise<number> {
    this.#open();
    return findTime(this.#environment, { ...this.#topics.partition(topic, partition) }, timeMs, () => this.#open());
  }

  newBuffer(): OutputBuffer {
    return new BatchedOutput((topic) => this.#topics.partitionsOf(topic));
  }

  /** Errors: E_LOG_FULL and E_FLUSH, as the port says; after E_LOG_FULL the same buffer may be handed over again. */
  async append(buffer: OutputBuffer): Promise<void> {
    this.#open();
    if (buffer.recordCount === 0) return;
    this.#checkRoom(buffer, this.#maxSizeBytes * APPEND_SHARE, 'appends');
    const pending = this.#take(buffer);
    await this.#queue.run((scope) => this.#write(pending, scope)).catch((error) => this.#giveBack(buffer, error));
  }

  join(pipeline: string, partitions: number, listener: AssignmentListener): Promise<Membership> {
    return joinAlone(pipeline, partitions, listener);
  }

  async claim(pipeline: string, partitions: readonly number[]): Promise<readonly TaskClaim[]> {
    this.#open();
    return this.#queue.run(() => partitions.map((partition) => this.#tasks.claim(pipeline, partition)));
  }

  /**
   * The commit: ① the batches are encoded and sealed; ② inside one transaction: every task must still be its committer's,
   * else 'lost' and nothing is written; ③ batches get their offsets; ④ state rows and checkpoints; ⑤ LMDB flushes;
   * ⑥ `flushed` says so, waiting fetches wake.
   *
   * Errors  E_LOG_FULL: nothing happened, the same tasks and buffer may be committed again · E_FLUSH
   */
  async commit(tasks: readonly TaskCommit[], outputs: OutputBuffer): Promise<CommitOutcome> {
    this.#open();
    this.#checkRoom(outputs, this.#maxSizeBytes, 'commits');
    const pending = this.#take(outputs);
    return this.#queue
      .run((scope): CommitOutcome => {
        if (!tasks.every(({ claim }) => this.#tasks.owns(claim))) return 'lost';
        this.#write(pending, scope);
        for (const task of tasks) this.#tasks.write(task, scope);
        return 'committed';
      })
      .catch((error) => this.#giveBack(outputs, error));
  }

  async resolve(tasks: readonly TaskCommit[]): Promise<'committed' | 'aborted' | 'lost'> {
    this.#open();
    return this.#queue.run(() => this.#tasks.resolve(tasks));
  }

  /** A commit answers when it is durable, so there is nothing more to wait for than those under way. */
  async durable(): Promise<void> {
    this.#open();
    await this.#queue.drained();
  }

  async trim(topic: string, partition: number, beforeOffset: number): Promise<void> {
    this.#open();
    await this.#cleaner.trim(this.#topics.partition(topic, partition), beforeOffset);
  }

  async checkpoints(pipeline: string): Promise<ReadonlyMap<number, Uint8Array>> {
    this.#open();
    return readCheckpoints(this.#environment, pipeline);
  }

  /** Deletes and compacts what is due now; `all` compacts every compacted topic, however little of it is stale. */
  async clean(which: 'due' | 'all' = 'due'): Promise<void> {
    this.#open();
    await this.#cleaner.clean(which);
  }

  /** Bytes of the log in use, and the limit. */
  get size(): { readonly usedBytes: number; readonly maxSizeBytes: number } {
    return { usedBytes: this.#queue.usedBytes, maxSizeBytes: this.#maxSizeBytes };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#waiters.wake();
    await this.#cleaner.stop();
    await this.#queue.drained();
    this.#flushed.close();
    await this.#environment.root.close();
    this.#release();
  }

  #open(): void {
    if (this.#closing !== undefined) throw new MillraceError('E_NOT_RUNNING', 'the log is closed');
  }

  #checkRoom({ byteCount }: OutputBuffer, limitBytes: number, what: string): void {
    const { usedBytes } = this.#queue;
    if (usedBytes + byteCount > limitBytes)
      throw new MillraceError(
        'E_LOG_FULL',
        `${usedBytes} bytes of the log's ${this.#maxSizeBytes} are used; ${byteCount} more would pass the ${limitBytes} that ${what} may use`,
      );
  }

  /** Encodes what the buffer holds, outside the transaction. */
  #take(buffer: OutputBuffer): readonly Pending[] {
    return takeOutput(buffer).map(({ topic, partition, batches }) => ({
      partition: this.#topics.partition(topic, partition),
      batches: batches.map((batch) => ({ value: storedBatch(batch.seal()), count: batch.count })),
    }));
  }

  /** A full log took nothing: the caller may try again with the same buffer. */
  #giveBack(buffer: OutputBuffer, error: unknown): never {
    if (error instanceof MillraceError && error.code === 'E_LOG_FULL' && buffer instanceof BatchedOutput) buffer.giveBack();
    throw error;
  }

  /** Gives the batches their offsets. Inside a transaction. */
  #write(pending: readonly Pending[], scope: CommitScope): void {
    const nowMs = this.#nowMs();
    for (const { partition, batches } of pending) {
      const row = this.#drafts.of(partition, scope);
      for (const { value, count } of batches) {
        place(value, row.endOffset, scope.sequence, nowMs);
        void this.#environment.records.put(recordKey(partition.topicId, partition.partition, row.endOffset), value);
        row.endOffset += count;
        row.bytes += value.length;
        row.dirtyBytes += value.length;
      }
    }
    if (pending.length > 0) scope.afterCommit(() => this.#waiters.wake());
  }
}

function checkSize(maxSizeBytes: number | undefined): number {
  const size = maxSizeBytes ?? MAX_SIZE_BYTES;
  if (!Number.isSafeInteger(size) || size < MAX_SIZE_BYTES_LEAST)
    throw new MillraceError('E_CONFIG', `the log's maxSizeBytes must be a whole number of ${MAX_SIZE_BYTES_LEAST} or more, got ${size}`);
  return size;
}

/**
 * Opens the log of a data folder for writing and creates it if need be. One process at a time may.
 *
 * Errors  E_LOCKED, naming the process that has it; E_CONFIG for another version or a folder that cannot be written; E_CORRUPT
 */
export async function openEmbeddedLog(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
  const { dir } = options;
  // Room above the limit for what deleting itself needs; a map is address space, not memory.
  const mapSize = checkSize(options.maxSizeBytes) * 2;
  const environment = await openForWriting(dir, mapSize);
  try {
    const release = environment.root.transactionSync(() => takeWriterLock(dir));
    try {
      removeUnfinished(dir);
      const flushed = FlushedFile.openForWriting(dir);
      try {
        return new EmbeddedLog(environment, flushed, release, options);
      } catch (error) {
        flushed.close();
        throw error;
      }
    } catch (error) {
      release();
      throw error;
    }
  } catch (error) {
    await environment.root.close();
    throw error instanceof MillraceError
      ? error
      : new MillraceError('E_CONFIG', `data folder ${join(dir)} cannot be opened for writing`, { cause: error });
  }
}
