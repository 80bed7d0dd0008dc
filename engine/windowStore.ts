// Open windows as rows of numbers in one slab: found by key and start, due in order, and written row by row.
import { assert, MillraceError, messageOf } from './errors.ts';
import { DueBuckets } from './dueBuckets.ts';
import { RowWriter } from './rowWriter.ts';
import { shapeHash, windowShape } from './shape.ts';
import { grown, type SlotStore, Slots } from './slots.ts';
import { legible } from './storable.ts';
import { checkNewKey, compareLookups, keyOfLookup, type LookupKey, lookupKey } from './storeKey.ts';
import type { StoreShape, TaskStore, WindowStore, WindowStoreSpec } from './stores.ts';
import type { Codec } from './topic.ts';
import type { UndoLog } from './undo.ts';
import { readWindow, type StoredWindow, type Takeover, takeoverOf, windowKeyBytes, windowRowBytes } from './windowRows.ts';

/** Places of a row's numbers: what is asked of a row with every record lies together. Unit of start and end: epoch ms. */
const START_MS = 0;
const END_MS = 1;
const CELLS = 2;

/** What a window store is told besides its spec. */
export interface WindowStoreSetting {
  /** For the boxed values of a row, as one array. */
  readonly boxed: Codec<unknown>;
  readonly stepId: string;
}

/**
 * Open windows. A key leads to the row of it that was found last, and a key's rows are chained by start: so the newest
 * window of a key, and each next one of a record's hopping windows, is found at once.
 *
 * Values  boxed ones are immutable: replace a box, never change what is in it, or undo cannot bring it back
 * Order   due time, then key, then start
 * Errors  find, open: E_NULL_KEY, E_RESULT · restore: E_STATE_SHAPE, E_CORRUPT
 * Cost    a row takes its cells and 56 bytes, a key its Map entry and itself; growth is by half
 */
export function windowStore<K>(undo: UndoLog, spec: WindowStoreSpec<K>, setting: WindowStoreSetting): WindowStore<K> & TaskStore {
  return new Windows<K>(undo, spec, setting);
}

class Windows<K> implements WindowStore<K>, TaskStore, SlotStore {
  readonly name: string;
  readonly shape: StoreShape;
  numbers = new Float64Array(0);
  readonly boxes: unknown[] = [];
  readonly imageNumbers: number;
  readonly imageObjects: number;

  readonly #spec: WindowStoreSpec<K>;
  readonly #stepId: string;
  readonly #boxed: Codec<unknown>;
  readonly #hash: number;
  readonly #width: number;
  readonly #stride: number;
  readonly #boxWidth: number;
  readonly #slots: Slots;
  readonly #due: DueBuckets;

  readonly #lookups: (LookupKey | undefined)[] = [];
  /** Rows of one key, by start. -1 ends the chain. */
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  /** Any row of the key: the chain is entered there. */
  readonly #byKey = new Map<LookupKey, number>();
  /** Whether any lookup key ever began with NUL. While none did, text is looked up as it is. */
  #hasNul = false;
  /** The text whose chain was walked last, and where to: hopping windows ask for one key many times in a row. */
  #walkedText: string | undefined;
  #walkedTo = -1;

  /** The row in its due call; -1 once it was removed. */
  #firing = -1;
  /** Rows read under an older shape must be written anew, all in one commit: at the next cut, or in the commit under way. */
  #rewrite: 'no' | 'due' | 'inCommit' = 'no';
  #takeover: Takeover | undefined;

