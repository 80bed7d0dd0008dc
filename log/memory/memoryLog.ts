// The log port in memory: the real semantics without a disk, for tests and millrace/testing.
import { assert, MillraceError } from '../../engine/errors.ts';
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
  StateRow,
  TaskClaim,
  TaskCommit,
  TopicInfo,
  TopicSpec,
} from '../../engine/ports.ts';
import { joinAlone } from '../joinAlone.ts';
import { BatchedOutput, takeOutput } from '../outputBuffer.ts';
import { checkSameTopic, checkTopicSpec, unknownPartition, unknownTopic } from '../topicSpecs.ts';
import { Waiters } from '../waiters.ts';
import { MemoryPartition } from './memoryPartition.ts';

/** Commits whose state rows are kept as they came before they are put in their places. */
const UNSORTED_MAX = 1_000;
/** Bytes a fetch takes from a partition unless told. */
const PARTITION_BYTES_MAX = 4 << 20;

export interface MemoryLogOptions {
  /** Clock of append times and retention. Default Date.now. */
  readonly nowMs?: () => number;
}

interface MemoryTopic {
  spec: TopicSpec;
  readonly partitions: readonly MemoryPartition[];
}

/** A task as the log holds it. */
interface Task {
  /** How often it was claimed: who holds the latest claim owns it. */
  epoch: number;
  /** Epoch that wrote the checkpoint below. */
  writerEpoch: number;
  commitNumber: number;
  checkpoint: Uint8Array | undefined;
  /** By store, then by key bytes as latin1. */
  readonly stores: Map<string, Map<string, StateRow>>;
  /** The rows of commits, oldest first, not yet in `stores`: they are put there when somebody asks, or when there are many. */
  readonly unsorted: PackedRows[];
}

/** A claim as this log made it. */
interface MemoryClaim extends TaskClaim {
  readonly epoch: number;
}

/**
 * A log that lives as long as the process. Everything is synchronous inside; nothing native is loaded.
 * The controls at the end play what only a cluster does otherwise.
 */
export class MemoryLog implements LogPort {
  /** Commits that took place. */
  commitCount = 0;
  readonly #nowMs: () => number;
  readonly #topics = new Map<string, MemoryTopic>();
  readonly #tasks = new Map<string, Task>();
  readonly #waiters = new Waiters();
  #answerLost: 'happened' | 'did not happen' | undefined;
  #hold: Promise<void> | undefined;
  #isClosed = false;

  constructor({ nowMs = Date.now }: MemoryLogOptions = {}) {
    this.#nowMs = nowMs;
  }

  async ensureTopics(specs: readonly TopicSpec[]): Promise<void> {
    this.ensureTopicsNow(specs);
  }

