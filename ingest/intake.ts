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

/** Begins to take publishes. At most two batches are alive: one on its way into the log and one that fills. */
export function intake(options: IntakeOptions): Intake {
  const { log, topics, skewMs, forwarder, bytesMax = BYTES_MAX } = options;
  const counters: IntakeCounters = { received: 0, stored: 0, deadLettered: new Map(), unrouted: 0 };
  const outside = new Int32Array(topics.length);
  let state: IntakeState = 'open';
  let filling = newBatch(log, topics.length);
  let isAppending = false;
  let isScheduled = false;
  let retry: NodeJS.Timeout | undefined;
  let waiting: (() => void)[] = [];
  let settling: (() => void)[] = [];

  const hasRoom = () => state === 'open' && filling.publishes < PUBLISHES_MAX && filling.buffer.byteCount < bytesMax;
  const isSettled = () => state === 'failed' || state === 'closed' || (!isAppending && filling.publishes === 0 && waiting.length === 0);

  const schedule = (): void => {
    if (isAppending || isScheduled) return;
    isScheduled = true;
    setImmediate(flush);
  };

  const flush = (): void => {
    isScheduled = false;
    if (isAppending || state === 'failed' || state === 'closed' || filling.publishes === 0) return;
    const batch = filling;
    filling = newBatch(log, topics.length);
    isAppending = true;
    append(batch);
    admit();
  };

  const append = (batch: Batch): void => {
    const done = batch.buffer.recordCount === 0 ? Promise.resolve() : log.append(batch.buffer);
    done.then(
      () => settle(batch),
      (error: unknown) => refused(batch, error),
    );
  };

  const settle = (batch: Batch): void => {
    if (state === 'closed' || state === 'failed') return;
    if (state === 'full') {
      state = 'open';
      options.onWarning('the log has room again: publishes are taken and acknowledged');
    }
    isAppending = false;
    count(batch, counters);
    for (let i = 0; i < outside.length; i++) outside[i] = (outside[i] as number) - (batch.perTopic[i] as number);
    // The next batch is on its way to the disk while these acknowledgements go out.
    if (filling.publishes > 0) flush();
    else admit();
    acknowledge(batch);
    for (const forward of batch.forwards) forwarder.send(forward);
    tellSettled();
  };

  /** The log refused the batch. Full: the same batch is tried again and nothing else is taken. Anything else is the end. */
  const refused = (batch: Batch, error: unknown): void => {
    if (state === 'closed' || state === 'failed') return;
    if (error instanceof MillraceError && error.code === 'E_LOG_FULL') {
      if (state === 'open') options.onWarning(`${messageOf(error)}; publishes are neither taken nor acknowledged until there is room`);
      state = 'full';
      retry = setTimeout(append, options.retryMs, batch);
      return;
    }
    state = 'failed';
    tellSettled();
    options.onFatal(
      error instanceof MillraceError
        ? error
        : new MillraceError('E_FLUSH', `ingest: the log refused a batch: ${messageOf(error)}`, { cause: error }),
    );
  };

  /** Lets those who waited go on, as long as there is room. */
  const admit = (): void => {
    let i = 0;
    const asked = waiting;
    waiting = [];
    while (i < asked.length && hasRoom()) (asked[i++] as () => void)();
    if (i < asked.length) waiting = [...asked.slice(i), ...waiting];
  };

  const tellSettled = (): void => {
    if (!isSettled()) return;
    const asked = settling;
    settling = [];
    for (const resolve of asked) resolve();
  };

  return {
    counters,
    get state() {
      return state;
    },
    get hasRoom() {
      return hasRoom();
    },
    take(publish, target, ack) {
      const { to } = publish;
      const batch = filling;
      batch.publishes++;
      counters.received++;
      if (to.matches.length === 0) counters.unrouted++;
      for (const match of to.matches) {
        batch.perTopic[match.index] = (batch.perTopic[match.index] as number) + 1;
        outside[match.index] = (outside[match.index] as number) + 1;
        const code = accept(publish, match, match.routed.skewMs ?? skewMs, batch.buffer);
        if (code === undefined) batch.stored++;
        else batch.deadLettered.set(code, (batch.deadLettered.get(code) ?? 0) + 1);
      }
      if (forwarder.wants(to.mqttTopic, publish.isRetained))
        batch.forwards.push({
          mqttTopic: to.mqttTopic,
          payload: Buffer.from(publish.bytes.subarray(publish.start, publish.end)),
          isRetained: publish.isRetained,
        });
      if (target !== undefined) {
        batch.targets.push(target);
        batch.acks.push(ack);
      }
      schedule();
    },
    whenRoom(resume) {
      waiting.push(resume);
    },
    isQuiet: (index) => outside[index] === 0 && waiting.length === 0 && state === 'open',
    settled: () => (isSettled() ? Promise.resolve() : new Promise((resolve) => settling.push(resolve))),
    close() {
      if (state !== 'failed') state = 'closed';
      clearTimeout(retry);
      tellSettled();
    },
  };
}

function newBatch(log: LogPort, topicCount: number): Batch {
  return {
    buffer: log.newBuffer(),
    targets: [],
    acks: [],
    perTopic: new Int32Array(topicCount),
    deadLettered: new Map(),
    forwards: [],
    publishes: 0,
    stored: 0,
  };
}

function count(batch: Batch, counters: IntakeCounters): void {
  counters.stored += batch.stored;
  for (const [code, n] of batch.deadLettered) counters.deadLettered.set(code, (counters.deadLettered.get(code) ?? 0) + n);
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
