// A connected part of the pipeline in one task: its clock, what is due in it, and which record comes next.
import { type SegmentSnapshot, time } from './checkpoint.ts';
import { assert } from './errors.ts';
import type { Input } from './input.ts';
import { type PlanNode, type PlanSegment, resultLagMs } from './plan.ts';
import type { Mark } from './rekey.ts';
import type { TaskStore } from './stores.ts';

/** A store with rows or timers that come due, and how far its step's clock lags the segment's. */
export interface DueStore {
  readonly store: TaskStore;
  readonly node: PlanNode;
  readonly lagMs: number;
}

/** A rekey input's upstreams: the last mark of each. -Infinity: has not spoken. */
interface Upstreams {
  readonly input: Input;
  readonly timeMs: Float64Array;
  readonly idle: Uint8Array;
}

/** A rekey this segment writes to: the last mark sent, and the stores that can still emit into it. */
export interface RekeyOut {
  readonly node: PlanNode;
  readonly topicName: string;
  readonly storesAbove: readonly DueStore[];
  /** undefined: nothing sent yet. */
  sent: number | 'idle' | undefined;
}

const NEVER = Number.NEGATIVE_INFINITY;

/** Time, idleness and order of one segment. Pure: every clock reading is handed in. */
export class Segment {
  readonly plan: PlanSegment;
  readonly streams: readonly Input[];
  readonly tables: readonly Input[];
  readonly rekeys: readonly Input[];
  readonly inputs: readonly Input[];
  readonly rekeyOuts: RekeyOut[] = [];
  readonly due: DueStore[] = [];
  /** The segment's stream time, as steps see it. Never goes back, but for an undone record. */
  timeMs = NEVER;
  /** Where records, marks and ticks have brought time. timeMs follows it from one due call to the next, so that nothing finds itself late. */
  targetMs = NEVER;
  /** Largest event time taken from the segment's own topics: they count as one upstream. */
  ownTimeMs = NEVER;
  /** True while silence has been observed and nothing has come since. */
  idle = false;
  readonly #upstreams: readonly Upstreams[];
  readonly #idleAfterMs: number;
  /** The segment's own topics are silent: they hold nobody up while upstream tasks speak. */
  #ownIdle = false;
  #lastRecordAtMs = NEVER;
  #idleBaseMs = 0;
  #idleFromMs = NEVER;

