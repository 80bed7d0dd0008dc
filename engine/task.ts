// A task: one partition of the whole pipeline. Its chains, stores, timers and clocks; unit of assignment and of state.
import { buildChains, type ChainHost } from './chain.ts';
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { assert, MillraceError } from './errors.ts';
import type { Inlet } from './inlet.ts';
import { Input } from './input.ts';
import { Journal, type JournalEntry } from './journal.ts';
import { partitionOf } from './partitioner.ts';
import { type Plan, type PlanNode, rekeyTopic, taskGroup } from './plan.ts';
import type { OutputBuffer, RecordBatch, StateRow, TaskClaim, TaskCommit } from './ports.ts';
import { record } from './record.ts';
import { type Mark, rekeyedAt } from './rekey.ts';
import { type Place, Replay } from './replay.ts';
import { type RekeyOut, Segment } from './segment.ts';
import type { AnyRec, TableRef } from './step.ts';
import type { KeyValueStore, TableView, TaskStore, Timers, TimersSpec, WindowStore, WindowStoreSpec } from './stores.ts';
import { type Failure, TaskOutputs } from './taskOutputs.ts';
import { TaskState } from './taskState.ts';
import type { Codec } from './topic.ts';

/** What a task is made of. */
export interface TaskOptions {
  readonly plan: Plan;
  readonly partition: number;
  /** Writes rekeyed values and boxed state: msgpack. */
  readonly boxed: Codec<unknown>;
  /** Freeze stored values, so that a test sees who changes them. */
  readonly freeze?: boolean;
  /** Steps whose stored state is thrown away at opening. */
  readonly resetSteps?: readonly string[];
  /** The journal of an earlier run: what it says is done again, and nothing is decided anew. */
  readonly replay?: Iterable<JournalEntry>;
  /** Called before each record: after the process hung, this is how the record is found that hangs it. */
  readonly onTake?: ((topic: string, partition: number, offset: number) => void) | undefined;
  /** Records to dead-letter without trying: they held the worker up too often. */
  readonly skip?: readonly { readonly topic: string; readonly partition: number; readonly offset: number }[];
}

/** Adds to a named count of the task: `in`, `out`, `dead_lettered/E_SCHEMA`, `late`… */
type Counters = Map<string, number>;

/**
 * Processes records of its partition, one at a time, each a savepoint. Synchronous throughout:
 * when run() returns, every effect is in the task's stores and the worker's output buffer.
 */
export class Task implements ChainHost {
  readonly plan: Plan;
  readonly partition: number;
  readonly inputs: readonly Input[];
  readonly segments: readonly Segment[];
  /** Set by the worker before each slice. Unit: monotonic ms, epoch ms. */
  nowMs = 0;
  wallMs = 0;
  /** Something was taken, fired or ticked since the last cut. */
  changed = false;
  /** Records taken: counted apart from the rest, for it moves with every record. */
  #taken = 0;
  readonly #counters: Counters = new Map();
  readonly #options: TaskOptions;
  readonly #boxed: Codec<unknown>;
  readonly #state: TaskState;
  readonly #outputs: TaskOutputs;
  readonly #journal: Journal;
  readonly #tablesPending = new Map<Input, number>();
  readonly #skip: ReadonlySet<string>;
  readonly #replay: Replay | undefined;
  readonly #rekeyOutOf = new Map<PlanNode, RekeyOut>();
  #failure: Failure | undefined;
  /** A record is only being tried: whatever it does will be undone. */
  trial = false;
  /** The head record that was tried and stands, by input and offset. */
  #tried = '';
  /** What the record under way has counted so far: undone with it. */
  readonly #counting: [string, number][] = [];
  #claim: TaskClaim | undefined;
  #commitNumber = 0;
  /** What the task was opened from: rows are read by its shapes. */
  #stored: Checkpoint | undefined;
  #committed: Checkpoint | undefined;
  #inFlight: Checkpoint | undefined;

