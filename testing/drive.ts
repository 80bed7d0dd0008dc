// The real tasks of a pipeline on the memory log, one record at a time, with virtual time: for tests.
import { msgpack } from '../codecs/msgpack.ts';
import { DEAD_LETTER_TOPIC } from '../engine/deadLetter.ts';
import { type ErrorCode, MillraceError } from '../engine/errors.ts';
import type { Input } from '../engine/input.ts';
import type { JournalEntry } from '../engine/journal.ts';
import { partitionOf } from '../engine/partitioner.ts';
import type { Pipeline } from '../engine/pipeline.ts';
import { type Plan, type PlannedTopic, planOf, taskGroup } from '../engine/plan.ts';
import { type Headers, noHeaders, type Rec } from '../engine/record.ts';
import { Task } from '../engine/task.ts';
import { TaskSet } from '../engine/taskSet.ts';
import type { AnyTopic, Target, Topic } from '../engine/topic.ts';
import { type MemoryLog, memoryLog } from '../log/memory/memoryLog.ts';
import { copySources, type RawRecord, recordsOf } from './records.ts';

/** How a driver commits. */
export interface DriveOptions {
  /** Commit after this many records instead of after each. Results are read when they are committed. */
  readonly commitEvery?: number;
  /** Go on with the log of an earlier driver, as a restart with a changed definition would. */
  readonly on?: MemoryLog;
  /** Steps whose stored state is thrown away. */
  readonly resetSteps?: readonly string[];
  /** Run what another driver ran once more, from its source topics and its journal, on a log of its own. */
  readonly replayOf?: Driver;
}

/** A record as it was read back. value null: a deletion. */
export type ReadRecord<K, V> = Omit<Rec<K, V>, 'value'> & { readonly value: V | null; readonly partition: number; readonly offset: number };

/** A record that could not be processed, as it lies in the dead letters. */
export interface DeadLettered {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly step?: string;
  readonly origin: { readonly topic: string; readonly partition?: number; readonly offset?: number; readonly eventTimeMs?: number };
  readonly key: string | null;
  /** The raw bytes, as UTF-8 text. */
  readonly value: string | null;
}

/** Feeds a pipeline and reads what it writes. Times are epoch ms, or ISO text. */
export interface Driver {
  /** One record, processed and committed. Silence is not assumed: time moves by records and by tick(). */
  send<K, V>(topic: Topic<K, V>, key: K | null, value: V | null, at: number | string): void;
  /** The same with the raw bytes of a device. */
  sendBytes(topic: Topic<any, any>, key: Uint8Array | null, value: Uint8Array | null, at: number | string, headers?: Headers): void;
  /** Silence up to then: what is due by that time happens. */
  tick(at: number | string): void;
  /** Processes and commits whatever is at hand: what a replay needs. */
  settle(): void;
  /** The end of a bounded run: closes what is open. */
  end(): void;
  /** Everything committed to a topic, a table or the alerts since the last read of it. */
  read<K, V>(topic: Topic<K, V>): readonly ReadRecord<K, V>[];
  readTarget(target: Target<any, any>): readonly ReadRecord<any, any>[];
  deadLetters(): readonly DeadLettered[];
  /** Commit, stop, drop everything in memory, restore, go on. */
  cut(): void;
  /** Lose what was not committed, as a crash would, and go on from the last commit. */
  crash(): void;
  /** Totals by name: `in`, `out`, `dead_lettered/E_SCHEMA`, `step/air-5m/late`. */
  counters(): Readonly<Record<string, number>>;
  readonly plan: Plan;
  readonly log: MemoryLog;
}

/** Epoch ms of a time as tests write it. */
function timeOf(at: number | string): number {
  const ms = typeof at === 'number' ? at : Date.parse(at);
  if (!Number.isFinite(ms)) throw new MillraceError('E_USAGE', `'${at}' is not a time; use epoch ms or ISO text`);
  return ms;
}

/**
 * Runs a pipeline in memory: the real tasks, stores, rekey topics and commits.
 *
 * Errors  whatever planning or opening the pipeline raises; E_ASSERT is a bug of ours
 */
export function drive(pipeline: Pipeline, options: DriveOptions = {}): Driver {
  return new Driving(pipeline, options);
}

class Driving implements Driver {
  readonly plan: Plan;
  readonly log: MemoryLog;
  readonly #boxed = msgpack();
  readonly #options: DriveOptions;
  readonly #read = new Map<string, number[]>();
  #set: TaskSet;
  #sent = 0;

  constructor(pipeline: Pipeline, options: DriveOptions) {
    this.#options = options;
    this.plan = planOf(pipeline);
    this.log = options.on ?? memoryLog();
    this.log.ensureTopicsNow(this.plan.topics.map((t) => t.spec));
    if (options.replayOf !== undefined) copySources(this.plan, options.replayOf.log, this.log);
    this.#set = this.#open();
  }

