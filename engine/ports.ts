// All the engine knows of the world outside: a log of topics with one atomic commit. Adapters live in log/.
import type { Headers } from './record.ts';

/** A topic as the log must hold it. */
export interface TopicSpec {
  readonly name: string;
  readonly partitions: number;
  /** `delete` drops what is older than keepMs, counted from append time; `compact` keeps the latest record per key. */
  readonly cleanup: 'delete' | 'compact';
  /** Unit: ms since append. Infinity: for ever. */
  readonly keepMs: number;
}

/** A topic as the log holds it. */
export interface TopicInfo extends TopicSpec {
  /** By partition: offset of the first record still held, and offset after the last committed one. */
  readonly bounds: readonly Bounds[];
  /** Stored bytes, as far as the log knows. */
  readonly bytes: number;
}

/** What a partition holds, as offsets: start ≤ offset < end. */
export interface Bounds {
  readonly startOffset: number;
  /** Last stable offset: everything below is committed. On a log without open transactions, the high watermark. */
  readonly endOffset: number;
}

/**
 * A decoded record batch: columns, not objects. `bytes` is a buffer of its own that nothing else writes to;
 * whoever keeps a key or value longer than the batch copies it.
 * Index i runs over records, 0 ≤ i < count. A start of -1 is null.
 */
export interface RecordBatch {
  readonly bytes: Buffer;
  readonly count: number;
  readonly baseOffset: number;
  /** Offset after the batch, also when compaction removed its last records. */
  readonly nextOffset: number;
  /** When the log took it. Unit: epoch ms. */
  readonly appendTimeMs: number;
  /** Commit and abort markers: they hold offsets, but no records for anybody. count is 0 then. */
  readonly isControl: boolean;
  readonly offsetDelta: Int32Array;
  /** Event time of each record. Unit: epoch ms. */
  readonly timeMs: Float64Array;
  readonly keyStart: Int32Array;
  readonly keyEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  /** The headers of record i, decoded when asked. */
  headers(i: number): Headers;
}

