// All stores of one task: made for its steps, restored at opening, cut at a commit, undone together.
import type { Checkpoint } from './checkpoint.ts';
import { assert, MillraceError } from './errors.ts';
import { keyValueStore } from './keyValueStore.ts';
import type { PlanNode } from './plan.ts';
import type { StateRow } from './ports.ts';
import type { KeyValueStore, TaskStore, Timers, TimersSpec, WindowStore, WindowStoreSpec } from './stores.ts';
import { type TableStore, tableStore } from './tableStore.ts';
import { timers } from './timers.ts';
import type { AnyTopic, Codec } from './topic.ts';
import { UndoLog } from './undo.ts';
import { windowStore } from './windowStore.ts';

/** What the stores of a task have in common. */
export interface TaskStateOptions {
  readonly pipelineId: string;
  readonly boxed: Codec<unknown>;
  readonly freeze: boolean;
  /** Steps whose stored state is thrown away at opening. */
  readonly resetSteps: readonly string[];
}

/** Prefix of the stores that hold tables: they can be read again from their topics. */
const TABLE = 'table/';

interface Held {
  readonly store: TaskStore;
  /** Absent for tables: they belong to no step. */
  readonly node: PlanNode | undefined;
}

/** Makes, restores, cuts and undoes the stores of a task. */
export class TaskState {
  readonly undo = new UndoLog();
  readonly #options: TaskStateOptions;
  readonly #stores = new Map<string, Held>();
  readonly #tables = new Map<string, TableStore>();
  /** Rows of state that was reset or belongs to nobody: they go with the first commit. */
  readonly #deletions: StateRow[] = [];

  constructor(options: TaskStateOptions) {
    this.#options = options;
  }

  keyValueStore<K, V>(node: PlanNode, name: string, codec?: Codec<V>): KeyValueStore<K, V> {
    const { boxed, freeze } = this.#options;
    return this.#hold(node, keyValueStore<K, V>(this.undo, { name: storeName(node, name), codec: (codec ?? boxed) as Codec<V>, freeze }));
  }

  windowStore<K>(node: PlanNode, spec: WindowStoreSpec<K>): WindowStore<K> & TaskStore {
    const { boxed } = this.#options;
    return this.#hold(node, windowStore<K>(this.undo, { ...spec, name: storeName(node, spec.name) }, { boxed, stepId: node.name }));
  }

  timers<K>(node: PlanNode, spec: TimersSpec<K>): Timers<K> & TaskStore {
    return this.#hold(node, timers<K>(this.undo, { ...spec, name: storeName(node, spec.name) }, { stepId: node.name }));
  }

  #hold<S extends TaskStore>(node: PlanNode, store: S): S {
    assert(!this.#stores.has(store.name), `two stores are called '${store.name}'`);
    this.#stores.set(store.name, { store, node });
    return store;
  }

  openTable(segment: number, topic: AnyTopic): void {
    const { boxed, freeze } = this.#options;
    const place = `${segment}/${topic.name}`;
    const rows = keyValueStore<unknown, unknown>(this.undo, { name: `${TABLE}${place}`, codec: boxed, freeze });
    this.#stores.set(rows.name, { store: rows, node: undefined });
    this.#tables.set(place, tableStore(topic, rows));
  }

  table(segment: number, topicName: string): TableStore {
    const found = this.#tables.get(`${segment}/${topicName}`);
    assert(found !== undefined, `the table '${topicName}' was not planned`);
    return found;
  }

  /** Rows in all stores. */
  get size(): number {
    let rows = 0;
    for (const { store } of this.#stores.values()) rows += store.size;
    return rows;
  }

  /** What each store's rows mean, for the checkpoint. */
  get shapes(): Checkpoint['shapes'] {
    const named = [...this.#stores].map(
      ([name, { store, node }]) => [name, { ...store.shape, step: node?.name ?? name, meaning: meaningOf(node) }] as const,
    );
    return Object.fromEntries(named);
  }

  /** Errors: E_STATE_SHAPE when stored state means something else than the pipeline does now. */
  checkShapes(stored: Checkpoint): void {
    for (const [name, shape] of Object.entries(stored.shapes)) {
      const known = this.#stores.get(name);
      if (this.#isReset(shape.step) || (known === undefined && name.startsWith(TABLE))) continue;
      if (known === undefined) throw this.#shapeChanged(shape.step, 'its state is there, but the pipeline has no such step');
      const meaning = meaningOf(known.node);
      if (shape.kind !== known.store.shape.kind || shape.meaning !== meaning)
        throw this.#shapeChanged(shape.step, `it was '${shape.meaning || shape.kind}', now it is '${meaning || known.store.shape.kind}'`);
    }
  }

  restoreRow(row: StateRow, stored: Checkpoint | undefined): void {
    const shape = stored?.shapes[row.store];
    assert(row.value !== null && shape !== undefined, `a state row of '${row.store}' without a shape`);
    const known = this.#stores.get(row.store);
    if (known === undefined || this.#isReset(shape.step)) this.#deletions.push({ ...row, value: null });
    else known.store.restore(row.key, row.value, shape);
  }

  #isReset(step: string): boolean {
    return this.#options.resetSteps.includes(step);
  }

  #shapeChanged(step: string, what: string): MillraceError {
    return new MillraceError(
      'E_STATE_SHAPE',
      `pipeline '${this.#options.pipelineId}', step '${step}': ${what}. Choose: (1) give the step a new id, (2) throw its state away with --reset-step ${step}, (3) raise the pipeline's version, which replays the log beside the old one`,
    );
  }

  /** The rows that changed since the last cut. A new generation begins. */
  cut(): StateRow[] {
    const rows = [...this.#deletions];
    for (const [name, { store }] of this.#stores) store.cut((key, value) => rows.push({ store: name, key, value }));
    return rows;
  }

  committed(): void {
    this.#deletions.length = 0;
    for (const { store } of this.#stores.values()) store.committed();
  }

  aborted(): void {
    for (const { store } of this.#stores.values()) store.abort();
  }
}

function storeName(node: PlanNode, name: string): string {
  return `${node.name}/${name}`;
}

function meaningOf(node: PlanNode | undefined): string {
  return node?.node.kind === 'step' ? (node.node.spec.shape ?? '') : '';
}
