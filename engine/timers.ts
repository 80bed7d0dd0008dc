// Callbacks at a time of the step's clock, kept with the state and due in one order everywhere.
import { assert, MillraceError } from './errors.ts';
import { IndexedHeap } from './indexedHeap.ts';
import { RowWriter } from './rowWriter.ts';
import { checkShape } from './shape.ts';
import { grown, type SlotStore, Slots } from './slots.ts';
import { checkNewKey, compareLookups, decodeLookup, keyOfLookup, type LookupKey, lookupKey, writeLookup } from './storeKey.ts';
import type { StoreShape, TaskStore, Timers, TimersSpec } from './stores.ts';
import type { UndoLog } from './undo.ts';

/** First byte of a stored timer. A later layout takes the next number and reads both. */
const FORMAT = 1;
/** Format byte and the time. Unit: bytes. */
const SIZE = 1 + 8;

const SHAPE: StoreShape = Object.freeze({ kind: 'timers', cells: Object.freeze([]) });

/**
 * Timers by key and name. A timer that is moved to a later time, as a silence alarm's is with every record, stays where it
 * stands among the others until it comes first, and only then takes its place: moving costs no search.
 *
 * Order   time, then key, then name
 * Fire    the timer is there while its callback runs and goes when it returns, unless the callback set it again
 * Errors  set: E_NULL_KEY, E_RESULT · restore: E_STATE_SHAPE, E_CORRUPT
 */
export function timers<K>(undo: UndoLog, spec: TimersSpec<K>, setting: { readonly stepId: string }): Timers<K> & TaskStore {
  return new TimerSet<K>(undo, spec, setting.stepId);
}

class TimerSet<K> implements Timers<K>, TaskStore, SlotStore {
  readonly name: string;
  readonly shape = SHAPE;
  readonly imageNumbers = 1;
  readonly imageObjects = 2;

  readonly #spec: TimersSpec<K>;
  readonly #stepId: string;
  readonly #slots: Slots;
  readonly #byName = new Map<string, Map<LookupKey, number>>();
  readonly #lookups: (LookupKey | undefined)[] = [];
  readonly #names: (string | undefined)[] = [];
  #atMs = new Float64Array(0);
  /** The time by which a timer stands in the heap: never later than its own, and its own once it comes first. */
  #heapMs = new Float64Array(0);
  readonly #heap: IndexedHeap;
  /** The timer in its callback; -1 once it was set again or cleared. */
  #firing = -1;

  constructor(undo: UndoLog, spec: TimersSpec<K>, stepId: string) {
    this.name = spec.name;
    this.#spec = spec;
    this.#stepId = stepId;
    this.#heap = new IndexedHeap((a, b) => this.#isBefore(a, b));
    this.#slots = new Slots(undo, this);
  }

  get size(): number {
    return this.#slots.size;
  }

