// Group commit: publishes gather in one buffer while the one before is being made durable; then their acknowledgements go out.
import { type ErrorCode, MillraceError, messageOf } from '../engine/errors.ts';
import type { LogPort, OutputBuffer } from '../engine/ports.ts';
import { accept, type Publish } from './accept.ts';
import type { Forward, Forwarder } from './forwarder.ts';
import type { RoutedTopic } from './routes.ts';

/** Whoever is told that a publish is in the log. */
export interface AckTarget {
  /** Takes note of one; true when it is the first since sendAcks. */
  acknowledge(ack: number): boolean;
  /** Sends all that were noted, in order. */
  sendAcks(): void;
}

export interface IntakeCounters {
  /** Publishes received, wills included. */
  received: number;
  /** Records in the log. A publish that two topics take is two. */
  stored: number;
  /** Publishes in the log as dead letters, by code. */
  readonly deadLettered: Map<ErrorCode, number>;
  /** Publishes that no route takes. */
  unrouted: number;
}

/** open: publishes are taken. full: the log has no room, publishes wait. failed: the log is gone, nothing is taken any more. */
export type IntakeState = 'open' | 'full' | 'failed' | 'closed';

export interface Intake {
  readonly state: IntakeState;
  /** Publishes may be taken now. */
  readonly hasRoom: boolean;
  readonly counters: IntakeCounters;
  /** Takes a publish. Once it is durable, `target` is told. What no route takes is acknowledged in its turn. */
  take(publish: Publish, target: AckTarget | undefined, ack: number): void;
  /** Calls back once, when there is room again, in the order of asking. */
  whenRoom(resume: () => void): void;
  /** Nothing taken for routed topic `index` is outside the log. */
  isQuiet(index: number): boolean;
  /** Resolves when everything taken is in the log, or can no longer be. */
  settled(): Promise<void>;
  close(): void;
}

export interface IntakeOptions {
  readonly log: LogPort;
  readonly topics: readonly RoutedTopic[];
  readonly skewMs: number;
  readonly forwarder: Forwarder;
  readonly onWarning: (message: string) => void;
  readonly onFatal: (error: MillraceError) => void;
  /** How long to wait before a full log is tried again. Unit: ms. */
  readonly retryMs: number;
  readonly bytesMax?: number;
}

/** A batch takes no more past any of these; what comes then waits in the sockets. */
const BYTES_MAX = 4 << 20;
const PUBLISHES_MAX = 16_384;

interface Batch {
  readonly buffer: OutputBuffer;
  readonly targets: AckTarget[];
  readonly acks: number[];
  readonly perTopic: Int32Array;
  readonly deadLettered: Map<ErrorCode, number>;
  readonly forwards: Forward[];
  publishes: number;
  stored: number;
}

/** Begins to take publishes. */
export function intake(options: IntakeOptions): Intake {
  return new GroupCommit(options);
}

