// The asynchronous shell around the tasks: fetch, slice, commit, wait. The only file of the engine that may await or read a clock.
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { MillraceError } from './errors.ts';
import type { Input } from './input.ts';
import { type Plan, taskGroup } from './plan.ts';
import type { CommitOutcome, FeedStatus, LogPort, Membership, OutputBuffer, TaskCommit } from './ports.ts';
import { Task } from './task.ts';
import { TaskSet, type Trim } from './taskSet.ts';
import type { Codec } from './topic.ts';

/** A slice yields after this long, so that ingest and timers get their turn. Unit: ms. */
const SLICE_MS_MAX = 10;
/** A slice that took longer is reported. Unit: ms. */
const SLOW_SLICE_MS = 1_000;
/** How long a fetch may wait for records when there is nothing to do. Also how often silence is looked for. Unit: ms. */
const FETCH_WAIT_MS = 100;
/** In live use marks are written at most this often. Unit: ms. */
const MARK_EVERY_MS = 1_000;
/** How long to wait before a commit that found the log full is tried again. Unit: ms. */
const LOG_FULL_RETRY_MS = 1_000;
/** Rekey topics are trimmed at most this often. Unit: ms. */
const TRIM_EVERY_MS = 1_000;

/** Places at which the kill harness may end the process. */
export type WorkerPoint = 'after-process' | 'at-cut';

/** A slice that held the worker up. */
export interface SlowSlice {
  readonly ms: number;
  /** Where each task stood afterwards: `topic/partition@offset`. */
  readonly at: readonly string[];
}

/** What a worker runs, on which log, and who hears of it. */
export interface WorkerOptions {
  readonly log: LogPort;
  readonly plans: readonly Plan[];
  /** Codec of boxed values and rekeyed records: msgpack. */
  readonly boxed: Codec<unknown>;
  /** What ingest knows of silence. Default: nobody feeds anything. */
  readonly feeds?: FeedStatus;
  readonly resetSteps?: readonly string[];
  readonly skip?: readonly { readonly topic: string; readonly partition: number; readonly offset: number }[];
  /** Called before each record: after the process hung, this is how the record is found that hangs it. */
  readonly onTake?: ((topic: string, partition: number, offset: number) => void) | undefined;
  readonly onPoint?: (point: WorkerPoint) => void;
  /** The log is full; the commit is tried again every second. */
  readonly onFull?: (message: string) => void;
  readonly onSlow?: (slice: SlowSlice) => void;
  /** Called at the end of every slice: the supervisor's sign of life. */
  readonly onSlice?: () => void;
  readonly freeze?: boolean;
}

/** Upper bounds of the commit time histogram. Unit: ms. */
export const COMMIT_BUCKETS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000] as const;

/** One task in figures. */
export interface TaskMetrics {
  readonly pipeline: string;
  readonly partition: number;
  /** `in`, `out`, `dead_lettered/<code>`, `step/<step>/<counter>` such as `step/air-5m/late`. Totals since the process started. */
  readonly counters: Readonly<Record<string, number>>;
  readonly lag: readonly { readonly topic: string; readonly partition: number; readonly records: number }[];
  /** By segment; undefined before the first record. Unit: epoch ms. */
  readonly streamTimeMs: readonly (number | undefined)[];
  readonly stateRows: number;
}

/** A worker in figures: its tasks and its commits. */
export interface WorkerMetrics {
  readonly tasks: readonly TaskMetrics[];
  readonly commits: { readonly count: number; readonly sumMs: number; readonly buckets: readonly number[] };
}

/** Runs the tasks of some pipelines until it is stopped, ends, or fails. */
export interface Worker {
  /** Resolves when a bounded run has ended: after endOfInput(), everything processed, closed, committed, durable. */
  readonly finished: Promise<void>;
  /** Rejects with what ended the worker. Never resolves. */
  readonly failed: Promise<never>;
  /** Nothing more will come: finish what is in the log, close what is open, then `finished`. */
  endOfInput(): void;
  /** Commits what is done and stops. */
  stop(): Promise<void>;
  metrics(): WorkerMetrics;
}