  constructor(plan: PlanSegment, inputs: readonly Input[], upstreamTasks: number, idleAfterMs: number) {
    this.plan = plan;
    this.inputs = inputs;
    this.streams = inputs.filter((i) => i.plan.kind === 'stream');
    this.tables = inputs.filter((i) => i.plan.kind === 'table');
    this.rekeys = inputs.filter((i) => i.plan.kind === 'rekey');
    this.#idleAfterMs = idleAfterMs;
    this.#upstreams = this.rekeys.map((input) => ({
      input,
      timeMs: new Float64Array(upstreamTasks).fill(NEVER),
      idle: new Uint8Array(upstreamTasks),
    }));
  }

  /** Segment time at which the next row or timer is due; Infinity when none is. */
  get nextDueMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { store, lagMs } of this.due) {
      const at = store.nextDueMs + lagMs;
      if (at < next) next = at;
    }
    return next;
  }

  /** The store whose turn it is: earliest first, upstream first among equals. */
  nextDue(): DueStore {
    let first: DueStore | undefined;
    for (const due of this.due)
      if (first === undefined || due.store.nextDueMs + due.lagMs < first.store.nextDueMs + first.lagMs) first = due;
    assert(first !== undefined, 'nextDue: nothing is due');
    return first;
  }

  /** A record of one of the segment's own topics was taken. */
  took(eventTimeMs: number): void {
    if (eventTimeMs > this.ownTimeMs) this.ownTimeMs = eventTimeMs;
    if (this.rekeys.length === 0) {
      if (eventTimeMs > this.targetMs) this.targetMs = eventTimeMs;
    } else this.#recompute();
  }

  /** Time is now at `timeMs`, or where it was if that is later: everything due before has happened. */
  reach(timeMs: number): void {
    if (timeMs > this.timeMs) this.timeMs = timeMs;
  }

  /** The segment is not silent: a record, or a mark that is not `idle`, came at nowMs (monotonic). */
  stirred(nowMs: number): void {
    this.idle = false;
    this.#ownIdle = false;
    this.#lastRecordAtMs = nowMs;
  }

  /** Upstream time: the minimum over the upstreams that are not idle. */
  applyMark(input: Input, mark: Mark): void {
    const upstreams = this.#upstreams.find((u) => u.input === input);
    assert(
      upstreams !== undefined && mark.from < upstreams.timeMs.length,
      `a mark from task ${mark.from}, which the pipeline does not have`,
    );
    if (mark.timeMs === null) upstreams.idle[mark.from] = 1;
    else {
      upstreams.idle[mark.from] = 0;
      upstreams.timeMs[mark.from] = Math.max(upstreams.timeMs[mark.from] as number, mark.timeMs);
    }
    this.#recompute();
  }

  #recompute(): void {
    let least = Number.POSITIVE_INFINITY;
    for (const { timeMs, idle } of this.#upstreams)
      for (let i = 0; i < timeMs.length; i++) if (idle[i] === 0 && (timeMs[i] as number) < least) least = timeMs[i] as number;
    if (this.streams.length > 0 && !this.#ownIdle && this.ownTimeMs < least) least = this.ownTimeMs;
    if (least !== Number.POSITIVE_INFINITY && least > this.targetMs) this.targetMs = least;
  }

  get #reads(): readonly string[] {
    return [...new Set([...this.streams, ...this.rekeys].map((input) => input.plan.topicName))];
  }

  get #upstreamsIdle(): boolean {
    return this.#upstreams.every(({ idle }) => idle.every((flag) => flag === 1));
  }

  /**
   * Looks whether the segment is silent, and how late it is by the oldest answer that says so.
   * Returns the time a tick may be made at, or undefined while the segment is not silent.
   *
   * Unit  nowMs, drainedAtMs: monotonic ms · result: epoch ms of stream time
   */
  silence(nowMs: number, drainedAtMs: (topic: string) => number | undefined): number | undefined {
    if (this.#lastRecordAtMs === NEVER) this.#lastRecordAtMs = nowMs;
    let oldest = Number.POSITIVE_INFINITY;
    for (const input of this.streams)
      oldest = Math.min(oldest, input.drained ? input.drainedAtMs : NEVER, drainedAtMs(input.plan.topicName) ?? NEVER);
    for (const input of this.rekeys) oldest = Math.min(oldest, input.drained ? input.drainedAtMs : NEVER);
    if (oldest < this.#lastRecordAtMs + this.#idleAfterMs) return undefined;
    if (!this.#ownIdle) {
      this.#ownIdle = true;
      if (this.rekeys.length > 0) this.#recompute();
    }
    if (!this.#upstreamsIdle) return undefined;
    if (!this.idle) {
      this.idle = true;
      this.#idleBaseMs = oldest;
      this.#idleFromMs = this.targetMs;
    }
    // The monotonic clock counts fractions, event time does not: a mark at a fraction could not be written.
    return this.#idleFromMs + Math.floor(oldest - this.#idleBaseMs);
  }

  /** Time moves by silence: to `timeMs`, which a tick records. */
  tick(timeMs: number): void {
    if (timeMs > this.targetMs) this.targetMs = timeMs;
    if (timeMs > this.ownTimeMs) this.ownTimeMs = timeMs;
  }

  /** Latest time at which something open now is due; -Infinity when nothing is. Segment time. */
  largestDueMs(): number {
    let last = NEVER;
    for (const { store, lagMs } of this.due) last = Math.max(last, store.lastDueMs + lagMs);
    return last;
  }

  /** What a mark into `out` would say now; undefined while there is nothing to say. */
  markFor(out: RekeyOut): number | 'idle' | undefined {
    const streamMark = this.timeMs - out.node.lagMs;
    if (!this.idle) return this.timeMs === NEVER ? undefined : streamMark;
    let emits = Number.POSITIVE_INFINITY;
    for (const { store, node } of out.storesAbove) emits = Math.min(emits, store.nextDueMs - resultLagMs(node.node));
    return emits === Number.POSITIVE_INFINITY ? 'idle' : Math.max(streamMark, emits);
  }

  snapshot(): SegmentSnapshot {
    const marks = this.#upstreams.map(
      ({ input, timeMs, idle }) => [input.plan.topicName, Array.from(timeMs, (t, i) => (idle[i] === 1 ? 'idle' : time.write(t)))] as const,
    );
    return {
      reads: this.#reads,
      timeMs: time.write(this.timeMs),
      targetMs: time.write(this.targetMs),
      ownTimeMs: time.write(this.ownTimeMs),
      marks: Object.fromEntries(marks),
      sent: Object.fromEntries(this.rekeyOuts.map((out) => [out.node.name, out.sent ?? null])),
    };
  }

  /** Back to a snapshot. What is observed, such as idleness, starts anew. */
  restore(snapshots: readonly SegmentSnapshot[] = []): void {
    // Segments are known by what they read: their numbers change when the pipeline grows.
    const snapshot = snapshots.find(({ reads }) => reads.some((name) => this.#reads.includes(name)));
    this.timeMs = time.read(snapshot?.timeMs ?? null);
    this.targetMs = time.read(snapshot?.targetMs ?? null);
    this.ownTimeMs = time.read(snapshot?.ownTimeMs ?? null);
    this.idle = false;
    this.#ownIdle = false;
    this.#lastRecordAtMs = NEVER;
    for (const { input, timeMs, idle } of this.#upstreams) {
      const stored = snapshot?.marks[input.plan.topicName] ?? [];
      for (let i = 0; i < timeMs.length; i++) {
        const mark = stored[i] ?? null;
        idle[i] = mark === 'idle' ? 1 : 0;
        timeMs[i] = mark === 'idle' ? NEVER : time.read(mark);
      }
    }
    for (const out of this.rekeyOuts) out.sent = snapshot?.sent[out.node.name] ?? undefined;
  }

  /**
   * The input whose head record comes next: the smallest event time, ties by topic, then partition.
   * undefined when nothing is at hand or an input that has more in the log must be waited for.
   */
  choose(): Input | undefined {
    if (this.inputs.length === 1) return (this.inputs[0] as Input).batch === undefined ? undefined : (this.inputs[0] as Input);
    let best: Input | undefined;
    for (const input of this.inputs) {
      if (input.batch === undefined) {
        // A rekey topic is never waited for: its writer may be this very task.
        if (input.plan.kind !== 'rekey' && input.mustWait) return undefined;
        continue;
      }
      if (best === undefined || before(input, best)) best = input;
    }
    return best;
  }
}

function before(a: Input, b: Input): boolean {
  const difference = a.headTimeMs - b.headTimeMs;
  if (difference !== 0) return difference < 0;
  if (a.plan.topicName !== b.plan.topicName) return a.plan.topicName < b.plan.topicName;
  return a.partition < b.partition;
}