/** At most two batches are alive: one on its way into the log and one that fills. */
class GroupCommit implements Intake {
  state: IntakeState = 'open';
  readonly counters: IntakeCounters = { received: 0, stored: 0, deadLettered: new Map(), unrouted: 0 };
  readonly #options: IntakeOptions;
  readonly #bytesMax: number;
  /** By routed topic: publishes taken that are not in the log yet. */
  readonly #outside: Int32Array;
  #filling: Batch;
  #isAppending = false;
  #isScheduled = false;
  #retry: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];
  #settling: (() => void)[] = [];

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#bytesMax = options.bytesMax ?? BYTES_MAX;
    this.#outside = new Int32Array(options.topics.length);
    this.#filling = newBatch(options);
  }

  get hasRoom(): boolean {
    const { publishes, buffer } = this.#filling;
    return this.state === 'open' && publishes < PUBLISHES_MAX && buffer.byteCount < this.#bytesMax;
  }

  take(publish: Publish, target: AckTarget | undefined, ack: number): void {
    const batch = this.#filling;
    const { matches, mqttTopic } = publish.to;
    batch.publishes++;
    this.counters.received++;
    if (matches.length === 0) this.counters.unrouted++;
    for (const match of matches) {
      batch.perTopic[match.index] = (batch.perTopic[match.index] as number) + 1;
      this.#outside[match.index] = (this.#outside[match.index] as number) + 1;
      const code = accept(publish, match, match.routed.skewMs ?? this.#options.skewMs, batch.buffer);
      if (code === undefined) batch.stored++;
      else batch.deadLettered.set(code, (batch.deadLettered.get(code) ?? 0) + 1);
    }
    const { bytes, start, end, isRetained } = publish;
    if (this.#options.forwarder.wants(mqttTopic, isRetained))
      batch.forwards.push({ mqttTopic, payload: Buffer.from(bytes.subarray(start, end)), isRetained });
    if (target !== undefined) {
      batch.targets.push(target);
      batch.acks.push(ack);
    }
    this.#schedule();
  }

  whenRoom(resume: () => void): void {
    this.#waiting.push(resume);
  }

  isQuiet(index: number): boolean {
    return this.#outside[index] === 0 && this.#waiting.length === 0 && this.state === 'open';
  }

  settled(): Promise<void> {
    return this.#isSettled() ? Promise.resolve() : new Promise((resolve) => this.#settling.push(resolve));
  }

  close(): void {
    if (this.state !== 'failed') this.state = 'closed';
    clearTimeout(this.#retry);
    this.#tellSettled();
  }

  /** Everything that is ready to be read is read first, so that the batch is as large as it can be without waiting. */
  #schedule(): void {
    if (this.#isAppending || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    if (this.#isAppending || this.#isOver() || this.#filling.publishes === 0) return;
    const batch = this.#filling;
    this.#filling = newBatch(this.#options);
    this.#isAppending = true;
    this.#append(batch);
    this.#admit();
  }

  #append(batch: Batch): void {
    const done = batch.buffer.recordCount === 0 ? Promise.resolve() : this.#options.log.append(batch.buffer);
    done.then(
      () => this.#durable(batch),
      (error: unknown) => this.#refused(batch, error),
    );
  }

  #durable(batch: Batch): void {
    if (this.#isOver()) return;
    if (this.state === 'full') {
      this.state = 'open';
      this.#options.onWarning('the log has room again: publishes are taken and acknowledged');
    }
    this.#isAppending = false;
    this.counters.stored += batch.stored;
    for (const [code, n] of batch.deadLettered) this.counters.deadLettered.set(code, (this.counters.deadLettered.get(code) ?? 0) + n);
    for (let i = 0; i < this.#outside.length; i++) this.#outside[i] = (this.#outside[i] as number) - (batch.perTopic[i] as number);
    // The next batch is on its way to the disk while these acknowledgements go out.
    if (this.#filling.publishes > 0) this.#flush();
    else this.#admit();
    acknowledge(batch);
    for (const forward of batch.forwards) this.#options.forwarder.send(forward);
    this.#tellSettled();
  }

  /** The log refused the batch. Full: the same batch is tried again and nothing else is taken. Anything else is the end. */
  #refused(batch: Batch, error: unknown): void {
    if (this.#isOver()) return;
    const { onWarning, onFatal, retryMs } = this.#options;
    if (error instanceof MillraceError && error.code === 'E_LOG_FULL') {
      if (this.state === 'open') onWarning(`${messageOf(error)}; publishes are neither taken nor acknowledged until there is room`);
      this.state = 'full';
      this.#retry = setTimeout(() => this.#append(batch), retryMs);
      return;
    }
    this.state = 'failed';
    this.#tellSettled();
    if (error instanceof MillraceError) onFatal(error);
    else onFatal(new MillraceError('E_FLUSH', `ingest: the log refused a batch: ${messageOf(error)}`, { cause: error }));
  }

  /** Lets those who waited go on, as long as there is room. */
  #admit(): void {
    let i = 0;
    const asked = this.#waiting;
    this.#waiting = [];
    while (i < asked.length && this.hasRoom) (asked[i++] as () => void)();
    if (i < asked.length) this.#waiting = [...asked.slice(i), ...this.#waiting];
  }

  #isOver(): boolean {
    return this.state === 'failed' || this.state === 'closed';
  }

  #isSettled(): boolean {
    return this.#isOver() || (!this.#isAppending && this.#filling.publishes === 0 && this.#waiting.length === 0);
  }

  #tellSettled(): void {
    if (!this.#isSettled()) return;
    for (const resolve of this.#settling.splice(0)) resolve();
  }
}

function newBatch({ log, topics }: IntakeOptions): Batch {
  return {
    buffer: log.newBuffer(),
    targets: [],
    acks: [],
    perTopic: new Int32Array(topics.length),
    deadLettered: new Map(),
    forwards: [],
    publishes: 0,
    stored: 0,
  };
}

/** Each client gets all its acknowledgements of a batch in one write, in the order its publishes came. */
function acknowledge({ targets, acks }: Batch): void {
  const touched: AckTarget[] = [];
  for (let i = 0; i < targets.length; i++) {
    const target = targets[i] as AckTarget;
    if (target.acknowledge(acks[i] as number)) touched.push(target);
  }
  for (const target of touched) target.sendAcks();
}
