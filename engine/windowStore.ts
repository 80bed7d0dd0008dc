// Open windows as rows of numbers in one slab: found by key and start, due in order, and written row by row.
import { assert, MillraceError, messageOf } from './errors.ts';
import { DueBuckets } from './dueBuckets.ts';
import { checkShape, shapeHash, windowShape } from './shape.ts';
import { grown, type SlotStore, Slots } from './slots.ts';
import { checkNewKey, compareLookups, decodeLookup, encodeLookup, keyOfLookup, type LookupKey, lookupKey } from './storeKey.ts';
import type { CellSpec, StoreShape, TaskStore, WindowStore, WindowStoreSpec } from './stores.ts';
import type { Codec } from './topic.ts';
import type { UndoLog } from './undo.ts';

/** First byte of a stored row. A later layout takes the next number and reads both. */
const FORMAT = 1;
/** Format byte, shape hash, end, due; then the cells, then the boxed values as one list. Unit: bytes. */
const HEAD = 1 + 4 + 8 + 8;
/** The window's start behind the key's bytes. Unit: bytes. */
const START = 8;
const TWO_32 = 0x1_0000_0000;

/** What a window store needs of its task. */
export interface WindowStoreSetting {
  /** For the boxed values of a row, as one array. */
  readonly boxed: Codec<unknown>;
  readonly stepId: string;
}

