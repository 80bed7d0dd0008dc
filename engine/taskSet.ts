// The tasks of a worker between fetch and commit: all that is synchronous in a worker, so that tests can drive it too.
import { assert } from './errors.ts';
import type { Input } from './input.ts';
import type { Fetched, FetchWant, OutputBuffer, TaskCommit } from './ports.ts';
import type { Task } from './task.ts';

/** A slice of one task ends after this many records and due calls. */
export const SLICE_RECORDS_MAX = 512;

/** A commit whose bytes are fixed: every task’s part, and the outputs of all. */
export interface Cut {
  readonly tasks: readonly TaskCommit[];
  readonly outputs: OutputBuffer;
}

/** Records of a rekey topic that every reader is past. */
export interface Trim {
  readonly topic: string;
  readonly partition: number;
  readonly beforeOffset: number;
}

/** Several tasks that are cut and committed together. */
export class TaskSet {
  readonly #newBuffer: () => OutputBuffer;
  #tasks: Task[] = [];
  #buffer: OutputBuffer;
  /** The tasks whose commit is under way. */
  #committing: Task[] = [];
  #turn = 0;

  constructor(newBuffer: () => OutputBuffer) {
    this.#newBuffer = newBuffer;
    this.#buffer = newBuffer();
  }

  get tasks(): readonly Task[] {
    return this.#tasks;
  }

  add(task: Task): void {
    task.writeTo(this.#buffer);
    this.#tasks.push(task);
  }

  /** Forgets the tasks without a commit. */
  drop(tasks: readonly Task[]): void {
    this.#tasks = this.#tasks.filter((t) => !tasks.includes(t));
    this.#committing = this.#committing.filter((t) => !tasks.includes(t));
  }

  /** What to fetch, and for whom. */
  wants(): { readonly input: Input; readonly want: FetchWant }[] {
    const wants: { input: Input; want: FetchWant }[] = [];
    for (const task of this.#tasks)
      for (const input of task.inputs) {
        const want = input.want();
        if (want !== undefined) wants.push({ input, want });
      }
    return wants;
  }

  /** Every input has worked through all the log had: a fetch may wait for more. */
  get drained(): boolean {
    return this.#tasks.every((task) => task.inputs.every((input) => input.drained));
  }

  /** Hands fetched batches to the inputs that asked. An input that was reset since is left alone. */
  offer(wants: readonly { readonly input: Input; readonly want: FetchWant }[], answers: readonly Fetched[], sentAtMs: number): void {
    wants.forEach(({ input, want }, i) => {
      const answer = answers[i];
      assert(
        answer !== undefined && answer.topic === want.topic && answer.partition === want.partition,
        'a fetch was answered out of order',
      );
      if (input.want()?.offset === want.offset) input.offer(answer, sentAtMs);
    });
  }

  /** One slice over the tasks, beginning with another one each time. Returns how many records and due calls were done. */
  slice(nowMs: number, wallMs: number, expired: () => boolean): number {
    let done = 0;
    const count = this.#tasks.length;
    for (let i = 0; i < count; i++) {
      const task = this.#tasks[(this.#turn + i) % count] as Task;
      task.nowMs = nowMs;
      task.wallMs = wallMs;
      done += task.run(SLICE_RECORDS_MAX, expired);
      if (expired()) {
        this.#turn = (this.#turn + i + 1) % count;
        return done;
      }
    }
    this.#turn = count === 0 ? 0 : (this.#turn + 1) % count;
    return done;
  }

  observe(nowMs: number, drainedAtMs: (topic: string) => number | undefined): void {
    for (const task of this.#tasks) task.observe(nowMs, drainedAtMs);
  }

  /** Something was done that a commit would keep. */
  hasChanges(marksFreely: boolean): boolean {
    return this.#tasks.some((task) => task.changed || task.hasMark(marksFreely));
  }

  /** Fixes a commit of everything done so far and begins the next one. */
  cut(marksFreely: boolean): Cut {
    assert(this.#committing.length === 0, 'cut while a commit is under way');
    this.#committing = this.#tasks.filter((task) => task.changed || task.hasMark(marksFreely));
    const tasks = this.#committing.map((task) => task.cut(marksFreely));
    const outputs = this.#buffer;
    this.#freshBuffer();
    return { tasks, outputs };
  }

  /** The commit is known to be in the log. Returns what may be forgotten of rekey topics. */
  committed(): Trim[] {
    return this.#committing.splice(0).flatMap((task) => task.committed());
  }

  /** The commit is known not to have happened: all tasks go back to their last one, for what followed was built on it. */
  aborted(): void {
    this.#committing = [];
    for (const task of this.#tasks) task.aborted();
    this.#freshBuffer();
  }

  /**
   * One step towards the end of a bounded run, once all inputs are drained: ticks what is still open, upstream first.
   * True when there is more to process or commit.
   */
  end(): boolean {
    const depth = Math.max(0, ...this.#tasks.map((task) => task.segments.length));
    for (let level = 0; level < depth; level++) {
      let ticked = false;
      for (const task of this.#tasks) if (level < task.segments.length && task.endSegment(level)) ticked = true;
      if (ticked || this.hasChanges(true)) return true;
    }
    return false;
  }

  #freshBuffer(): void {
    this.#buffer = this.#newBuffer();
    for (const task of this.#tasks) task.writeTo(this.#buffer);
  }
}