  get nextDueMs(): number {
    const first = this.#first();
    return first === -1 ? Infinity : (this.#atMs[first] as number);
  }

  get lastDueMs(): number {
    let lastMs = -Infinity;
    for (let slot = 0; slot < this.#slots.used; slot++) if (this.#slots.isLive(slot)) lastMs = Math.max(lastMs, this.#atMs[slot] as number);
    return lastMs;
  }

  set(key: K, name: string, atMs: number): void {
    if (!Number.isFinite(atMs))
      throw new MillraceError('E_RESULT', `step '${this.#stepId}': timer '${name}' cannot be set to ${atMs}; use epoch milliseconds`);
    const lookup = lookupKey(key);
    const slot = this.#byName.get(name)?.get(lookup);
    if (slot === undefined) {
      checkNewKey(lookup);
      this.#enter(this.#slots.open(), lookup, name, atMs);
      return;
    }
    if (slot === this.#firing) this.#firing = -1;
    if (this.#atMs[slot] === atMs) return;
    this.#slots.touch(slot);
    this.#move(slot, atMs);
  }

  clear(key: K, name: string): void {
    const slot = this.#byName.get(name)?.get(lookupKey(key));
    if (slot === undefined) return;
    this.#slots.remove(slot);
    if (slot === this.#firing) this.#firing = -1;
  }

  get(key: K, name: string): number | undefined {
    const slot = this.#byName.get(name)?.get(lookupKey(key));
    return slot === undefined ? undefined : this.#atMs[slot];
  }

  fire(): void {
    const slot = this.#due();
    this.#firing = slot;
    try {
      this.#spec.onTimer(keyOfLookup(this.#lookups[slot] as LookupKey) as K, this.#names[slot] as string, this.#atMs[slot] as number);
      if (this.#firing !== -1) this.#slots.remove(slot);
    } finally {
      this.#firing = -1;
    }
  }

  dropDue(): { key: unknown; atMs: number; what: string; row: unknown } {
    const slot = this.#due();
    const name = this.#names[slot] as string;
    const atMs = this.#atMs[slot] as number;
    const dropped = { key: keyOfLookup(this.#lookups[slot] as LookupKey), atMs, what: `timer '${name}'`, row: { name, atMs } };
    this.#slots.remove(slot);
    return dropped;
  }

  cut(write: (key: Uint8Array, value: Uint8Array | null) => void): void {
    const out = new RowWriter();
    this.#slots.cut(
      (slot) =>
        write(keyBytes(out, this.#lookups[slot] as LookupKey, this.#names[slot] as string), timeBytes(out, this.#atMs[slot] as number)),
      (_numbers, _n, objects, o) => write(keyBytes(out, objects[o] as LookupKey, objects[o + 1] as string), null),
      false,
    );
  }

  committed(): void {
    this.#slots.committed();
  }

  abort(): void {
    this.#slots.abort();
  }

  restore(key: Uint8Array, value: Uint8Array, stored: StoreShape): void {
    checkShape(stored, SHAPE, this.#stepId, this.name);
    const inKey = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const nameLength = inKey.length < 5 ? -1 : inKey.readUInt32BE(inKey.length - 4);
    const split = inKey.length - 4 - nameLength;
    if (bytes.length !== SIZE || bytes[0] !== FORMAT || nameLength < 0 || split < 1)
      throw new MillraceError(
        'E_CORRUPT',
        `step '${this.#stepId}', store '${this.name}': a timer of ${inKey.length} and ${bytes.length} bytes cannot be read`,
      );
    const name = inKey.toString('utf8', split, split + nameLength);
    const lookup = decodeLookup(inKey, 0, split);
    assert(this.#byName.get(name)?.has(lookup) !== true, `store '${this.name}': a timer was restored twice`);
    this.#enter(this.#slots.openStored(), lookup, name, bytes.readDoubleLE(1));
  }

  saveValue(slot: number, numbers: Float64Array, n: number): void {
    numbers[n] = this.#atMs[slot] as number;
  }

  saveIdentity(slot: number, _numbers: Float64Array, _n: number, objects: unknown[], o: number): void {
    objects[o] = this.#lookups[slot];
    objects[o + 1] = this.#names[slot];
  }

  loadValue(slot: number, numbers: Float64Array, n: number): void {
    this.#move(slot, numbers[n] as number);
  }

  enter(slot: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void {
    this.#enter(slot, objects[o] as LookupKey, objects[o + 1] as string, numbers[n] as number);
  }

  leave(slot: number): void {
    this.#heap.remove(slot);
    const name = this.#names[slot] as string;
    const byKey = this.#byName.get(name) as Map<LookupKey, number>;
    byKey.delete(this.#lookups[slot] as LookupKey);
    if (byKey.size === 0) this.#byName.delete(name);
    this.#lookups[slot] = undefined;
    this.#names[slot] = undefined;
  }

  holds(_numbers: Float64Array, _n: number, objects: unknown[], o: number): boolean {
    return this.#byName.get(objects[o + 1] as string)?.has(objects[o] as LookupKey) === true;
  }

  grow(capacity: number): void {
    this.#atMs = grown(this.#atMs, new Float64Array(capacity));
    this.#heapMs = grown(this.#heapMs, new Float64Array(capacity));
  }

  #enter(slot: number, lookup: LookupKey, name: string, atMs: number): void {
    let byKey = this.#byName.get(name);
    if (byKey === undefined) this.#byName.set(name, (byKey = new Map()));
    byKey.set(lookup, slot);
    this.#lookups[slot] = lookup;
    this.#names[slot] = name;
    this.#atMs[slot] = atMs;
    this.#heapMs[slot] = atMs;
    this.#heap.add(slot);
  }

  #move(slot: number, atMs: number): void {
    this.#atMs[slot] = atMs;
    if (atMs >= (this.#heapMs[slot] as number)) return;
    this.#heapMs[slot] = atMs;
    this.#heap.moved(slot);
  }

  /** The timer due first; -1 when there is none. Moves to their place those that were set to a later time. */
  #first(): number {
    for (;;) {
      const first = this.#heap.top;
      if (first === -1 || this.#heapMs[first] === this.#atMs[first]) return first;
      this.#heapMs[first] = this.#atMs[first] as number;
      this.#heap.moved(first);
    }
  }

  #due(): number {
    const first = this.#first();
    assert(first !== -1, `store '${this.name}': no timer is due`);
    return first;
  }

  #isBefore(a: number, b: number): boolean {
    const byTime = (this.#heapMs[a] as number) - (this.#heapMs[b] as number);
    if (byTime !== 0) return byTime < 0;
    const byKey = compareLookups(this.#lookups[a] as LookupKey, this.#lookups[b] as LookupKey);
    return byKey !== 0 ? byKey < 0 : (this.#names[a] as string) < (this.#names[b] as string);
  }
}

/** The key's bytes, the name's, and how many the name's are. */
function keyBytes(out: RowWriter, lookup: LookupKey, name: string): Uint8Array {
  writeLookup(out, lookup, 3 * name.length + 4);
  const from = out.at;
  out.utf8(name);
  out.uint32(out.at - from);
  return out.end();
}

function timeBytes(out: RowWriter, atMs: number): Uint8Array {
  out.begin(SIZE);
  out.bytes[out.at++] = FORMAT;
  out.float64(atMs);
  return out.end();
}
