// Reads the log of a data folder from another process than the one that writes it: the desk, and tools.
import { MillraceError } from '../../engine/errors.ts';
import type { Bounds, Fetched, FetchOptions, FetchWant, LogPort, TopicInfo, TopicSpec } from '../../engine/ports.ts';
import { unknownPartition, unknownTopic } from '../topicSpecs.ts';
import { lastSequence } from './commitQueue.ts';
import { type Environment, openForReading, type ReadingEnvironment } from './environment.ts';
import { FlushedFile } from './flushedFile.ts';
import { findTime, headAt, keyAtOrBefore, PARTITION_BYTES_MAX, type PartitionView, readPartition } from './partitionReader.ts';
import { offsetOfKey } from './rows.ts';
import { readCheckpoints } from './taskTable.ts';
import { readPartitionRow, readTopics } from './topicTable.ts';
import { liveWriter } from './writerLock.ts';

/** Time between two looks for new commits while a fetch waits. Unit: ms. */
const POLL_MS = 20;

/** The reading half of the log port. */
export type LogReader = Pick<LogPort, 'listTopics' | 'bounds' | 'fetch' | 'offsetForTime' | 'checkpoints' | 'close'>;

export class EmbeddedReader implements LogReader {
  readonly #dir: string;
  readonly #environment: Environment;
  readonly #closeEnvironment: () => Promise<void>;
  #flushed: FlushedFile | undefined;
  readonly #topics = new Map<string, { readonly id: number; readonly spec: TopicSpec }>();
  readonly #timers = new Map<NodeJS.Timeout, () => void>();
  #isClosed = false;

  /** Use {@link openEmbeddedReader}. */
  constructor(dir: string, { environment, close }: ReadingEnvironment) {
    this.#dir = dir;
    this.#environment = environment;
    this.#closeEnvironment = close;
  }

  async listTopics(): Promise<readonly TopicInfo[]> {
    const limit = this.#look();
    return readTopics(this.#environment).map(({ id, spec }) => {
      const partitions = Array.from({ length: spec.partitions }, (_, partition) => partition);
      return {
        ...spec,
        bounds: partitions.map((partition) => boundsOf(this.#view(spec.name, id, partition, limit))),
        bytes: partitions.reduce((sum, partition) => sum + readPartitionRow(this.#environment, spec.name, id, partition).bytes, 0),
      };
    });
  }

  async bounds(topic: string, partition: number): Promise<Bounds> {
    return boundsOf(this.#find(topic, partition, this.#look()));
  }

  async fetch(wants: readonly FetchWant[], { waitMs, partitionBytesMax = PARTITION_BYTES_MAX }: FetchOptions): Promise<readonly Fetched[]> {
    const deadlineMs = performance.now() + waitMs;
    for (;;) {
      const limit = this.#look();
      const fetched = wants.map(({ topic, partition, offset }) =>
        readPartition(this.#environment, this.#find(topic, partition, limit), offset, partitionBytesMax),
      );
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0 || fetched.some((one, i) => one.nextOffset !== (wants[i] as FetchWant).offset)) return fetched;
      await this.#sleep(Math.min(leftMs, POLL_MS));
    }
  }

  async offsetForTime(topic: string, partition: number, timeMs: number): Promise<number> {
    return findTime(this.#environment, this.#find(topic, partition, this.#look()), timeMs, () => void this.#look());
  }

  async checkpoints(pipeline: string): Promise<ReadonlyMap<number, Uint8Array>> {
    this.#look();
    return readCheckpoints(this.#environment, pipeline);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const [timer, wake] of this.#timers) {
      clearTimeout(timer);
      wake();
    }
    this.#flushed?.close();
    await this.#closeEnvironment();
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#timers.delete(timer);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.#timers.set(timer, wake);
    });
  }

  /**
   * Looks at the log as it is now, and says up to which commit it may be shown. While a writer lives that is the one in
   * `flushed`. Without a writer the file may be older than the log, whose last commit is then what survived.
   */
  #look(): number {
    if (this.#isClosed) throw new MillraceError('E_NOT_RUNNING', 'the log is closed');
    // The file first: what it says is in the log already when the log is looked at after it.
    const flushed = this.#readFlushed();
    this.#environment.root.resetReadTxn();
    if (flushed !== undefined && lastSequence(this.#environment) <= flushed) return Infinity;
    return flushed === undefined || liveWriter(this.#dir) === undefined ? Infinity : flushed;
  }

  #readFlushed(): number | undefined {
    this.#flushed ??= FlushedFile.openForReading(this.#dir);
    return this.#flushed?.read();
  }

  #find(topic: string, partition: number, limit: number): PartitionView {
    if (!this.#topics.has(topic)) for (const row of readTopics(this.#environment)) this.#topics.set(row.spec.name, row);
    const found = this.#topics.get(topic);
    if (found === undefined) throw unknownTopic(topic, this.#topics.keys());
    if (!Number.isInteger(partition) || partition < 0 || partition >= found.spec.partitions) throw unknownPartition(found.spec, partition);
    return this.#view(topic, found.id, partition, limit);
  }

  /** The partition up to the last commit that may be shown. Later ones are few: they are at its end. */
  #view(topic: string, topicId: number, partition: number, limit: number): PartitionView {
    const { startOffset, endOffset } = readPartitionRow(this.#environment, topic, topicId, partition);
    const view = { topic, topicId, partition, startOffset, endOffset };
    if (limit === Infinity) return view;
    let shownEnd = endOffset;
    while (shownEnd > 0) {
      const key = keyAtOrBefore(this.#environment, view, shownEnd - 1);
      if (key === undefined || headAt(this.#environment, view, key).sequence <= limit) break;
      shownEnd = offsetOfKey(key);
    }
    return { ...view, startOffset: Math.min(startOffset, shownEnd), endOffset: shownEnd };
  }
}

function boundsOf({ startOffset, endOffset }: PartitionView): Bounds {
  return { startOffset, endOffset };
}

/**
 * Opens the log of a data folder for reading, beside its writer or without one. Only commits that survive a power cut are shown.
 *
 * Errors  E_NOT_RUNNING when the folder holds no log yet; E_CONFIG for another version; E_CORRUPT
 */
export async function openEmbeddedReader({ dir }: { readonly dir: string }): Promise<EmbeddedReader> {
  return new EmbeddedReader(dir, await openForReading(dir));
}