  #open(): TaskSet {
    const { plan, log } = this;
    const opened = new TaskSet(() => log.newBuffer());
    const partitions = Array.from({ length: plan.pipeline.options.partitions }, (_, p) => p);
    for (const claim of log.claimNow(taskGroup(plan.pipeline), partitions)) {
      const { resetSteps = [] } = this.#options;
      const task = new Task({
        plan,
        partition: claim.partition,
        boxed: this.#boxed,
        freeze: true,
        resetSteps,
        ...this.#journalOf(claim.partition),
      });
      const bounds = (input: Input) => log.boundsNow(input.plan.topicName, input.partition);
      task.open(claim, (input) => bounds(input).startOffset);
      for (const row of claim.state) task.restoreRow(row);
      task.readTablesUntil(new Map(task.inputs.map((input) => [input, bounds(input).endOffset])));
      opened.add(task);
    }
    return opened;
  }

  #journalOf(partition: number): { replay?: JournalEntry[] } {
    const { replayOf } = this.#options;
    if (replayOf === undefined) return {};
    const values = recordsOf(replayOf.log, this.plan.journalTopic, partition, 0).map(({ value }) => value as Buffer);
    return { replay: values.flatMap((value) => this.#boxed.decode(value, 0, value.length) as JournalEntry[]) };
  }

  /** Processes all the log has, then commits; over again while rekey topics bring more. */
  #settle(commit: boolean): void {
    const set = this.#set;
    for (;;) {
      const wants = set.wants();
      set.offer(wants, this.log.fetchNow(wants.map((w) => w.want)), 0);
      if (set.slice(0, Date.now(), () => false) > 0) continue;
      if (!commit || !set.hasChanges(true)) return;
      const { tasks, outputs } = set.cut(true);
      if (this.log.commitNow(tasks, outputs) !== 'committed') throw new MillraceError('E_FENCED', 'the memory log refused a commit');
      for (const { topic, partition, beforeOffset } of set.committed()) void this.log.trim(topic, partition, beforeOffset);
    }
  }

  send<K, V>(topic: Topic<K, V>, key: K | null, value: V | null, at: number | string): void {
    this.sendBytes(topic, key === null ? null : topic.keyCodec.encode(key), value === null ? null : topic.codec.encode(value), at);
  }

  sendBytes(topic: AnyTopic, key: Uint8Array | null, value: Uint8Array | null, at: number | string, headers: Headers = noHeaders): void {
    const planned = this.plan.topics.find((t) => t.spec.name === topic.name);
    if (planned === undefined || (planned.role !== 'source' && planned.role !== 'table'))
      throw new MillraceError('E_USAGE', `send: the pipeline does not read '${topic.name}'; it reads ${sources(this.plan.topics)}`);
    const buffer = this.log.newBuffer();
    buffer.add(topic.name, partitionOf(key, planned.spec.partitions), key, value, timeOf(at), headers);
    this.log.appendNow(buffer);
    this.#sent += 1;
    this.#settle(this.#sent % (this.#options.commitEvery ?? 1) === 0);
  }

  tick(at: number | string): void {
    const timeMs = timeOf(at);
    this.#settle(true);
    // Upstream first, and each level's results through the rekey topics before the next one's silence.
    for (let level = 0; level < this.plan.segments.length; level++) {
      for (const task of this.#set.tasks) task.tickAt(level, timeMs);
      this.#settle(true);
    }
  }

  settle(): void {
    this.#settle(true);
  }

  end(): void {
    this.#settle(true);
    while (this.#set.end()) this.#settle(true);
  }

  read<K, V>(topic: Topic<K, V>): readonly ReadRecord<K, V>[] {
    const planned = this.plan.topics.find((t) => t.spec.name === topic.name);
    if (planned === undefined) throw new MillraceError('E_UNKNOWN_TOPIC', `the pipeline neither reads nor writes '${topic.name}'`);
    return this.#unread(topic.name, planned.spec.partitions).map(({ key, value, ...rest }) => ({
      ...rest,
      key: (key === null ? null : topic.keyCodec.decode(key, 0, key.length)) as K,
      value: value === null ? null : topic.codec.decode(value, 0, value.length),
    }));
  }

  readTarget(target: Target<any, any>): readonly ReadRecord<any, any>[] {
    return this.read(target.resolve(this.plan.pipeline.id).topic);
  }

  deadLetters(): readonly DeadLettered[] {
    return this.#unread(DEAD_LETTER_TOPIC, 1).map(deadLettered);
  }

  #unread(name: string, partitions: number): RawRecord[] {
    const positions = this.#read.get(name) ?? new Array<number>(partitions).fill(0);
    this.#read.set(name, positions);
    return positions.flatMap((from, partition) => {
      positions[partition] = this.log.boundsNow(name, partition).endOffset;
      return recordsOf(this.log, name, partition, from);
    });
  }

  cut(): void {
    this.#settle(true);
    this.#set = this.#open();
  }

  crash(): void {
    this.#set = this.#open();
    this.#settle(false);
  }

  counters(): Readonly<Record<string, number>> {
    const sums: Record<string, number> = {};
    for (const task of this.#set.tasks) for (const [name, n] of Object.entries(task.counters)) sums[name] = (sums[name] ?? 0) + n;
    return sums;
  }
}

function sources(topics: readonly PlannedTopic[]): string {
  return topics
    .filter((t) => t.role === 'source' || t.role === 'table')
    .map((t) => `'${t.spec.name}'`)
    .join(', ');
}

function deadLettered({ key, value, headers }: { key: Buffer | null; value: Buffer | null; headers: Headers }): DeadLettered {
  const text = (name: string) =>
    headers[`dlq.${name}`] === undefined ? undefined : Buffer.from(headers[`dlq.${name}`] as Uint8Array).toString('utf8');
  const number = (name: string) => (text(name) === undefined ? {} : { [name]: Number(text(name)) });
  return {
    code: text('code') as ErrorCode,
    reason: text('reason') ?? '',
    ...(text('step') === undefined ? {} : { step: text('step') as string }),
    origin: { topic: text('topic') ?? '', ...number('partition'), ...number('offset'), ...number('eventTimeMs') },
    key: key === null ? null : key.toString('utf8'),
    value: value === null ? null : value.toString('utf8'),
  };
}
