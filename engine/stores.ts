// The three stores a step may keep state in, and what the task asks of each. Nothing else may hold state.

/** The latest value per key. Values are immutable: set a new one instead of changing it. */
export interface KeyValueStore<K, V> {
  get(key: K): V | undefined;
  set(key: K, value: V): void;
  delete(key: K): void;
  /** In no promised order. */
  entries(): Iterable<readonly [K, V]>;
  readonly size: number;
}

/** Callbacks at a time of the step's clock. One timer per (key, name); setting it again moves it. */
export interface Timers<K> {
  /** Unit: atMs epoch ms of event time. A time already past is due at once, after the record that set it. */
  set(key: K, name: string, atMs: number): void;
  clear(key: K, name: string): void;
  get(key: K, name: string): number | undefined;
  readonly size: number;
}

/**
 * Open windows as rows of numbers in one slab, chained per key, due in order of their close.
 * A row is an integer handle, valid until the row is removed. `numbers` and `boxes` are replaced when the slab grows:
 * read them again after `open`. What is in a box is immutable: put another value in its place, or undo cannot bring the old one back.
 */
export interface WindowStore<K> {
  readonly numbers: Float64Array;
  readonly boxes: unknown[];
  /** The row of the window that starts at startMs for the key; -1 when none is open. */
  find(key: K, startMs: number): number;
  /** Opens a window and returns its row, its cells all 0 and undefined. It is due at dueMs of the step's clock. */
  open(key: K, startMs: number, endMs: number, dueMs: number): number;
  /** Must be called before a row's cells change: it makes the change undoable and marks the row for the next commit. */
  touch(row: number): void;
  /** Index in `numbers` of the row's first cell. */
  cells(row: number): number;
  /** Index in `boxes` of the row's first box. */
  boxCells(row: number): number;
  key(row: number): K;
  startMs(row: number): number;
  endMs(row: number): number;
  remove(row: number): void;
  readonly size: number;
}

/** What one stored cell group means; the hash of a step's shape is built from these. */
export interface CellSpec {
  /** The field it computes, e.g. `pm25`. Rows are mapped by this name when aggregators come and go. */
  readonly name: string;
  /** What it computes, e.g. `mean`. The same name with another kind is another shape. */
  readonly kind: string;
  /** Numbers in the row. */
  readonly width: number;
  /** Boxed values in the row. */
  readonly boxes: number;
  /** Fills a group that an older row does not have. */
  init(numbers: Float64Array, i: number, boxes: unknown[], k: number): void;
}

/** What a window store is called, what its rows hold, and what happens when one is due. */
export interface WindowStoreSpec<K> {
  readonly name: string;
  readonly cells: readonly CellSpec[];
  /** Called once when the window is due, just before its row is removed. */
  onDue(row: number, store: WindowStore<K>): void;
}

/** What a set of timers is called, and what happens when one is due. */
export interface TimersSpec<K> {
  readonly name: string;
  onTimer(key: K, name: string, atMs: number): void;
}

/** How a stored row was written, so that a later definition can read it or refuse it. Kept in the checkpoint. */
export interface StoreShape {
  readonly kind: 'keyValue' | 'window' | 'timers';
  readonly cells: readonly { readonly name: string; readonly kind: string; readonly width: number; readonly boxes: number }[];
}

/**
 * A store as the task sees it: savepoints inside a record, generations between commits.
 * At most two generations are alive: the one being committed and the one being filled.
 */
export interface TaskStore {
  readonly name: string;
  readonly shape: StoreShape;
  readonly size: number;
  /** Step-clock time of the earliest due row or timer; Infinity when there is none. */
  readonly nextDueMs: number;
  /** Step-clock time of the latest due row or timer; -Infinity when there is none. Asked once, at the end of a bounded run. */
  readonly lastDueMs: number;
  /** Calls the earliest due row or timer, ties by key then name, and removes it. Runs inside the task's savepoint. */
  fire(): void;
  /** Removes the earliest due row or timer without calling it, and says what it was, for the dead letter. */
  dropDue(): { readonly key: unknown; readonly atMs: number; readonly what: string; readonly row: unknown };
  /** Ends the current generation: writes every row that changed in it, and begins the next. */
  cut(write: (key: Uint8Array, value: Uint8Array | null) => void): void;
  /** The older generation is in the log: its undo is no longer needed. */
  committed(): void;
  /** Undoes every generation alive, newest first: back to the last commit. */
  abort(): void;
  /** Takes a stored row in, before the first record. `stored` is the shape it was written with. */
  restore(key: Uint8Array, value: Uint8Array, stored: StoreShape): void;
}

/** Undo inside one record or due call. */
export interface Savepoints {
  /** Starts a savepoint; what came before is settled. */
  begin(): void;
  /** Undoes everything since begin, in every store of the task. */
  rollback(): void;
}

/** The read side of a table, for joins. */
export interface TableView<K, V> {
  get(key: K): V | undefined;
}