  constructor(options: TaskOptions) {
    const { plan, partition } = options;
    this.#options = options;
    this.plan = plan;
    this.partition = partition;
    this.#boxed = options.boxed;
    this.#outputs = new TaskOutputs(plan, partition, options.boxed);
    const { freeze = false, resetSteps = [] } = options;
    this.#state = new TaskState({ pipelineId: plan.pipeline.id, boxed: options.boxed, freeze, resetSteps });
    this.#skip = new Set((options.skip ?? []).map((s) => `${s.topic}/${s.partition}/${s.offset}`));
    this.#replay = options.replay === undefined ? undefined : new Replay(options.replay, options.boxed);
    const { partitions, idleAfterMs } = plan.pipeline.options;
    this.inputs = plan.inputs
      .flatMap((input) =>
        Array.from({ length: input.partitions / partitions }, (_, i) => ({ input, partition: partition + i * partitions })),
      )
      .map((at, index) => new Input(at.input, at.partition, index));
    this.#journal = new Journal(this.inputs.length);
    this.segments = plan.segments.map(
      (s) =>
        new Segment(
          s,
          this.inputs.filter((i) => i.plan.segment === s.index),
          partitions,
          idleAfterMs,
        ),
    );
    for (const input of plan.inputs)
      if (input.kind === 'table') this.#state.openTable(input.segment, input.topic as NonNullable<typeof input.topic>);
    for (const segment of plan.segments) {
      const entries = buildChains(this, plan, segment);
      for (const input of this.inputs) if (input.plan.segment === segment.index) input.inlet = entries.get(input.plan.node);
    }
    for (const segment of this.segments) this.#openRekeys(segment);
  }

  get name(): string {
    return `${taskGroup(this.plan.pipeline)}/${this.partition}`;
  }

  /** Totals since the task was opened. */
  get counters(): Readonly<Record<string, number>> {
    return { in: this.#taken, out: this.#outputs.sent, ...Object.fromEntries(this.#counters) };
  }

  get stateRows(): number {
    return this.#state.size;
  }

  // ── opening ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes up the task where its last commit left it; its rows follow by restoreRow(). `startOf` gives the first offset
   * of an input that was never read.
   *
   * Errors  E_STATE_SHAPE, E_PARTITIONS_CHANGED, E_CORRUPT
   */
  open(claim: TaskClaim, startOf: (input: Input) => number): void {
    const stored = claim.checkpoint === undefined ? undefined : decodeCheckpoint(claim.checkpoint, this.name);
    this.#stored = stored;
    const { partitions } = this.plan.pipeline.options;
    if (stored !== undefined && stored.partitions !== partitions)
      throw new MillraceError(
        'E_PARTITIONS_CHANGED',
        `pipeline '${this.plan.pipeline.id}' has ${partitions} partitions, its state was built with ${stored.partitions}`,
      );
    if (stored !== undefined) this.#state.checkShapes(stored);
    this.#claim = claim;
    this.#commitNumber = claim.commitNumber;
    for (const input of this.inputs) input.reset(stored?.positions[positionName(input)] ?? startOf(input));
    for (const segment of this.segments) segment.restore(stored?.segments);
    this.#journal.restore(stored?.sinceJournal ?? 0);
    this.#committed = this.#checkpoint();
  }

  /** Takes in a row that claim.state gave, before the first record. */
  restoreRow(row: StateRow): void {
    this.#state.restoreRow(row, this.#stored);
  }

  /** Tables are read up to these ends before the first stream record. Call it once the ends are known. */
  readTablesUntil(endOf: ReadonlyMap<Input, number>): void {
    for (const segment of this.segments)
      for (const input of segment.tables) {
        const end = endOf.get(input) ?? 0;
        if (input.position < end) this.#tablesPending.set(input, end);
      }
  }

  #openRekeys(segment: Segment): void {
    for (const node of segment.plan.rekeys) {
      const above = ancestorsOf(this.plan, node);
      const out: RekeyOut = {
        node,
        topicName: rekeyTopic(this.plan.pipeline, node.name),
        storesAbove: segment.due.filter((due) => above.has(due.node.index)),
        sent: undefined,
      };
      segment.rekeyOuts.push(out);
      this.#rekeyOutOf.set(node, out);
    }
  }