/** A partition to read, and from where. */
export interface FetchWant {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What a fetch found in one partition. */
export interface Fetched {
  readonly topic: string;
  readonly partition: number;
  /** In offset order; the first may begin before the wanted offset: skip what lies below it. Only committed records. */
  readonly batches: readonly RecordBatch[];
  /** Position after these batches: where the next fetch goes on. Past what aborted or control batches took up. */
  readonly nextOffset: number;
  readonly endOffset: number;
  readonly startOffset: number;
}

/** How long a fetch waits, and how much it takes. */
export interface FetchOptions {
  /** Return when any wanted partition has something, or after this long. 0: at once. */
  readonly waitMs: number;
  /** Stop adding batches to a partition past this many bytes; at least one batch is always given. */
  readonly partitionBytesMax?: number;
}

/**
 * Records on their way out, encoded as they come. Made by the log, filled by the engine or by ingest,
 * handed back in commit or append, and not touched again.
 */
export interface OutputBuffer {
  /** Unit: timeMs epoch ms, an integer. Errors: E_TOO_LARGE, and then nothing was added. */
  add(topic: string, partition: number, key: Uint8Array | null, value: Uint8Array | null, timeMs: number, headers: Headers): void;
  readonly recordCount: number;
  readonly byteCount: number;
}

/** One row of a task's state. value null deletes it. */
export interface StateRow {
  readonly store: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

/** The right to commit for one task. A later claim of the same task makes this one void. */
export interface TaskClaim {
  readonly pipeline: string;
  readonly partition: number;
  /** Ordinal of the checkpoint this claim started from; 0 when there is none. */
  readonly commitNumber: number;
  /** The last committed checkpoint's bytes. */
  readonly checkpoint: Uint8Array | undefined;
  /** The committed state rows, each store's rows in key order. Read once. */
  readonly state: Iterable<StateRow> | AsyncIterable<StateRow>;
}

/** One task’s part of a commit. */
export interface TaskCommit {
  readonly claim: TaskClaim;
  /** claim.commitNumber + 1 for the first commit under a claim, then one more each time. */
  readonly commitNumber: number;
  readonly checkpoint: Uint8Array;
  readonly state: readonly StateRow[];
}

/**
 * committed: all of it is in the log. lost: none of it is, and another process owns the tasks now: drop them.
 * unknown: ask {@link LogPort.resolve}.
 */
export type CommitOutcome = 'committed' | 'lost' | 'unknown';

/** What a pipeline's worker hears about its tasks. */
export interface AssignmentListener {
  /** These tasks are yours now; claim them. Resolves when they run. */
  assigned(partitions: readonly number[]): Promise<void>;
  /** These tasks move elsewhere: stop, commit or abort, forget. The log waits for the promise. */
  revoked(partitions: readonly number[]): Promise<void>;
  /** These tasks are gone already: drop them, commit nothing. */
  lost(partitions: readonly number[]): void;
}

/** Being one of a pipeline’s workers. */
export interface Membership {
  leave(): Promise<void>;
}

/**
 * The log port. Every adapter passes test/contract/log.ts.
 *
 * Order     per partition, as committed
 * Atomic    one commit for all tasks of a worker: outputs, state rows, checkpoints together or not at all
 * Durable   append resolves, and commit's effects leave the process, only after durable()
 */
export interface LogPort {
  /** Creates what is missing. Errors: E_TOPIC_CONFLICT when partitions or cleanup differ from what the log holds. */
  ensureTopics(specs: readonly TopicSpec[]): Promise<void>;
  listTopics(): Promise<readonly TopicInfo[]>;
  /** Errors: E_UNKNOWN_TOPIC */
  bounds(topic: string, partition: number): Promise<Bounds>;
  /** One answer per want, in the same order. Errors: E_UNKNOWN_TOPIC, E_OFFSET_OUT_OF_RANGE, E_CORRUPT */
  fetch(wants: readonly FetchWant[], options: FetchOptions): Promise<readonly Fetched[]>;
  /** The first offset whose record has an event time ≥ timeMs; the end offset when there is none. */
  offsetForTime(topic: string, partition: number, timeMs: number): Promise<number>;
  newBuffer(): OutputBuffer;
  /** Appends outside any task: ingest, seeds. Resolves when durable. Errors: E_LOG_FULL, E_FLUSH; after E_LOG_FULL nothing was appended and the same buffer may be appended again */
  append(buffer: OutputBuffer): Promise<void>;
  /** Joins the workers of a pipeline. Embedded: all tasks are assigned at once, for ever. */
  join(pipeline: string, partitions: number, listener: AssignmentListener): Promise<Membership>;
  /** Takes the tasks over from whoever had them. */
  claim(pipeline: string, partitions: readonly number[]): Promise<readonly TaskClaim[]>;
  /** One atomic unit for all tasks of the worker. Errors: E_LOG_FULL: nothing happened, and the same commit may be tried again; E_FLUSH */
  commit(tasks: readonly TaskCommit[], outputs: OutputBuffer): Promise<CommitOutcome>;
  /** After `unknown`: what the checkpoints say. All tasks of one commit share the answer. */
  resolve(tasks: readonly TaskCommit[]): Promise<'committed' | 'aborted' | 'lost'>;
  /** Resolves when everything committed so far survives a power cut. */
  durable(): Promise<void>;
  /** Records below the offset may be forgotten. */
  trim(topic: string, partition: number, beforeOffset: number): Promise<void>;
  /** The last committed checkpoints of a pipeline, for lag and for tools. */
  checkpoints(pipeline: string): Promise<ReadonlyMap<number, Uint8Array>>;
  close(): Promise<void>;
}

/** What ingest knows about silence: see design, Time 4. Topics that nobody feeds have no entry. */
export interface FeedStatus {
  /**
   * Monotonic ms at which every feeder of the topic was last known to be connected and drained:
   * nothing received that the log has not acknowledged. undefined: not now. Topics we do not feed: Infinity.
   */
  drainedAtMs(topic: string): number | undefined;
}
