// One partition of one topic as a task reads it: what was fetched, where it stands, what comes next.
import type { Inlet } from './inlet.ts';
import type { PlanInput } from './plan.ts';
import type { Fetched, FetchWant, RecordBatch } from './ports.ts';

/** Fetched and not yet worked through, per input. Past this no more is asked for. Unit: bytes. */
const QUEUED_BYTES_MAX = 8 << 20;

/** The queue between the log and a segment. */
export class Input {
  readonly plan: PlanInput;
  readonly partition: number;
  /** Place among the task's inputs: what the journal calls it. */
  readonly index: number;
  /** Where its records enter the segment's chains. Set once, when those are built; tables have none. */
  inlet: Inlet | undefined;
  /** Offset of the next record to take. */
  position = 0;
  endOffset = 0;
  startOffset = 0;
  /** The batch under way and the index of its next record. undefined: nothing fetched is left. */
  batch: RecordBatch | undefined;
  at = 0;
  /** Monotonic ms at which the last fetch that found this input drained was sent. */
  drainedAtMs = Number.NEGATIVE_INFINITY;
  #fetchFrom = 0;
  readonly #queue: RecordBatch[] = [];
  #queuedBytes = 0;

  constructor(plan: PlanInput, partition: number, index: number) {
    this.plan = plan;
    this.partition = partition;
    this.index = index;
  }

  /** Event time of the head record. Only while `batch` is set. */
  get headTimeMs(): number {
    return (this.batch as RecordBatch).timeMs[this.at] as number;
  }

  get headOffset(): number {
    const batch = this.batch as RecordBatch;
    return batch.baseOffset + (batch.offsetDelta[this.at] as number);
  }

  /** Nothing at hand, but the log has more: whoever needs the order must wait for it. */
  get mustWait(): boolean {
    return this.batch === undefined && this.position < this.endOffset;
  }

  /** Everything the log had at the last fetch is worked through. */
  get drained(): boolean {
    return this.batch === undefined && this.position >= this.endOffset;
  }

  /** What to ask the log for, or undefined while enough is at hand. */
  want(): FetchWant | undefined {
    if (this.#queuedBytes >= QUEUED_BYTES_MAX) return undefined;
    return { topic: this.plan.topicName, partition: this.partition, offset: this.#fetchFrom };
  }

  /** Takes the answer to a fetch that was sent at sentAtMs (monotonic). */
  offer(fetched: Fetched, sentAtMs: number): void {
    this.endOffset = fetched.endOffset;
    this.startOffset = fetched.startOffset;
    for (const batch of fetched.batches) {
      if (batch.nextOffset <= this.#fetchFrom) continue;
      this.#queue.push(batch);
      this.#queuedBytes += batch.bytes.length;
    }
    this.#fetchFrom = Math.max(this.#fetchFrom, fetched.nextOffset);
    if (this.batch === undefined) this.#nextBatch();
    if (this.batch === undefined) {
      this.position = this.#fetchFrom;
      if (this.position >= this.endOffset) this.drainedAtMs = sentAtMs;
    }
  }

  /** Steps over the head record. */
  advance(): void {
    const batch = this.batch as RecordBatch;
    this.at += 1;
    if (this.at < batch.count) {
      this.position = batch.baseOffset + (batch.offsetDelta[this.at] as number);
      return;
    }
    this.position = batch.nextOffset;
    this.#nextBatch();
  }

  /** Forgets what was fetched and stands at `position`. */
  reset(position: number): void {
    this.position = position;
    this.#fetchFrom = position;
    this.batch = undefined;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.drainedAtMs = Number.NEGATIVE_INFINITY;
  }

  #nextBatch(): void {
    this.batch = undefined;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      this.#queuedBytes -= next.bytes.length;
      let at = 0;
      while (at < next.count && next.baseOffset + (next.offsetDelta[at] as number) < this.position) at++;
      if (at < next.count) {
        this.batch = next;
        this.at = at;
        this.position = next.baseOffset + (next.offsetDelta[at] as number);
        return;
      }
      this.position = Math.max(this.position, next.nextOffset);
    }
  }
}