  // ── what the chains ask for ──────────────────────────────────────────────────────────────────────────────────────

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  fail(step: string, error: unknown): void {
    this.#failure ??= { step, error };
  }

  count(step: string, counter: string, n = 1): void {
    this.#counting.push([`step/${step}/${counter}`, n]);
  }

  clock(node: PlanNode): { readonly streamTimeMs: number } {
    const segment = this.segments[node.segment] as Segment;
    const { lagMs } = node;
    return {
      get streamTimeMs() {
        return segment.timeMs - lagMs;
      },
    };
  }

  keyValueStore<K, V>(node: PlanNode, name: string, codec?: Codec<V>): KeyValueStore<K, V> {
    return this.#state.keyValueStore(node, name, codec);
  }

  windowStore<K>(node: PlanNode, spec: WindowStoreSpec<K>): WindowStore<K> {
    return this.#comesDue(node, this.#state.windowStore(node, spec));
  }

  timers<K>(node: PlanNode, spec: TimersSpec<K>): Timers<K> {
    return this.#comesDue(node, this.#state.timers(node, spec));
  }

  #comesDue<S extends TaskStore>(node: PlanNode, store: S): S {
    (this.segments[node.segment] as Segment).due.push({ store, node, lagMs: node.lagMs });
    return store;
  }

  table<K, V>(segment: number, ref: TableRef): TableView<K, V> {
    return this.#state.table(segment, ref.topic.name) as TableView<unknown, unknown> as TableView<K, V>;
  }

  emit(index: number, out: AnyRec): void {
    if (this.#failure !== undefined) return;
    const output = this.plan.outputs[index] as Plan['outputs'][number];
    try {
      this.#outputs.emit(output, out);
    } catch (error) {
      this.fail(`to ${output.topic.name}`, error);
    }
  }

  emitRekeyed(node: PlanNode, out: AnyRec): void {
    try {
      this.#outputs.emitRekeyed(this.#rekeyOutOf.get(node) as RekeyOut, out, (this.segments[node.segment] as Segment).timeMs);
    } catch (error) {
      this.fail(node.name, error);
    }
  }

  // ── processing ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Where this task's outputs go from now on: the worker's buffer of the current commit. */
  writeTo(buffer: OutputBuffer): void {
    this.#outputs.writeTo(buffer);
  }

  /** Works until `recordsMax` records and due calls are done, nothing is at hand, or `expired` says so. Returns how many were done. */
  run(recordsMax: number, expired: () => boolean): number {
    let done = 0;
    this.#outputs.wallMs = this.wallMs;
    if (this.#replay !== undefined) {
      while (done < recordsMax && this.#stepReplay(this.#replay)) done += 1;
      return done;
    }
    for (let s = this.segments.length - 1; s >= 0; s--) {
      const segment = this.segments[s] as Segment;
      while (done < recordsMax && this.#step(segment)) {
        done += 1;
        if ((done & 15) === 0 && expired()) return done;
      }
    }
    return done;
  }

  /** One due call or one record of a segment. False when there is neither. */
  #step(segment: Segment): boolean {
    const nextDueMs = segment.nextDueMs;
    if (nextDueMs <= segment.targetMs) return this.#fire(segment);
    segment.reach(segment.targetMs);
    const input = this.#tablesPending.size > 0 ? this.#nextOfTables(segment) : segment.choose();
    if (input === undefined) return false;
    this.#options.onTake?.(input.plan.topicName, input.partition, input.headOffset);
    if (input.plan.kind === 'rekey') this.#takeRekeyed(segment, input);
    else if (input.plan.kind === 'table') this.#takeTable(segment, input);
    else if (this.#skip.size > 0 && this.#skip.has(`${input.plan.topicName}/${input.partition}/${input.headOffset}`)) this.#leaveOut(input);
    else this.#stepStream(segment, input, nextDueMs);
    return true;
  }

  /** The head record of a stream input, or one due call that comes before it. True when it was the record. */
  #stepStream(segment: Segment, input: Input, nextDueMs: number): boolean {
    const timeMs = input.headTimeMs;
    const refused = this.#refusal(input, timeMs);
    if (refused !== undefined) this.#refuse(input, refused);
    else if (nextDueMs < timeMs && segment.rekeys.length === 0 && this.#mayMoveTime(segment, input, timeMs)) {
      // Everything due before this record happens before it; then the record finds the world as of its time.
      segment.tick(nextDueMs);
      this.#fire(segment);
      return false;
    } else this.#takeStream(segment, input, timeMs);
    return true;
  }

  /** Whether the head record will stand: one that fails moves no time, so it is tried before what is due is called for its sake. */
  #mayMoveTime(segment: Segment, input: Input, timeMs: number): boolean {
    const place = `${input.index}@${input.position}`;
    if (this.#tried === place) return true;
    this.trial = true;
    this.#enterStream(segment, input, timeMs);
    this.trial = false;
    const stands = this.#failure === undefined;
    this.#undoAll();
    if (stands) this.#tried = place;
    return stands;
  }

  /** What the journal calls for next. Its one freedom is none: a run of one input has no journal to its last record's end. */
  #stepReplay(replay: Replay): boolean {
    const { entry } = replay;
    const only = this.inputs.length === 1 ? 0 : undefined;
    const inputIndex = entry === undefined ? only : entry[0] === 2 ? undefined : entry[1];
    const input = inputIndex === undefined ? undefined : (this.inputs[inputIndex] as Input);
    const segment = entry?.[0] === 2 ? this.segments[entry[1]] : input === undefined ? undefined : this.segments[input.plan.segment];
    for (const each of this.segments) {
      if (each.nextDueMs <= each.targetMs) return this.#fire(each);
      each.reach(each.targetMs);
    }
    if (segment === undefined) return false;
    if (entry?.[0] === 2) this.#tick(segment, entry[2]);
    else if (input === undefined) return false;
    else if (entry?.[0] === 3) this.#applyMark(segment, input, { from: entry[2], timeMs: entry[3] });
    else if (entry?.[0] === 1) {
      const place = replay.takeFrom(input, entry[2]);
      if (place === undefined) return false;
      this.#enterRekeyed(segment, input, place);
    } else if (input.batch === undefined) return false;
    else if (entry?.[0] === 5) this.#leaveOut(input);
    else if (input.plan.kind === 'table') this.#takeTable(segment, input);
    else if (!this.#stepStream(segment, input, segment.nextDueMs)) return true;
    if (entry !== undefined) replay.done();
    return true;
  }

  #nextOfTables(segment: Segment): Input | undefined {
    for (const [input, end] of this.#tablesPending) if (input.position >= end) this.#tablesPending.delete(input);
    if (![...this.#tablesPending.keys()].some((i) => i.plan.segment === segment.plan.index)) return segment.choose();
    return segment.tables.find((i) => i.batch !== undefined && this.#tablesPending.has(i));
  }

  #refusal(input: Input, timeMs: number): MillraceError | undefined {
    const batch = input.batch as RecordBatch;
    if (timeMs > batch.appendTimeMs + this.plan.pipeline.options.skewMs)
      return new MillraceError(
        'E_CLOCK_SKEW',
        `event time ${iso(timeMs)} is more than ${this.plan.pipeline.options.skewMs} ms ahead of its arrival ${iso(batch.appendTimeMs)}`,
      );
    if (!(timeMs >= 0)) return new MillraceError('E_EVENT_TIME', `event time ${timeMs} is before 1970`);
    if ((batch.valueStart[input.at] as number) < 0)
      return new MillraceError('E_NULL_VALUE', `a record of '${input.plan.topicName}' has no value`);
    return undefined;
  }

  /** A record nobody may process: it moves no time. A replay refuses it again, so the journal counts it as any other. */
  #refuse(input: Input, error: MillraceError): void {
    this.#journal.took(input.index);
    this.#deadLetterOf(input, headOf(input), { step: 'source', error });
    this.#taken += 1;
    this.#done(input);
  }

  #leaveOut(input: Input): void {
    this.#journal.unprocessed(input.index, input.headOffset);
    this.#deadLetterOf(input, headOf(input), {
      step: 'source',
      error: new MillraceError('E_CALLBACK', 'processing this record held the worker up too long, several times'),
    });
    this.#done(input);
  }

  #takeStream(segment: Segment, input: Input, timeMs: number): void {
    this.#enterStream(segment, input, timeMs);
    this.#journal.took(input.index);
    segment.stirred(this.nowMs);
    this.#finish(input, input.batch as RecordBatch, input.at);
    input.advance();
  }

  /** Runs the head record through its chain. If it fails, the clock is as it was before. */
  #enterStream(segment: Segment, input: Input, timeMs: number): void {
    const { topic } = input.plan;
    const batch = input.batch as RecordBatch;
    const i = input.at;
    const { timeMs: before, targetMs: targetBefore, ownTimeMs: ownBefore } = segment;
    this.#state.undo.begin();
    try {
      const codecs = topic as NonNullable<typeof topic>;
      const keyStart = batch.keyStart[i] as number;
      if (input.plan.partitions > 1 && i === 0) checkPartition(input, batch);
      const key = keyStart < 0 ? null : codecs.keyCodec.decode(batch.bytes, keyStart, batch.keyEnd[i] as number);
      const value = codecs.codec.decode(batch.bytes, batch.valueStart[i] as number, batch.valueEnd[i] as number);
      segment.took(timeMs);
      segment.reach(segment.targetMs);
      (input.inlet as Inlet).next(record(key, value, timeMs, batch.headers(i)));
    } catch (error) {
      this.fail('source', error);
    }
    if (this.#failure === undefined && !this.trial) return;
    segment.timeMs = before;
    segment.targetMs = targetBefore;
    segment.ownTimeMs = ownBefore;
  }

  #takeTable(segment: Segment, input: Input): void {
    const batch = input.batch as RecordBatch;
    const i = input.at;
    this.#state.undo.begin();
    try {
      const target = this.#state.table(segment.plan.index, input.plan.topicName);
      const keyStart = batch.keyStart[i] as number;
      if (keyStart < 0) throw new MillraceError('E_NULL_KEY', `a record of the table '${input.plan.topicName}' has no key`);
      if (input.plan.partitions > 1 && i === 0) checkPartition(input, batch);
      const key = target.topic.keyCodec.decode(batch.bytes, keyStart, batch.keyEnd[i] as number);
      const valueStart = batch.valueStart[i] as number;
      target.apply(key, valueStart < 0 ? null : target.topic.codec.decode(batch.bytes, valueStart, batch.valueEnd[i] as number));
    } catch (error) {
      this.fail(`table ${input.plan.topicName}`, error);
    }
    this.#journal.took(input.index);
    this.#finish(input, batch, i);
    input.advance();
  }

  #takeRekeyed(segment: Segment, input: Input): void {
    const place: Place = { batch: input.batch as RecordBatch, at: input.at };
    const mark = this.#enterRekeyed(segment, input, place);
    if (mark !== undefined) this.#applyMark(segment, input, mark);
    this.#done(input);
  }

  #applyMark(segment: Segment, input: Input, mark: Mark): void {
    this.#journal.mark(input.index, mark);
    segment.applyMark(input, mark);
    if (mark.timeMs !== null) segment.stirred(this.nowMs);
    this.changed = true;
  }

  /** Runs a rekeyed record through its chain; a mark is handed back. */
  #enterRekeyed(segment: Segment, input: Input, place: Place): Mark | undefined {
    const { batch, at } = place;
    this.#state.undo.begin();
    try {
      const read = rekeyedAt(this.#boxed, batch, at);
      if (read.mark !== undefined) return read.mark;
      this.#journal.tookFrom(input.index, read.from);
      (input.inlet as Inlet).next(record(read.key, read.value, batch.timeMs[at] as number, batch.headers(at)));
    } catch (error) {
      this.fail('rekey', error);
    }
    segment.stirred(this.nowMs);
    this.#finish(input, batch, at);
    return undefined;
  }

  /** Settles the record under way: its outputs go out, or all it did is undone and it becomes a dead letter. */
  #finish(input: Input, batch: RecordBatch, at: number): void {
    const failure = this.#failure;
    if (failure === undefined) this.#settle();
    else {
      this.#undoAll();
      this.#deadLetterOf(input, { batch, at }, failure);
    }
    this.changed = true;
    this.#taken += 1;
  }

  #done(input: Input): void {
    this.changed = true;
    input.advance();
  }

  #fire(segment: Segment): boolean {
    const due = segment.nextDue();
    segment.reach(due.store.nextDueMs + due.lagMs);
    this.changed = true;
    this.#state.undo.begin();
    try {
      due.store.fire();
    } catch (error) {
      this.fail(due.node.name, error);
    }
    const failure = this.#failure;
    if (failure !== undefined) {
      this.#undoAll();
      this.#state.undo.begin();
      throwIfFatal(failure.error);
      this.#add(`dead_lettered/${this.#outputs.deadLetterOfDue(due.node, due.store.dropDue(), failure)}`, 1);
    }
    this.#settle();
    return true;
  }

  #settle(): void {
    this.#outputs.settle();
    if (this.#counting.length === 0) return;
    for (const [counter, n] of this.#counting) this.#add(counter, n);
    this.#counting.length = 0;
  }

  #undoAll(): void {
    this.#state.undo.rollback();
    this.#outputs.drop();
    this.#counting.length = 0;
    this.#failure = undefined;
  }

  #deadLetterOf(input: Input, place: Place, failure: Failure): void {
    throwIfFatal(failure.error);
    this.#add(`dead_lettered/${this.#outputs.deadLetterOf(input.plan.topicName, input.partition, place, failure)}`, 1);
  }

  // ── silence ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Lets silence pass: an idle segment with something due gets a tick. */
  observe(nowMs: number, drainedAtMs: (topic: string) => number | undefined): void {
    for (const segment of this.segments) {
      const tickMs = segment.silence(nowMs, drainedAtMs);
      if (tickMs !== undefined && segment.nextDueMs <= tickMs && tickMs > segment.targetMs) this.#tick(segment, tickMs);
    }
  }

  /** For tests and bounded runs: silence up to `timeMs`, taken as observed. True when something was due by then. */
  tickAt(segmentIndex: number, timeMs: number): boolean {
    const segment = this.segments[segmentIndex] as Segment;
    if (segment.nextDueMs > timeMs || timeMs <= segment.targetMs) return false;
    this.#tick(segment, timeMs);
    return true;
  }

  /** The end of a bounded run for one segment: one tick at the largest due time, else it is idle for good. True when a tick was made. */
  endSegment(index: number): boolean {
    const segment = this.segments[index] as Segment;
    if (this.tickAt(index, segment.largestDueMs())) return true;
    segment.idle = true;
    return false;
  }

  #tick(segment: Segment, timeMs: number): void {
    this.#journal.tick(segment.plan.index, timeMs);
    segment.tick(timeMs);
    this.changed = true;
  }

  // ── commit ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** True when a mark is due that may be written now. `freely`: the once-a-second limit has passed. */
  hasMark(freely: boolean): boolean {
    return this.segments.some((segment) => segment.rekeyOuts.some((out) => this.#markDue(segment, out, freely) !== undefined));
  }

  #markDue(segment: Segment, out: RekeyOut, freely: boolean): number | 'idle' | undefined {
    const mark = segment.markFor(out);
    if (mark === undefined || mark === out.sent) return undefined;
    const turns = mark === 'idle' || out.sent === 'idle' || out.sent === undefined;
    if (!turns && (!freely || mark < (out.sent as number))) return undefined;
    return mark;
  }

  /** Fixes the bytes of a commit: marks, journal, changed rows, checkpoint. What comes after belongs to the next one. */
  cut(marksFreely: boolean): TaskCommit {
    assert(this.#inFlight === undefined && this.#claim !== undefined, `cut of ${this.name} while a commit is under way`);
    for (const segment of this.segments)
      for (const out of segment.rekeyOuts) {
        const mark = this.#markDue(segment, out, marksFreely);
        if (mark !== undefined) this.#outputs.stageMark(out, mark);
      }
    const entries = this.#journal.cut();
    if (entries !== undefined) this.#outputs.stageJournal(entries);
    this.#outputs.settleUncounted();
    const state = this.#state.cut();
    this.#inFlight = this.#checkpoint();
    this.changed = false;
    this.#commitNumber += 1;
    return { claim: this.#claim, commitNumber: this.#commitNumber, checkpoint: encodeCheckpoint(this.#inFlight), state };
  }

  /** The commit is in the log. Returns the rekey positions below which records may be forgotten. */
  committed(): readonly { readonly topic: string; readonly partition: number; readonly beforeOffset: number }[] {
    assert(this.#inFlight !== undefined, `${this.name} was not committing`);
    const { positions } = this.#inFlight;
    this.#committed = this.#inFlight;
    this.#inFlight = undefined;
    this.#state.committed();
    return this.inputs
      .filter((i) => i.plan.kind === 'rekey' && i.startOffset < (positions[positionName(i)] as number))
      .map((i) => ({ topic: i.plan.topicName, partition: i.partition, beforeOffset: positions[positionName(i)] as number }));
  }

  /** The commit did not happen: everything since the last one that did is undone, and will be fetched again. */
  aborted(): void {
    const back = this.#committed as Checkpoint;
    if (this.#inFlight !== undefined) this.#commitNumber -= 1;
    this.#inFlight = undefined;
    this.#state.aborted();
    for (const input of this.inputs) input.reset(back.positions[positionName(input)] as number);
    for (const segment of this.segments) segment.restore(back.segments);
    this.#journal.restore(back.sinceJournal);
    this.#outputs.drop();
    this.#tried = '';
    this.changed = false;
  }

  #checkpoint(): Checkpoint {
    const { version, partitions } = this.plan.pipeline.options;
    return {
      format: 1,
      version,
      partitions,
      positions: Object.fromEntries(this.inputs.map((i) => [positionName(i), i.position])),
      segments: this.segments.map((s) => s.snapshot()),
      sinceJournal: this.#journal.since,
      shapes: this.#state.shapes,
    };
  }

  #add(counter: string, n: number): void {
    this.#counters.set(counter, (this.#counters.get(counter) ?? 0) + n);
  }
}

function headOf(input: Input): Place {
  return { batch: input.batch as RecordBatch, at: input.at };
}

function positionName(input: Input): string {
  // A stream or rekey topic is read in one place, whatever its segment's number; a table once in every segment that looks into it.
  const place = `${input.plan.topicName}/${input.partition}`;
  return input.plan.kind === 'table' ? `${input.plan.segment}:${place}` : place;
}

function iso(timeMs: number): string {
  return Number.isFinite(timeMs) && Math.abs(timeMs) <= 8.64e15 ? new Date(timeMs).toISOString() : String(timeMs);
}

/** Errors that are no record's fault end the task instead of blaming one. */
function throwIfFatal(error: unknown): void {
  if (error instanceof MillraceError && (error.disposition === 'stop' || error.disposition === 'assert')) throw error;
}

/** A record of every batch is looked at: another partitioner would scatter a key over tasks without anybody noticing. */
function checkPartition(input: Input, batch: RecordBatch): void {
  const start = batch.keyStart[0] as number;
  if (start < 0) return;
  const expected = partitionOf(batch.bytes.subarray(start, batch.keyEnd[0] as number), input.plan.partitions);
  if (expected !== input.partition)
    throw new MillraceError(
      'E_PARTITIONER',
      `offset ${batch.baseOffset} of ${input.plan.topicName}/${input.partition} has a key of partition ${expected}`,
    );
}

function ancestorsOf(plan: Plan, node: PlanNode): ReadonlySet<number> {
  const found = new Set<number>();
  const visit = (index: number): void => {
    const at = plan.nodes[index] as PlanNode;
    if (at.segment !== node.segment || found.has(index)) return;
    found.add(index);
    at.parents.forEach(visit);
  };
  node.parents.forEach(visit);
  return found;
}