/**
 * Claims the tasks of the pipelines and runs them.
 *
 * Errors  E_STATE_SHAPE, E_PARTITIONS_CHANGED, E_OFFSET_OUT_OF_RANGE, E_UNKNOWN_TOPIC while opening; later ones by `failed`
 */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const worker = new Running(options);
  await worker.join();
  worker.start();
  return worker;
}

class Running implements Worker {
  readonly finished: Promise<void>;
  readonly failed: Promise<never>;
  readonly #options: WorkerOptions;
  readonly #log: LogPort;
  readonly #set: TaskSet;
  readonly #planOf = new Map<Task, Plan>();
  readonly #memberships: Membership[] = [];
  readonly #commitEveryMs: number;
  #resolveFinished!: () => void;
  #rejectFailed!: (error: unknown) => void;
  #stopping = false;
  #ending = false;
  #loop: Promise<void> | undefined;
  #fetching: Promise<void> | undefined;
  #commit: Promise<void> | undefined;
  #lastCommitMs = performance.now();
  #lastMarksMs = Number.NEGATIVE_INFINITY;
  #lastTrimMs = Number.NEGATIVE_INFINITY;
  readonly #trims = new Map<string, Trim>();
  #commits = 0;
  #commitMsSum = 0;
  readonly #commitBuckets = new Array<number>(COMMIT_BUCKETS_MS.length + 1).fill(0);

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#set = new TaskSet(() => options.log.newBuffer());
    this.#commitEveryMs = Math.min(...options.plans.map((p) => p.pipeline.options.commitEveryMs));
    this.finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
    this.failed = new Promise((_, reject) => {
      this.#rejectFailed = reject;
    });
    this.failed.catch(() => {});
  }

  // ── tasks come and go ────────────────────────────────────────────────────────────────────────────────────────────

  async join(): Promise<void> {
    for (const plan of this.#options.plans) {
      const group = taskGroup(plan.pipeline);
      this.#memberships.push(
        await this.#log.join(group, plan.pipeline.options.partitions, {
          assigned: (partitions) => this.#open(plan, partitions),
          revoked: (partitions) => this.#giveUp(plan, partitions),
          lost: (partitions) => this.#set.drop(this.#tasksOf(plan, partitions)),
        }),
      );
    }
  }

  /** The one way to get a task: claim, restore, find the tables' ends, run. */
  async #open(plan: Plan, partitions: readonly number[]): Promise<void> {
    for (const claim of await this.#log.claim(taskGroup(plan.pipeline), partitions)) {
      const { boxed, freeze = false, resetSteps = [], skip = [], onTake } = this.#options;
      const task = new Task({ plan, partition: claim.partition, boxed, freeze, resetSteps, skip, onTake });
      const bounds = (input: Input) => this.#log.bounds(input.plan.topicName, input.partition);
      const starts = new Map(await Promise.all(task.inputs.map(async (input) => [input, (await bounds(input)).startOffset] as const)));
      task.open(claim, (input) => starts.get(input) as number);
      for await (const row of claim.state) task.restoreRow(row);
      const tables = task.inputs.filter((input) => input.plan.kind === 'table');
      task.readTablesUntil(new Map(await Promise.all(tables.map(async (input) => [input, (await bounds(input)).endOffset] as const))));
      this.#planOf.set(task, plan);
      this.#set.add(task);
    }
  }

  /** Before a task goes: stop it, commit, forget. */
  async #giveUp(plan: Plan, partitions: readonly number[]): Promise<void> {
    await this.#commitAll();
    this.#set.drop(this.#tasksOf(plan, partitions));
  }

  #tasksOf(plan: Plan, partitions: readonly number[]): Task[] {
    return this.#set.tasks.filter((task) => this.#planOf.get(task) === plan && partitions.includes(task.partition));
  }

  // ── the loop ─────────────────────────────────────────────────────────────────────────────────────────────────────

  start(): void {
    this.#loop = this.#run().catch((error) => this.#rejectFailed(error));
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      this.#fetch();
      const startMs = performance.now();
      const done = this.#set.slice(startMs, Date.now(), () => performance.now() - startMs > SLICE_MS_MAX);
      this.#watch(startMs);
      if (done > 0) this.#options.onPoint?.('after-process');
      else
        this.#set.observe(startMs, (topic) =>
          this.#options.feeds === undefined ? Number.POSITIVE_INFINITY : this.#options.feeds.drainedAtMs(topic),
        );
      this.#commitWhenDue(done === 0);
      if (done > 0) await nextTurn();
      else if (!(await this.#endReached())) await Promise.race([this.#fetching, this.#commit].filter((p) => p !== undefined));
      // At the end fetches do not wait and may answer within this turn: without one of its own the commit under way would never end.
      if (this.#ending) await nextTurn();
      if (this.#error !== undefined) throw this.#error;
    }
  }

  #error: unknown;

  /** Keeps one fetch under way. It waits for records only when everything known is worked through. */
  #fetch(): void {
    if (this.#fetching !== undefined) return;
    const wants = this.#set.wants();
    if (wants.length === 0) return;
    const sentAtMs = performance.now();
    const waitMs = this.#set.drained && !this.#ending ? FETCH_WAIT_MS : 0;
    this.#fetching = this.#log
      .fetch(
        wants.map((w) => w.want),
        { waitMs },
      )
      .then((answers) => this.#set.offer(wants, answers, sentAtMs))
      .catch((error) => {
        this.#error ??= error;
      })
      .finally(() => {
        this.#fetching = undefined;
      });
  }

  #watch(startMs: number): void {
    const ms = performance.now() - startMs;
    this.#options.onSlice?.();
    if (ms < SLOW_SLICE_MS) return;
    const at = this.#set.tasks.flatMap((task) => task.inputs.map((i) => `${i.plan.topicName}/${i.partition}@${i.position}`));
    this.#options.onSlow?.({ ms, at });
  }

  // ── commit ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Commits when there is something to keep and nothing more to do, else when the time since the last one is up. */
  #commitWhenDue(nothingToDo: boolean): void {
    if (this.#commit !== undefined) return;
    const nowMs = performance.now();
    if (!nothingToDo && nowMs - this.#lastCommitMs < this.#commitEveryMs) return;
    if (this.#set.hasChanges(this.#marksFreely(nowMs))) this.#startCommit(nowMs);
  }

  /** Whether marks may be written that say nothing but a later time. */
  #marksFreely(nowMs: number): boolean {
    return nowMs - this.#lastMarksMs >= MARK_EVERY_MS || this.#ending;
  }

  /**
   * The commit, in order: ① cut: outputs, changed rows and checkpoints are fixed, a new undo generation begins;
   * ② records go on being processed; ③ the log takes all of it or nothing; ④ known: drop that generation, trim rekey topics.
   * If it did not happen: every task of the worker goes back to its last commit and fetches again.
   */
  #startCommit(nowMs: number): void {
    const marksFreely = this.#marksFreely(nowMs);
    if (marksFreely) this.#lastMarksMs = nowMs;
    this.#lastCommitMs = nowMs;
    const { tasks, outputs } = this.#set.cut(marksFreely);
    this.#options.onPoint?.('at-cut');
    this.#commit = this.#commitWhenThereIsRoom(tasks, outputs)
      .then((outcome) => (outcome === 'unknown' ? this.#log.resolve(tasks) : outcome))
      .then((outcome) => this.#settle(outcome, nowMs))
      .catch((error) => {
        this.#error ??= error;
      })
      .finally(() => {
        this.#commit = undefined;
      });
  }

  /** A full log is no reason to die: the same commit is handed over again until there is room, or we stop. */
  async #commitWhenThereIsRoom(tasks: readonly TaskCommit[], outputs: OutputBuffer): Promise<CommitOutcome> {
    for (;;)
      try {
        return await this.#log.commit(tasks, outputs);
      } catch (error) {
        if (!(error instanceof MillraceError) || error.code !== 'E_LOG_FULL' || this.#stopping) throw error;
        this.#options.onFull?.(error.message);
        await sleep(LOG_FULL_RETRY_MS);
      }
  }

  #settle(outcome: 'committed' | 'aborted' | 'lost', startMs: number): void {
    const ms = performance.now() - startMs;
    if (outcome === 'lost') {
      this.#set.drop(this.#set.tasks);
      throw new MillraceError('E_FENCED', 'a commit was refused: another process has taken these tasks over');
    }
    if (outcome === 'aborted') {
      this.#set.aborted();
      return;
    }
    for (const trim of this.#set.committed()) this.#trims.set(`${trim.topic}/${trim.partition}`, trim);
    this.#commits += 1;
    this.#commitMsSum += ms;
    const bucket = COMMIT_BUCKETS_MS.findIndex((bound) => ms <= bound);
    const at = bucket < 0 ? COMMIT_BUCKETS_MS.length : bucket;
    this.#commitBuckets[at] = (this.#commitBuckets[at] as number) + 1;
    this.#trim();
  }

  #trim(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lastTrimMs < TRIM_EVERY_MS || this.#trims.size === 0) return;
    this.#lastTrimMs = nowMs;
    const trims = [...this.#trims.values()];
    this.#trims.clear();
    for (const { topic, partition, beforeOffset } of trims)
      this.#log.trim(topic, partition, beforeOffset).catch((error) => {
        this.#error ??= error;
      });
  }

  async #commitAll(): Promise<void> {
    await this.#commit;
    if (this.#set.hasChanges(true)) {
      this.#startCommit(performance.now());
      await this.#commit;
    }
    if (this.#error !== undefined) throw this.#error;
  }

  // ── end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  endOfInput(): void {
    this.#ending = true;
    this.#endAskedMs = performance.now();
  }

  #endAskedMs = Number.POSITIVE_INFINITY;

  /** In a bounded run with nothing left to do: closes what is open, level by level; true while that makes work. */
  async #endReached(): Promise<boolean> {
    if (!this.#ending || this.#commit !== undefined || this.#set.hasChanges(true)) return false;
    const seenEnd = this.#set.tasks.every((task) => task.inputs.every((input) => input.drained && input.drainedAtMs >= this.#endAskedMs));
    if (!seenEnd) return false;
    if (this.#set.end()) {
      // What the ticks cause goes through the rekey topics, so the ends must be looked at once more.
      this.#endAskedMs = performance.now();
      return true;
    }
    await this.#log.durable();
    this.#stopping = true;
    this.#resolveFinished();
    return true;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#loop;
    await this.#fetching;
    await this.#commitAll();
    await this.#log.durable();
    for (const membership of this.#memberships) await membership.leave();
  }

  metrics(): WorkerMetrics {
    return {
      tasks: this.#set.tasks.map((task) => ({
        pipeline: task.plan.pipeline.id,
        partition: task.partition,
        counters: task.counters,
        lag: task.inputs.map((i) => ({ topic: i.plan.topicName, partition: i.partition, records: Math.max(0, i.endOffset - i.position) })),
        streamTimeMs: task.segments.map((s) => (s.timeMs === Number.NEGATIVE_INFINITY ? undefined : s.timeMs)),
        stateRows: task.stateRows,
      })),
      commits: { count: this.#commits, sumMs: this.#commitMsSum, buckets: [...this.#commitBuckets] },
    };
  }
}