/**
 * Open windows. A key is looked up once to a small integer; its rows are chained by start, and the chain is entered where
 * it was last left, so both the newest window of a key and all the hopping windows of a record in turn are found at once.
 *
 * Values  boxed ones are immutable: replace a box, never change what is in it, or undo cannot bring it back
 * Order   due time, then key, then start
 * Errors  find, open: E_NULL_KEY, E_RESULT · restore: E_STATE_SHAPE, E_CORRUPT
 * Cost    a row takes its cells and 53 bytes, a key its Map entry and 16; growth is by half
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
  readonly #boxWidth: number;
  readonly #slots: Slots;
  readonly #due: DueBuckets;

  #startMs = new Float64Array(0);
  #endMs = new Float64Array(0);
  #keyOf = new Int32Array(0);
  /** Rows of one key, by start. -1 ends the chain. */
  #next = new Int32Array(0);
  #previous = new Int32Array(0);

  readonly #byKey = new Map<LookupKey, number>();
  readonly #lookups: (LookupKey | undefined)[] = [];
  /** The row of a key that was found last: the chain is entered there. */
  readonly #lastRow: number[] = [];
  readonly #freeKeys: number[] = [];
  /** The text key looked up last: hopping windows ask for it many times in a row. */
  #lastText: string | undefined;
  #lastKey = -1;

  /** The row in its due call; -1 once it was removed. */
  #firing = -1;
  /** Rows read under an older shape are written anew by the first commit: no: all are; due: at the next cut. */
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
    this.imageNumbers = this.#width + 3;
    this.imageObjects = this.#boxWidth + 1;
    this.#due = new DueBuckets((a, b) => this.#compareRows(a, b));
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
    const k = this.#find(key);
    if (k === -1) return -1;
    const row = this.#nearest(k, startMs);
    return this.#startMs[row] === startMs ? row : -1;
  }

  open(key: K, startMs: number, endMs: number, dueMs: number): number {
    if (!Number.isSafeInteger(startMs) || Number.isNaN(endMs) || Number.isNaN(dueMs))
      throw new MillraceError(
        'E_RESULT',
        `step '${this.#stepId}': a window cannot be [${startMs}, ${endMs}) due at ${dueMs}; use whole milliseconds`,
      );
    const lookup = lookupKey(key);
    const known = this.#byKey.get(lookup);
    if (known === undefined) checkNewKey(lookup);
    else assert(this.#startMs[this.#nearest(known, startMs)] !== startMs, `store '${this.name}': a window was opened twice`);
    const row = this.#slots.open();
    const cells = row * this.#width;
    for (let i = cells; i < cells + this.#width; i++) this.numbers[i] = 0;
    this.#enter(row, lookup, startMs === 0 ? 0 : startMs, endMs, dueMs);
    return row;
  }

  touch(row: number): void {
    this.#slots.touch(row);
  }

  cells(row: number): number {
    return row * this.#width;
  }

  boxCells(row: number): number {
    return row * this.#boxWidth;
  }

  key(row: number): K {
    return keyOfLookup(this.#lookups[this.#keyOf[row] as number] as LookupKey) as K;
  }

  startMs(row: number): number {
    return this.#startMs[row] as number;
  }

  endMs(row: number): number {
    return this.#endMs[row] as number;
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
      row: { startMs, endMs, ...this.#contents(row) },
    };
    this.#slots.remove(row);
    return dropped;
  }

  cut(write: (key: Uint8Array, value: Uint8Array | null) => void): void {
    this.#slots.cut(
      (row) =>
        write(this.#encodeKey(this.#lookups[this.#keyOf[row] as number] as LookupKey, this.#startMs[row] as number), this.#encode(row)),
      (numbers, n, objects, o) =>
        write(this.#encodeKey(objects[o + this.#boxWidth] as LookupKey, numbers[n + this.#width] as number), null),
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
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const keyBytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
    if (this.#takeover?.stored !== stored) this.#takeover = takeover(stored, this.#spec.cells, this.shape, this.#stepId, this.name);
    const plan = this.#takeover;
    this.#checkBytes(keyBytes, bytes, plan);
    const split = keyBytes.length - START;
    const row = this.#slots.openStored();
    this.#enter(
      row,
      decodeLookup(keyBytes, 0, split),
      keyBytes.readInt32BE(split) * TWO_32 + keyBytes.readUInt32BE(split + 4),
      bytes.readDoubleLE(5),
      bytes.readDoubleLE(13),
    );
    this.#fill(row, bytes, plan);
    if (plan.hash !== this.#hash) this.#rewrite = 'due';
  }

  saveValue(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const cells = row * this.#width;
    for (let i = 0; i < this.#width; i++) numbers[n + i] = this.numbers[cells + i] as number;
    const boxes = row * this.#boxWidth;
    for (let i = 0; i < this.#boxWidth; i++) objects[o + i] = this.boxes[boxes + i];
  }

  saveIdentity(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const at = n + this.#width;
    numbers[at] = this.#startMs[row] as number;
    numbers[at + 1] = this.#endMs[row] as number;
    numbers[at + 2] = this.#due.dueMs(row);
    objects[o + this.#boxWidth] = this.#lookups[this.#keyOf[row] as number];
  }

  loadValue(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const cells = row * this.#width;
    for (let i = 0; i < this.#width; i++) this.numbers[cells + i] = numbers[n + i] as number;
    const boxes = row * this.#boxWidth;
    for (let i = 0; i < this.#boxWidth; i++) this.boxes[boxes + i] = objects[o + i];
  }

  enter(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const at = n + this.#width;
    this.#enter(row, objects[o + this.#boxWidth] as LookupKey, numbers[at] as number, numbers[at + 1] as number, numbers[at + 2] as number);
    this.loadValue(row, numbers, n, objects, o);
  }

  leave(row: number): void {
    this.#due.remove(row);
    const k = this.#keyOf[row] as number;
    const next = this.#next[row] as number;
    const previous = this.#previous[row] as number;
    if (next !== -1) this.#previous[next] = previous;
    if (previous !== -1) this.#next[previous] = next;
    const other = next !== -1 ? next : previous;
    if (other === -1) this.#dropKey(k);
    else if (this.#lastRow[k] === row) this.#lastRow[k] = other;
    const boxes = row * this.#boxWidth;
    for (let i = 0; i < this.#boxWidth; i++) this.boxes[boxes + i] = undefined;
  }

  holds(numbers: Float64Array, n: number, objects: unknown[], o: number): boolean {
    const k = this.#byKey.get(objects[o + this.#boxWidth] as LookupKey);
    const startMs = numbers[n + this.#width] as number;
    return k !== undefined && this.#startMs[this.#nearest(k, startMs)] === startMs;
  }

  grow(capacity: number): void {
    this.numbers = grown(this.numbers, new Float64Array(capacity * this.#width));
    this.#startMs = grown(this.#startMs, new Float64Array(capacity));
    this.#endMs = grown(this.#endMs, new Float64Array(capacity));
    this.#keyOf = grown(this.#keyOf, new Int32Array(capacity));
    this.#next = grown(this.#next, new Int32Array(capacity));
    this.#previous = grown(this.#previous, new Int32Array(capacity));
    this.#due.grow(capacity);
    for (let i = this.boxes.length; i < capacity * this.#boxWidth; i++) this.boxes.push(undefined);
  }

  /** The small integer of a key; -1 when it has no row. */
  #find(key: K): number {
    if (typeof key === 'string') {
      if (key === this.#lastText) return this.#lastKey;
      const k = this.#byKey.get(lookupKey(key));
      if (k === undefined) return -1;
      this.#lastText = key;
      this.#lastKey = k;
      return k;
    }
    return this.#byKey.get(lookupKey(key)) ?? -1;
  }

  /** The row of the key that starts at startMs, or else a neighbour of where it would stand. */
  #nearest(k: number, startMs: number): number {
    let row = this.#lastRow[k] as number;
    let at = this.#startMs[row] as number;
    if (at === startMs) return row;
    if (at < startMs) {
      for (let next = this.#next[row] as number; next !== -1; next = this.#next[row] as number) {
        at = this.#startMs[next] as number;
        if (at > startMs) break;
        row = next;
      }
    } else {
      for (let previous = this.#previous[row] as number; previous !== -1; previous = this.#previous[row] as number) {
        at = this.#startMs[previous] as number;
        if (at < startMs) break;
        row = previous;
      }
    }
    this.#lastRow[k] = row;
    return row;
  }

  #enter(row: number, lookup: LookupKey, startMs: number, endMs: number, dueMs: number): void {
    this.#startMs[row] = startMs;
    this.#endMs[row] = endMs;
    const known = this.#byKey.get(lookup);
    if (known === undefined) this.#keyOf[row] = this.#newKey(lookup, row);
    else {
      this.#keyOf[row] = known;
      this.#link(row, known, startMs);
    }
    this.#due.add(row, dueMs);
  }

  #newKey(lookup: LookupKey, row: number): number {
    const k = this.#freeKeys.pop() ?? this.#lookups.length;
    this.#byKey.set(lookup, k);
    this.#lookups[k] = lookup;
    this.#lastRow[k] = row;
    this.#next[row] = -1;
    this.#previous[row] = -1;
    return k;
  }

  #dropKey(k: number): void {
    this.#byKey.delete(this.#lookups[k] as LookupKey);
    this.#lookups[k] = undefined;
    this.#freeKeys.push(k);
    if (this.#lastKey === k) {
      this.#lastText = undefined;
      this.#lastKey = -1;
    }
  }

  #link(row: number, k: number, startMs: number): void {
    const near = this.#nearest(k, startMs);
    const isBehind = (this.#startMs[near] as number) < startMs;
    const previous = isBehind ? near : (this.#previous[near] as number);
    const next = isBehind ? (this.#next[near] as number) : near;
    this.#previous[row] = previous;
    this.#next[row] = next;
    if (previous !== -1) this.#next[previous] = row;
    if (next !== -1) this.#previous[next] = row;
    this.#lastRow[k] = row;
  }

  #compareRows(a: number, b: number): number {
    const ka = this.#keyOf[a] as number;
    const kb = this.#keyOf[b] as number;
    if (ka === kb) return (this.#startMs[a] as number) - (this.#startMs[b] as number);
    return compareLookups(this.#lookups[ka] as LookupKey, this.#lookups[kb] as LookupKey);
  }

  #firstDue(): number {
    assert(this.#due.nextDueMs < Infinity, `store '${this.name}': no window is due`);
    return this.#due.first();
  }

  /** The row's cells by the name of what computes them, for a dead letter. */
  #contents(row: number): Record<string, unknown> {
    const contents: Record<string, unknown> = Object.create(null);
    let i = row * this.#width;
    let k = row * this.#boxWidth;
    for (const { name, width, boxes } of this.#spec.cells) {
      contents[name] = [...this.numbers.subarray(i, i + width), ...this.boxes.slice(k, k + boxes)];
      i += width;
      k += boxes;
    }
    return { cells: contents };
  }

  #encodeKey(lookup: LookupKey, startMs: number): Buffer {
    const bytes = encodeLookup(lookup, START);
    const high = Math.floor(startMs / TWO_32);
    bytes.writeInt32BE(high, bytes.length - 8);
    bytes.writeUInt32BE(startMs - high * TWO_32, bytes.length - 4);
    return bytes;
  }

  #encode(row: number): Buffer {
    const boxes = this.#boxWidth === 0 ? undefined : this.#encodeBoxes(row);
    const length = HEAD + 8 * this.#width;
    const bytes = Buffer.allocUnsafe(length + (boxes?.length ?? 0));
    bytes[0] = FORMAT;
    bytes.writeUInt32BE(this.#hash, 1);
    bytes.writeDoubleLE(this.#endMs[row] as number, 5);
    bytes.writeDoubleLE(this.#due.dueMs(row), 13);
    const cells = row * this.#width;
    for (let i = 0; i < this.#width; i++) bytes.writeDoubleLE(this.numbers[cells + i] as number, HEAD + 8 * i);
    if (boxes !== undefined) bytes.set(boxes, length);
    return bytes;
  }

  #encodeBoxes(row: number): Uint8Array {
    const from = row * this.#boxWidth;
    try {
      return this.#boxed.encode(this.boxes.slice(from, from + this.#boxWidth));
    } catch (error) {
      const key = String(this.#lookups[this.#keyOf[row] as number]);
      throw new MillraceError('E_RESULT', `step '${this.#stepId}': the values of key ${key} cannot be written: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #checkBytes(key: Buffer, value: Buffer, plan: Takeover): void {
    const where = `step '${this.#stepId}', store '${this.name}'`;
    if (value[0] !== FORMAT) throw new MillraceError('E_CORRUPT', `${where}: a row of format ${value[0] ?? 'none'}, expected ${FORMAT}`);
    const length = HEAD + 8 * plan.width;
    if (key.length < START + 1 || (plan.boxWidth === 0 ? value.length !== length : value.length <= length))
      throw new MillraceError('E_CORRUPT', `${where}: a row of ${key.length} and ${value.length} bytes, expected ${length}`);
    if (value.readUInt32BE(1) !== plan.hash)
      throw new MillraceError('E_CORRUPT', `${where}: a row was written under another shape than its checkpoint names`);
  }

  #fill(row: number, bytes: Buffer, plan: Takeover): void {
    const length = HEAD + 8 * plan.width;
    const boxes = plan.boxWidth === 0 ? [] : (this.#boxed.decode(bytes, length, bytes.length) as unknown[]);
    let i = row * this.#width;
    let k = row * this.#boxWidth;
    this.#spec.cells.forEach((cell, c) => {
      const from = plan.from[c];
      if (from === undefined) {
        this.numbers.fill(0, i, i + cell.width);
        cell.init(this.numbers, i, this.boxes, k);
      } else {
        for (let j = 0; j < cell.width; j++) this.numbers[i + j] = bytes.readDoubleLE(HEAD + 8 * (from.i + j));
        for (let j = 0; j < cell.boxes; j++) this.boxes[k + j] = boxes[from.k + j];
      }
      i += cell.width;
      k += cell.boxes;
    });
  }
}

/** How rows of a stored shape become rows of ours. */
interface Takeover {
  readonly stored: StoreShape;
  readonly hash: number;
  readonly width: number;
  readonly boxWidth: number;
  /** By cell of ours: where it stands in a stored row; undefined when the stored row does not have it. */
  readonly from: readonly ({ readonly i: number; readonly k: number } | undefined)[];
}

function takeover(stored: StoreShape, cells: readonly CellSpec[], shape: StoreShape, stepId: string, store: string): Takeover {
  checkShape(stored, shape, stepId, store);
  const places = new Map<string, { i: number; k: number }>();
  let width = 0;
  let boxWidth = 0;
  for (const cell of stored.cells) {
    places.set(cell.name, { i: width, k: boxWidth });
    width += cell.width;
    boxWidth += cell.boxes;
  }
  return { stored, hash: shapeHash(stored), width, boxWidth, from: cells.map(({ name }) => places.get(name)) };
}