  /** The synchronous halves, ending in Now, are for drive(), which answers at once. */
  ensureTopicsNow(specs: readonly TopicSpec[]): void {
    this.#open();
    const wanted = new Map<string, TopicSpec>();
    for (const spec of specs) {
      checkTopicSpec(spec);
      const other = wanted.get(spec.name) ?? this.#topics.get(spec.name)?.spec;
      if (other !== undefined) checkSameTopic(other, spec);
      wanted.set(spec.name, spec);
    }
    for (const spec of wanted.values()) {
      const held = this.#topics.get(spec.name);
      if (held !== undefined) held.spec = { ...spec };
      else
        this.#topics.set(spec.name, {
          spec: { ...spec },
          partitions: Array.from({ length: spec.partitions }, (_, p) => new MemoryPartition(spec.name, p)),
        });
    }
  }

  async listTopics(): Promise<readonly TopicInfo[]> {
    this.#open();
    return [...this.#topics.values()].map(({ spec, partitions }) => ({
      ...spec,
      bounds: partitions.map((partition) => partition.bounds()),
      bytes: partitions.reduce((sum, partition) => sum + partition.byteCount, 0),
    }));
  }

  async bounds(topic: string, partition: number): Promise<Bounds> {
    return this.boundsNow(topic, partition);
  }

  boundsNow(topic: string, partition: number): Bounds {
    return this.#partition(topic, partition).bounds();
  }

  fetchNow(wants: readonly FetchWant[], partitionBytesMax = PARTITION_BYTES_MAX): readonly Fetched[] {
    return wants.map((want) => this.#partition(want.topic, want.partition).fetch(want.offset, partitionBytesMax));
  }

  async fetch(wants: readonly FetchWant[], { waitMs, partitionBytesMax = PARTITION_BYTES_MAX }: FetchOptions): Promise<readonly Fetched[]> {
    const deadlineMs = performance.now() + waitMs;
    for (;;) {
      const fetched = this.fetchNow(wants, partitionBytesMax);
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0 || fetched.some((one, i) => one.nextOffset !== (wants[i] as FetchWant).offset)) return fetched;
      await this.#waiters.wait(leftMs);
    }
  }

  async offsetForTime(topic: string, partition: number, timeMs: number): Promise<number> {
    return this.#partition(topic, partition).offsetForTime(timeMs);
  }

  newBuffer(): OutputBuffer {
    return new BatchedOutput((name) => this.#topic(name).partitions.length);
  }

  async append(buffer: OutputBuffer): Promise<void> {
    this.appendNow(buffer);
  }

  appendNow(buffer: OutputBuffer): void {
    this.#open();
    this.#write(buffer);
  }

  async join(pipeline: string, partitions: number, listener: AssignmentListener): Promise<Membership> {
    this.#open();
    return joinAlone(pipeline, partitions, listener);
  }

  async claim(pipeline: string, partitions: readonly number[]): Promise<readonly TaskClaim[]> {
    return this.claimNow(pipeline, partitions);
  }

  claimNow(pipeline: string, partitions: readonly number[]): readonly (TaskClaim & { readonly state: readonly StateRow[] })[] {
    this.#open();
    return partitions.map((partition) => {
      const task = this.#task(pipeline, partition);
      task.epoch++;
      const { epoch, commitNumber, checkpoint } = task;
      return { pipeline, partition, epoch, commitNumber, checkpoint, state: [...sortedRows(task)] } satisfies MemoryClaim;
    });
  }

  async commit(tasks: readonly TaskCommit[], outputs: OutputBuffer): Promise<CommitOutcome> {
    await this.#hold;
    return this.commitNow(tasks, outputs);
  }

  commitNow(tasks: readonly TaskCommit[], outputs: OutputBuffer): CommitOutcome {
    this.#open();
    if (tasks.some((task) => !this.#owns(task.claim))) return 'lost';
    for (const { claim, commitNumber } of tasks) {
      const held = this.#task(claim.pipeline, claim.partition).commitNumber;
      assert(commitNumber === held + 1, `pipeline '${claim.pipeline}' task ${claim.partition}: commit ${commitNumber} after ${held}`);
    }
    const answerLost = this.#answerLost;
    this.#answerLost = undefined;
    if (answerLost === 'did not happen') return 'unknown';
    this.#write(outputs);
    for (const task of tasks) this.#store(task);
    this.commitCount++;
    return answerLost === undefined ? 'committed' : 'unknown';
  }

  async resolve(tasks: readonly TaskCommit[]): Promise<'committed' | 'aborted' | 'lost'> {
    this.#open();
    const first = tasks[0];
    assert(first !== undefined, 'resolve of no tasks');
    if (tasks.some((task) => !this.#owns(task.claim))) return 'lost';
    const { writerEpoch, commitNumber } = this.#task(first.claim.pipeline, first.claim.partition);
    if (commitNumber === first.commitNumber && writerEpoch === (first.claim as MemoryClaim).epoch) return 'committed';
    return commitNumber === first.commitNumber - 1 ? 'aborted' : 'lost';
  }

  async durable(): Promise<void> {
    this.#open();
  }

  async trim(topic: string, partition: number, beforeOffset: number): Promise<void> {
    this.#partition(topic, partition).trim(beforeOffset);
  }

  async checkpoints(pipeline: string): Promise<ReadonlyMap<number, Uint8Array>> {
    this.#open();
    const found = new Map<number, Uint8Array>();
    for (const [name, { checkpoint }] of this.#tasks) {
      const at = name.lastIndexOf('/');
      if (checkpoint !== undefined && name.slice(0, at) === pipeline) found.set(Number(name.slice(at + 1)), checkpoint);
    }
    return found;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiters.wake();
  }

  // Controls for tests.

  /** Plays another process that takes the task over: the next commit of its present owner answers 'lost'. */
  fence(pipeline: string, partition: number): void {
    this.#task(pipeline, partition).epoch++;
  }

  /** The next commit answers 'unknown', whether it happened or not. */
  loseNextAnswer(commit: 'happened' | 'did not happen'): void {
    this.#answerLost = commit;
  }

  /** Commits begun from now on wait until the returned function is called. */
  holdCommits(): () => void {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#hold = held;
    return () => {
      if (this.#hold === held) this.#hold = undefined;
      release();
    };
  }

  /** Deletes what topics no longer keep and compacts the compacted ones, as the embedded log does now and then. */
  clean(): void {
    for (const { spec, partitions } of this.#topics.values())
      for (const partition of partitions) {
        if (spec.cleanup === 'compact') partition.compact(this.#nowMs());
        else partition.deleteBefore(this.#nowMs() - spec.keepMs);
      }
  }

  #open(): void {
    if (this.#isClosed) throw new MillraceError('E_NOT_RUNNING', 'the log is closed');
  }

  #topic(name: string): MemoryTopic {
    this.#open();
    const topic = this.#topics.get(name);
    if (topic === undefined) throw unknownTopic(name, this.#topics.keys());
    return topic;
  }

  #partition(name: string, partition: number): MemoryPartition {
    const topic = this.#topic(name);
    const found = topic.partitions[partition];
    if (found === undefined) throw unknownPartition(topic.spec, partition);
    return found;
  }

  #task(pipeline: string, partition: number): Task {
    const name = `${pipeline}/${partition}`;
    let task = this.#tasks.get(name);
    if (task === undefined)
      this.#tasks.set(name, (task = { epoch: 0, writerEpoch: 0, commitNumber: 0, checkpoint: undefined, stores: new Map(), unsorted: [] }));
    return task;
  }

  #owns(claim: TaskClaim): boolean {
    return this.#task(claim.pipeline, claim.partition).epoch === (claim as MemoryClaim).epoch;
  }

  #write(outputs: OutputBuffer): void {
    const nowMs = this.#nowMs();
    for (const { topic, partition, batches } of takeOutput(outputs))
      for (const batch of batches) this.#partition(topic, partition).append(batch, nowMs);
    this.#waiters.wake();
  }

  #store({ claim, commitNumber, checkpoint, state }: TaskCommit): void {
    const task = this.#task(claim.pipeline, claim.partition);
    task.writerEpoch = task.epoch;
    task.commitNumber = commitNumber;
    task.checkpoint = new Uint8Array(checkpoint);
    if (state.length > 0) task.unsorted.push(packed(state));
    if (task.unsorted.length > UNSORTED_MAX) sortIn(task);
  }
}

/** The rows of one commit in one piece of memory: a hundred thousand little buffers would keep the collector busy for nothing. */
interface PackedRows {
  readonly stores: readonly string[];
  readonly bytes: Buffer;
  /** By row: its store, and where its key and its value end; a value that ends at -1 is a deletion. */
  readonly columns: Int32Array;
}

function packed(state: readonly StateRow[]): PackedRows {
  const stores = new Map<string, number>();
  const columns = new Int32Array(state.length * 3);
  const bytes = Buffer.allocUnsafeSlow(state.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0));
  let at = 0;
  state.forEach(({ store, key, value }, i) => {
    let index = stores.get(store);
    if (index === undefined) stores.set(store, (index = stores.size));
    columns[i * 3] = index;
    bytes.set(key, at);
    columns[i * 3 + 1] = at += key.length;
    if (value !== null) bytes.set(value, at);
    columns[i * 3 + 2] = value === null ? -1 : (at += value.length);
  });
  return { stores: [...stores.keys()], bytes, columns };
}

function* unpacked({ stores, bytes, columns }: PackedRows): Iterable<StateRow> {
  let at = 0;
  for (let i = 0; i < columns.length; i += 3) {
    const key = bytes.subarray(at, (at = columns[i + 1] as number));
    const end = columns[i + 2] as number;
    yield { store: stores[columns[i] as number] as string, key, value: end < 0 ? null : bytes.subarray(at, (at = end)) };
  }
}

/** Puts the rows committed since the last time in their places. */
function sortIn(task: Task): void {
  for (const commit of task.unsorted)
    for (const { store, key, value } of unpacked(commit)) {
      let rows = task.stores.get(store);
      if (rows === undefined) task.stores.set(store, (rows = new Map()));
      const name = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
      if (value === null) rows.delete(name);
      else rows.set(name, { store, key: new Uint8Array(key), value: new Uint8Array(value) });
    }
  task.unsorted.length = 0;
}

/** The rows of a task, stores by name, rows by key bytes: latin1 text sorts as its bytes do. */
function* sortedRows(task: Task): Iterable<StateRow> {
  sortIn(task);
  for (const store of [...task.stores.keys()].sort()) {
    const rows = task.stores.get(store) as Map<string, StateRow>;
    for (const name of [...rows.keys()].sort()) yield rows.get(name) as StateRow;
  }
}

/**
 * An empty log in memory, with controls for tests: see {@link MemoryLog}.
 *
 * Errors  as {@link LogPort}; never E_CORRUPT, E_LOG_FULL or E_FLUSH
 */
export function memoryLog(options: MemoryLogOptions = {}): MemoryLog {
  return new MemoryLog(options);
}
