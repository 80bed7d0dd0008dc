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
import type { Target, Topic } from '../engine/topic.ts';
import { type MemoryLog, memoryLog } from '../log/memory/memoryLog.ts';

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
export function drive(pipeline: Pipeline, { commitEvery = 1, on, resetSteps = [], replayOf }: DriveOptions = {}): Driver {
  const plan = planOf(pipeline);
  const log = on ?? memoryLog();
  const boxed = msgpack();
  log.ensureTopicsNow(plan.topics.map((t) => t.spec));
  if (replayOf !== undefined) copySources(plan, replayOf.log, log);
  const { partitions } = pipeline.options;
  const read = new Map<string, number[]>();
  let set = open();
  let sent = 0;

  function open(): TaskSet {
    const opened = new TaskSet(() => log.newBuffer());
    for (const claim of log.claimNow(
      taskGroup(pipeline),
      Array.from({ length: partitions }, (_, p) => p),
    )) {
      const task = new Task({ plan, partition: claim.partition, boxed, freeze: true, resetSteps, ...journalOf(claim.partition) });
      const bounds = (input: Input) => log.boundsNow(input.plan.topicName, input.partition);
      task.openNow(claim, (input) => bounds(input).startOffset);
      task.readTablesUntil(new Map(task.inputs.map((input) => [input, bounds(input).endOffset])));
      opened.add(task);
    }
    return opened;
  }

  function journalOf(partition: number): { replay?: JournalEntry[] } {
    if (replayOf === undefined) return {};
    const entries = recordsOf(replayOf.log, plan.journalTopic, partition, 0).flatMap(({ value }) => boxed.decode(value as Buffer, 0, (value as Buffer).length));
    return { replay: entries as JournalEntry[] };
  }

  /** Processes all the log has, then commits; over again while rekey topics bring more. */
  function settle(commit: boolean): void {
    for (;;) {
      const wants = set.wants();
      set.offer(wants, log.fetchNow(wants.map((w) => w.want)), 0);
      const done = set.slice(0, Date.now(), () => false);
      if (done > 0) continue;
      if (!commit || !set.hasChanges(true)) return;
      const { tasks, outputs } = set.cut(true);
      if (log.commitNow(tasks, outputs) !== 'committed') throw new MillraceError('E_FENCED', 'the memory log refused a commit');
      for (const { topic, partition, beforeOffset } of set.committed()) void log.trim(topic, partition, beforeOffset);
    }
  }

  function sendBytes(
    topic: Topic<any, any>,
    key: Uint8Array | null,
    value: Uint8Array | null,
    at: number | string,
    headers: Headers = noHeaders,
  ): void {
    const planned = plan.topics.find((t) => t.spec.name === topic.name);
    if (planned === undefined || (planned.role !== 'source' && planned.role !== 'table'))
      throw new MillraceError('E_USAGE', `send: the pipeline does not read '${topic.name}'; it reads ${sources(plan.topics)}`);
    const buffer = log.newBuffer();
    buffer.add(topic.name, partitionOf(key, planned.spec.partitions), key, value, timeOf(at), headers);
    log.appendNow(buffer);
    sent += 1;
    settle(sent % commitEvery === 0);
  }

  function readFrom(topic: Topic<any, any>): ReadRecord<any, any>[] {
    const planned = plan.topics.find((t) => t.spec.name === topic.name);
    if (planned === undefined) throw new MillraceError('E_UNKNOWN_TOPIC', `the pipeline neither reads nor writes '${topic.name}'`);
    return readAll(topic.name, planned.spec.partitions).map(({ key, value, ...rest }) => ({
      ...rest,
      key: key === null ? null : topic.keyCodec.decode(key, 0, key.length),
      value: value === null ? null : topic.codec.decode(value, 0, value.length),
    }));
  }

  function readAll(name: string, partitionCount: number) {
    const positions = read.get(name) ?? new Array<number>(partitionCount).fill(0);
    read.set(name, positions);
    const found: RawRecord[] = [];
    for (let partition = 0; partition < partitionCount; partition++) {
      const from = Math.max(positions[partition] as number, log.boundsNow(name, partition).startOffset);
      const records = recordsOf(log, name, partition, from);
      found.push(...records);
      positions[partition] = log.boundsNow(name, partition).endOffset;
    }
    return found;
  }

  return {
    plan,
    log,
    sendBytes,
    send: (topic, key, value, at) =>
      sendBytes(topic, key === null ? null : topic.keyCodec.encode(key), value === null ? null : topic.codec.encode(value), at),
    tick(at) {
      const timeMs = timeOf(at);
      settle(true);
      // Upstream first, and each level's results through the rekey topics before the next one's silence.
      for (let level = 0; level < plan.segments.length; level++) {
        for (const task of set.tasks) task.tickAt(level, timeMs);
        settle(true);
      }
    },
    settle: () => settle(true),
    end() {
      settle(true);
      while (set.end()) settle(true);
    },
    read: (topic) => readFrom(topic),
    readTarget: (target) => readFrom(target.resolve(pipeline.id).topic),
    deadLetters: () => readAll(DEAD_LETTER_TOPIC, 1).map(deadLettered),
    cut() {
      settle(true);
      set = open();
    },
    crash() {
      set = open();
      settle(false);
    },
    counters() {
      const sums: Record<string, number> = {};
      for (const task of set.tasks) for (const [name, n] of Object.entries(task.counters)) sums[name] = (sums[name] ?? 0) + n;
      return sums;
    },
  };
}

interface RawRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly eventTimeMs: number;
  readonly headers: Headers;
}

/** Every record a partition still holds from an offset on. */
function recordsOf(log: MemoryLog, topic: string, partition: number, from: number): RawRecord[] {
  const found: RawRecord[] = [];
  const offset = Math.max(from, log.boundsNow(topic, partition).startOffset);
  for (const { batches } of log.fetchNow([{ topic, partition, offset }], Number.POSITIVE_INFINITY))
    for (const batch of batches)
      for (let i = 0; i < batch.count; i++) {
        const bytes = (start: number, end: number) => (start < 0 ? null : Buffer.from(batch.bytes.subarray(start, end)));
        found.push({
          partition,
          offset: batch.baseOffset + (batch.offsetDelta[i] as number),
          key: bytes(batch.keyStart[i] as number, batch.keyEnd[i] as number),
          value: bytes(batch.valueStart[i] as number, batch.valueEnd[i] as number),
          eventTimeMs: batch.timeMs[i] as number,
          headers: batch.headers(i),
        });
      }
  return found.filter((r) => r.offset >= offset);
}

function copySources(plan: Plan, from: MemoryLog, to: MemoryLog): void {
  for (const { spec, role } of plan.topics) {
    if (role !== 'source' && role !== 'table') continue;
    for (let partition = 0; partition < spec.partitions; partition++) {
      const buffer = to.newBuffer();
      for (const { key, value, eventTimeMs, headers } of recordsOf(from, spec.name, partition, 0)) buffer.add(spec.name, partition, key, value, eventTimeMs, headers);
      to.appendNow(buffer);
    }
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