  constructor(undo: UndoLog, spec: WindowStoreSpec<K>, setting: WindowStoreSetting) {
    this.name = spec.name;
    this.shape = windowShape(spec.cells);
    this.#spec = spec;
    this.#stepId = setting.stepId;
    this.#boxed = setting.boxed;
    this.#hash = shapeHash(this.shape);
    const names = new Set(spec.cells.map(({ name }) => name));
    if (names.size !== spec.cells.length)
      throw new MillraceError('E_CONFIG', `step '${setting.stepId}': two aggregates have the same name`);
    this.#width = spec.cells.reduce((sum, { width }) => sum + width, 0);
    this.#boxWidth = spec.cells.reduce((sum, { boxes }) => sum + boxes, 0);
    this.#stride = CELLS + this.#width;
    this.imageNumbers = this.#width + 3;
    this.imageObjects = this.#boxWidth + 1;
    this.#due = new DueBuckets(
      (row) => this.#lookups[row] as LookupKey,
      (a, b) => this.#compareRows(a, b),
    );
    this.#slots = new Slots(undo, this);
  }

  get size(): number {
    return this.#slots.size;
  }

  get nextDueMs(): number {
    return this.#due.nextDueMs;
  }

  get lastDueMs(): number {
    return this.#due.lastDueMs;
  }

  find(key: K, startMs: number): number {
    const isText = typeof key === 'string';
    if (this.#walkedText !== undefined) {
      if (key === this.#walkedText) {
        this.#walkedTo = this.#nearest(this.#walkedTo, startMs);
        return this.startMs(this.#walkedTo) === startMs ? this.#walkedTo : -1;
      }
      this.#walkedText = undefined;
    }
    const lookup = isText && !this.#hasNul ? key : lookupKey(key);
    const any = this.#byKey.get(lookup);
    if (any === undefined) return -1;
    if (this.startMs(any) === startMs) return any;
    const row = this.#nearest(any, startMs);
    if (row !== any) this.#byKey.set(lookup, row);
    if (isText) {
      this.#walkedText = key;
      this.#walkedTo = row;
    }
    return this.startMs(row) === startMs ? row : -1;
  }

  open(key: K, startMs: number, endMs: number, dueMs: number): number {
    if (!Number.isSafeInteger(startMs) || Number.isNaN(endMs) || Number.isNaN(dueMs))
      throw new MillraceError(
        'E_RESULT',
        `step '${this.#stepId}': a window cannot be [${startMs}, ${endMs}) due at ${dueMs}; use whole milliseconds`,
      );
    const lookup = lookupKey(key);
    const any = this.#byKey.get(lookup);
    if (any === undefined) checkNewKey(lookup);
    else assert(this.startMs(this.#nearest(any, startMs)) !== startMs, 'a window was opened twice');
    const row = this.#slots.open();
    const cells = this.cells(row);
    for (let i = cells; i < cells + this.#width; i++) this.numbers[i] = 0;
    this.#enter(row, lookup, any, startMs === 0 ? 0 : startMs, endMs, dueMs);
    return row;
  }

  touch(row: number): void {
    this.#slots.touch(row);
  }

  cells(row: number): number {
    return row * this.#stride + CELLS;
  }

  boxCells(row: number): number {
    return row * this.#boxWidth;
  }

  key(row: number): K {
    return keyOfLookup(this.#lookups[row] as LookupKey) as K;
  }

  startMs(row: number): number {
    return this.numbers[row * this.#stride + START_MS] as number;
  }

  endMs(row: number): number {
    return this.numbers[row * this.#stride + END_MS] as number;
  }

  remove(row: number): void {
    this.#slots.remove(row);
    if (row === this.#firing) this.#firing = -1;
  }

  fire(): void {
    const row = this.#firstDue();
    this.#firing = row;
    try {
      this.#spec.onDue(row, this);
      if (this.#firing !== -1) this.#slots.remove(row);
    } finally {
      this.#firing = -1;
    }
  }

  dropDue(): { key: unknown; atMs: number; what: string; row: unknown } {
    const row = this.#firstDue();
    const startMs = this.startMs(row);
    const endMs = this.endMs(row);
    const dropped = {
      key: this.key(row),
      atMs: this.#due.dueMs(row),
      what: `window [${startMs}, ${endMs})`,
      row: { startMs, endMs, cells: this.#contents(row) },
    };
    this.#slots.remove(row);
    return dropped;
  }

  cut(write: (key: Uint8Array, value: Uint8Array | null) => void): void {
    const out = new RowWriter();
    this.#slots.cut(
      (row) => write(windowKeyBytes(out, this.#lookups[row] as LookupKey, this.startMs(row)), this.#rowBytes(out, row)),
      (numbers, n, objects, o) =>
        write(windowKeyBytes(out, objects[o + this.#boxWidth] as LookupKey, numbers[n + this.#width] as number), null),
      this.#rewrite === 'due',
    );
    if (this.#rewrite === 'due') this.#rewrite = 'inCommit';
  }

  committed(): void {
    this.#slots.committed();
    if (this.#rewrite === 'inCommit') this.#rewrite = 'no';
  }

  abort(): void {
    this.#due.unsort();
    this.#slots.abort();
    if (this.#rewrite === 'inCommit') this.#rewrite = 'due';
  }

  restore(key: Uint8Array, value: Uint8Array, stored: StoreShape): void {
    if (this.#takeover?.stored !== stored) this.#takeover = takeoverOf(stored, this.#spec.cells, this.shape, this.#stepId, this.name);
    const plan = this.#takeover;
    const found = readWindow(key, value, plan, `step '${this.#stepId}', store '${this.name}'`);
    const any = this.#byKey.get(found.lookup);
    assert(any === undefined || this.startMs(this.#nearest(any, found.startMs)) !== found.startMs, 'a window was restored twice');
    const row = this.#slots.openStored();
    this.#enter(row, found.lookup, any, found.startMs, found.endMs, found.dueMs);
    this.#fill(row, found, plan);
    if (plan.hash !== this.#hash) this.#rewrite = 'due';
  }

  saveValue(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const cells = this.cells(row);
    for (let i = 0; i < this.#width; i++) numbers[n + i] = this.numbers[cells + i] as number;
    const boxes = this.boxCells(row);
    for (let i = 0; i < this.#boxWidth; i++) objects[o + i] = this.boxes[boxes + i];
  }

  saveIdentity(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const at = n + this.#width;
    numbers[at] = this.startMs(row);
    numbers[at + 1] = this.endMs(row);
    numbers[at + 2] = this.#due.dueMs(row);
    objects[o + this.#boxWidth] = this.#lookups[row];
  }

  loadValue(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const cells = this.cells(row);
    for (let i = 0; i < this.#width; i++) this.numbers[cells + i] = numbers[n + i] as number;
    const boxes = this.boxCells(row);
    for (let i = 0; i < this.#boxWidth; i++) this.boxes[boxes + i] = objects[o + i];
  }

  enter(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const at = n + this.#width;
    const lookup = objects[o + this.#boxWidth] as LookupKey;
    this.#enter(row, lookup, this.#byKey.get(lookup), numbers[at] as number, numbers[at + 1] as number, numbers[at + 2] as number);
    this.loadValue(row, numbers, n, objects, o);
  }

  leave(row: number): void {
    this.#due.remove(row);
    const next = this.#next[row] as number;
    const previous = this.#previous[row] as number;
    if (next !== -1) this.#previous[next] = previous;
    if (previous !== -1) this.#next[previous] = next;
    const other = next !== -1 ? next : previous;
    const lookup = this.#lookups[row] as LookupKey;
    if (other === -1) this.#byKey.delete(lookup);
    else this.#byKey.set(lookup, other);
    if (this.#walkedTo === row) this.#walkedText = undefined;
    this.#lookups[row] = undefined;
    const boxes = this.boxCells(row);
    for (let i = 0; i < this.#boxWidth; i++) this.boxes[boxes + i] = undefined;
  }

  holds(numbers: Float64Array, n: number, objects: unknown[], o: number): boolean {
    const any = this.#byKey.get(objects[o + this.#boxWidth] as LookupKey);
    const startMs = numbers[n + this.#width] as number;
    return any !== undefined && this.startMs(this.#nearest(any, startMs)) === startMs;
  }

  grow(capacity: number): void {
    this.numbers = grown(this.numbers, new Float64Array(capacity * this.#stride));
    this.#next = grown(this.#next, new Int32Array(capacity));
    this.#previous = grown(this.#previous, new Int32Array(capacity));
    this.#due.grow(capacity);
    for (let i = this.boxes.length; i < capacity * this.#boxWidth; i++) this.boxes.push(undefined);
  }

  /** In the chain of `row`: the row that starts at startMs, or else a neighbour of where it would stand. */
  #nearest(row: number, startMs: number): number {
    let near = row;
    let at = this.startMs(near);
    if (at < startMs) {
      for (let next = this.#next[near] as number; next !== -1; next = this.#next[near] as number) {
        at = this.startMs(next);
        if (at > startMs) break;
        near = next;
      }
    } else if (at > startMs) {
      for (let previous = this.#previous[near] as number; previous !== -1; previous = this.#previous[near] as number) {
        at = this.startMs(previous);
        if (at < startMs) break;
        near = previous;
      }
    }
    return near;
  }

  /** `any` is a row of the key, undefined when it has none yet. */
  #enter(row: number, lookup: LookupKey, any: number | undefined, startMs: number, endMs: number, dueMs: number): void {
    this.numbers[row * this.#stride + START_MS] = startMs;
    this.numbers[row * this.#stride + END_MS] = endMs;
    this.#lookups[row] = lookup;
    let previous = -1;
    let next = -1;
    if (any === undefined) {
      if (typeof lookup === 'string' && lookup.charCodeAt(0) === 0) this.#hasNul = true;
    } else {
      const near = this.#nearest(any, startMs);
      const isBehind = this.startMs(near) < startMs;
      previous = isBehind ? near : (this.#previous[near] as number);
      next = isBehind ? (this.#next[near] as number) : near;
      if (previous !== -1) this.#next[previous] = row;
      if (next !== -1) this.#previous[next] = row;
    }
    this.#previous[row] = previous;
    this.#next[row] = next;
    this.#byKey.set(lookup, row);
    this.#due.add(row, dueMs);
  }

  #compareRows(a: number, b: number): number {
    return compareLookups(this.#lookups[a] as LookupKey, this.#lookups[b] as LookupKey) || this.startMs(a) - this.startMs(b);
  }

  #firstDue(): number {
    assert(this.#due.nextDueMs < Infinity, `store '${this.name}': no window is due`);
    return this.#due.first();
  }

  /** The row's cells by the name of what computes them, for a dead letter. */
  #contents(row: number): Record<string, unknown> {
    const contents: Record<string, unknown> = {};
    let i = this.cells(row);
    let k = this.boxCells(row);
    for (const { name, width, boxes } of this.#spec.cells) {
      const value = [...this.numbers.subarray(i, i + width), ...this.boxes.slice(k, k + boxes).map((box) => legible(box))];
      Object.defineProperty(contents, name, { value, enumerable: true });
      i += width;
      k += boxes;
    }
    return contents;
  }

  #rowBytes(out: RowWriter, row: number): Uint8Array {
    const boxes = this.#boxWidth === 0 ? undefined : this.#boxBytes(row);
    return windowRowBytes(out, this.#hash, this.endMs(row), this.#due.dueMs(row), this.numbers, this.cells(row), this.#width, boxes);
  }

  #boxBytes(row: number): Uint8Array {
    const from = this.boxCells(row);
    try {
      return this.#boxed.encode(this.boxes.slice(from, from + this.#boxWidth));
    } catch (error) {
      throw new MillraceError(
        'E_RESULT',
        `step '${this.#stepId}': the values of key ${String(this.#lookups[row])} cannot be written: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  /** The cells of a row that was just entered: from the stored row, or begun anew where that has none. */
  #fill(row: number, { bytes, cellsAt, boxesAt }: StoredWindow, plan: Takeover): void {
    const boxes = plan.boxWidth === 0 ? [] : (this.#boxed.decode(bytes, boxesAt, bytes.length) as unknown[]);
    let i = this.cells(row);
    let k = this.boxCells(row);
    this.#spec.cells.forEach((cell, c) => {
      const from = plan.from[c];
      if (from === undefined) {
        this.numbers.fill(0, i, i + cell.width);
        cell.init(this.numbers, i, this.boxes, k);
      } else {
        for (let j = 0; j < cell.width; j++) this.numbers[i + j] = bytes.readDoubleLE(cellsAt + 8 * (from.i + j));
        for (let j = 0; j < cell.boxes; j++) this.boxes[k + j] = boxes[from.k + j];
      }
      i += cell.width;
      k += cell.boxes;
    });
  }
}
