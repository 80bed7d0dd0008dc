// Open windows as rows of numbers in one slab: found by key and start, due in order, and written row by row.
import { assert, MillraceError, messageOf } from './errors.ts';
import { DueBuckets } from './dueBuckets.ts';
import { RowWriter } from './rowWriter.ts';
import { checkShape, shapeHash, windowShape } from './shape.ts';
import { grown, type SlotStore, Slots } from './slots.ts';
import { checkNewKey, compareLookups, decodeLookup, keyOfLookup, type LookupKey, lookupKey, writeLookup } from './storeKey.ts';
import type { CellSpec, StoreShape, TaskStore, WindowStore, WindowStoreSpec } from './stores.ts';
import type { Codec } from './topic.ts';
import type { UndoLog } from './undo.ts';

/** First byte of a stored row. A later layout takes the next number and reads both. */
const FORMAT = 1;
/** Format byte, shape hash, end, due; then the cells, then the boxed values as one list. Unit: bytes. */
const HEAD = 1 + 4 + 8 + 8;
/** The window's start behind the key's bytes. Unit: bytes. */
const START = 8;
/** Places of a row's numbers. Unit of start and end: epoch ms. */
const START_MS = 0;
const END_MS = 1;
const CELLS = 2;
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

  /** Numbers of a row: start, end, cells. What is asked of a row with every record lies together. */
  readonly #stride: number;
  #keyOf = new Int32Array(0);
  /** Rows of one key, by start. -1 ends the chain. */
  #next = new Int32Array(0);
  #previous = new Int32Array(0);

  readonly #byKey = new Map<LookupKey, number>();
  readonly #lookups: (LookupKey | undefined)[] = [];
  /** The row of a key that was found last: the chain is entered there. */
  #lastRow = new Int32Array(0);
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
    this.#stride = CELLS + this.#width;
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
    const last = this.#lastRow[k] as number;
    if (this.numbers[last * this.#stride] === startMs) return last;
    const row = this.#nearest(k, startMs);
    return this.startMs(row) === startMs ? row : -1;
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
    else assert(this.startMs(this.#nearest(known, startMs)) !== startMs, 'a window was opened twice');
    const row = this.#slots.open();
    const cells = this.cells(row);
    for (let i = cells; i < cells + this.#width; i++) this.numbers[i] = 0;
    this.#enter(row, lookup, known, startMs === 0 ? 0 : startMs, endMs, dueMs);
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
    return keyOfLookup(this.#lookups[this.#keyOf[row] as number] as LookupKey) as K;
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
      row: { startMs, endMs, ...this.#contents(row) },
    };
    this.#slots.remove(row);
    return dropped;
  }

  cut(write: (key: Uint8Array, value: Uint8Array | null) => void): void {
    const out = new RowWriter();
    this.#slots.cut(
      (row) => write(keyBytes(out, this.#lookups[this.#keyOf[row] as number] as LookupKey, this.startMs(row)), this.#encode(out, row)),
      (numbers, n, objects, o) => write(keyBytes(out, objects[o + this.#boxWidth] as LookupKey, numbers[n + this.#width] as number), null),
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
    const inKey = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
    if (this.#takeover?.stored !== stored) this.#takeover = takeover(stored, this.#spec.cells, this.shape, this.#stepId, this.name);
    const plan = this.#takeover;
    this.#checkBytes(inKey, bytes, plan);
    const split = inKey.length - START;
    const lookup = decodeLookup(inKey, 0, split);
    const row = this.#slots.openStored();
    this.#enter(
      row,
      lookup,
      this.#byKey.get(lookup),
      inKey.readInt32BE(split) * TWO_32 + inKey.readUInt32BE(split + 4),
      bytes.readDoubleLE(5),
      bytes.readDoubleLE(13),
    );
    this.#fill(row, bytes, plan);
    if (plan.hash !== this.#hash) this.#rewrite = 'due';
  }

  saveValue(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const cells = this.cells(row);
    for (let i = 0; i < this.#width; i++) numbers[n + i] = this.numbers[cells + i] as number;
    const boxes = row * this.#boxWidth;
    for (let i = 0; i < this.#boxWidth; i++) objects[o + i] = this.boxes[boxes + i];
  }

  saveIdentity(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const at = n + this.#width;
    numbers[at] = this.startMs(row);
    numbers[at + 1] = this.endMs(row);
    numbers[at + 2] = this.#due.dueMs(row);
    objects[o + this.#boxWidth] = this.#lookups[this.#keyOf[row] as number];
  }

  loadValue(row: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    const cells = this.cells(row);
    for (let i = 0; i < this.#width; i++) this.numbers[cells + i] = numbers[n + i] as number;
    const boxes = row * this.#boxWidth;
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
    return k !== undefined && this.startMs(this.#nearest(k, startMs)) === startMs;
  }

  grow(capacity: number): void {
    this.numbers = grown(this.numbers, new Float64Array(capacity * this.#stride));
    this.#keyOf = grown(this.#keyOf, new Int32Array(capacity));
    this.#next = grown(this.#next, new Int32Array(capacity));
    this.#previous = grown(this.#previous, new Int32Array(capacity));
    this.#lastRow = grown(this.#lastRow, new Int32Array(capacity));
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
    let at = this.startMs(row);
    if (at === startMs) return row;
    if (at < startMs) {
      for (let next = this.#next[row] as number; next !== -1; next = this.#next[row] as number) {
        at = this.startMs(next);
        if (at > startMs) break;
        row = next;
      }
    } else {
      for (let previous = this.#previous[row] as number; previous !== -1; previous = this.#previous[row] as number) {
        at = this.startMs(previous);
        if (at < startMs) break;
        row = previous;
      }
    }
    this.#lastRow[k] = row;
    return row;
  }

  #enter(row: number, lookup: LookupKey, known: number | undefined, startMs: number, endMs: number, dueMs: number): void {
    this.numbers[row * this.#stride + START_MS] = startMs;
    this.numbers[row * this.#stride + END_MS] = endMs;
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
    const isBehind = this.startMs(near) < startMs;
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
    if (ka === kb) return this.startMs(a) - this.startMs(b);
    return compareLookups(this.#lookups[ka] as LookupKey, this.#lookups[kb] as LookupKey);
  }

  #firstDue(): number {
    assert(this.#due.nextDueMs < Infinity, `store '${this.name}': no window is due`);
    return this.#due.first();
  }

  /** The row's cells by the name of what computes them, for a dead letter. */
  #contents(row: number): Record<string, unknown> {
    const contents: Record<string, unknown> = Object.create(null);
    let i = this.cells(row);
    let k = row * this.#boxWidth;
    for (const { name, width, boxes } of this.#spec.cells) {
      contents[name] = [...this.numbers.subarray(i, i + width), ...this.boxes.slice(k, k + boxes)];
      i += width;
      k += boxes;
    }
    return { cells: contents };
  }

  #encode(out: RowWriter, row: number): Uint8Array {
    const boxes = this.#boxWidth === 0 ? undefined : this.#encodeBoxes(row);
    out.begin(HEAD + 8 * this.#width + (boxes?.length ?? 0));
    out.bytes[out.at++] = FORMAT;
    out.uint32(this.#hash);
    out.float64(this.endMs(row));
    out.float64(this.#due.dueMs(row));
    const cells = this.cells(row);
    for (let i = cells; i < cells + this.#width; i++) out.float64(this.numbers[i] as number);
    if (boxes !== undefined) out.copy(boxes);
    return out.end();
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
    let i = this.cells(row);
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

/** The key's bytes, then the start as a 64-bit integer. */
function keyBytes(out: RowWriter, lookup: LookupKey, startMs: number): Uint8Array {
  writeLookup(out, lookup, START);
  const high = Math.floor(startMs / TWO_32);
  out.uint32(high >>> 0);
  out.uint32(startMs - high * TWO_32);
  return out.end();
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
