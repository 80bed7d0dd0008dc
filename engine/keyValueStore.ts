// The latest value per key, with undo inside a record and between commits.
import { assert, MillraceError, messageOf } from './errors.ts';
import { RowWriter } from './rowWriter.ts';
import { checkShape } from './shape.ts';
import { type SlotStore, Slots } from './slots.ts';
import { checkStorable, freezeDeep } from './storable.ts';
import { checkNewKey, decodeLookup, keyOfLookup, type LookupKey, lookupKey, writeLookup } from './storeKey.ts';
import type { KeyValueStore, StoreShape, TaskStore } from './stores.ts';
import type { Codec } from './topic.ts';
import type { UndoLog } from './undo.ts';

/** First byte of a stored value. A later layout takes the next number and reads both. */
const FORMAT = 1;

const SHAPE: StoreShape = Object.freeze({ kind: 'keyValue', cells: Object.freeze([]) });

/** What a key-value store is called and how its values are written. */
export interface KeyValueStoreSpec<V> {
  readonly name: string;
  readonly codec: Codec<V>;
  /** Freezes every value that is set, so that a test sees who changes one in place. */
  readonly freeze?: boolean;
}

/**
 * The latest value per key.
 *
 * Errors  set: E_NULL_KEY, E_RESULT for a key or value that cannot be stored · restore: E_STATE_SHAPE, E_CORRUPT
 * Cost    get: one Map lookup; set: that and a copy of a reference; 60 bytes a row and the Map's entry, key and value apart
 */
export function keyValueStore<K, V>(undo: UndoLog, spec: KeyValueStoreSpec<V>): KeyValueStore<K, V> & TaskStore {
  return new Values<K, V>(undo, spec);
}

class Values<K, V> implements KeyValueStore<K, V>, TaskStore, SlotStore {
  readonly name: string;
  readonly shape = SHAPE;
  readonly nextDueMs = Infinity;
  readonly lastDueMs = -Infinity;
  readonly imageNumbers = 0;
  readonly imageObjects = 2;

  readonly #codec: Codec<V>;
  readonly #freeze: boolean;
  readonly #slots: Slots;
  readonly #byKey = new Map<LookupKey, number>();
  readonly #lookups: (LookupKey | undefined)[] = [];
  readonly #values: (V | undefined)[] = [];

  constructor(undo: UndoLog, spec: KeyValueStoreSpec<V>) {
    this.name = spec.name;
    this.#codec = spec.codec;
    this.#freeze = spec.freeze === true;
    this.#slots = new Slots(undo, this);
  }

  get size(): number {
    return this.#slots.size;
  }

  get(key: K): V | undefined {
    const slot = this.#byKey.get(lookupKey(key));
    return slot === undefined ? undefined : this.#values[slot];
  }

  set(key: K, value: V): void {
    const lookup = lookupKey(key);
    checkStorable(value, this.name);
    if (this.#freeze) freezeDeep(value);
    const known = this.#byKey.get(lookup);
    if (known === undefined) {
      checkNewKey(lookup);
      this.#enter(this.#slots.open(), lookup, value);
      return;
    }
    // The same primitive again is no change; the same object is, for it may hold a mistake we would otherwise hide.
    if (typeof value !== 'object' && Object.is(value, this.#values[known])) return;
    this.#slots.touch(known);
    this.#values[known] = value;
  }

  delete(key: K): void {
    const slot = this.#byKey.get(lookupKey(key));
    if (slot !== undefined) this.#slots.remove(slot);
  }

  *entries(): Iterable<readonly [K, V]> {
    for (let slot = 0; slot < this.#slots.used; slot++)
      if (this.#slots.isLive(slot)) yield [keyOfLookup(this.#lookups[slot] as LookupKey) as K, this.#values[slot] as V];
  }

  fire(): void {
    assert(false, `store '${this.name}' has nothing that falls due`);
  }

  dropDue(): never {
    throw new MillraceError('E_ASSERT', `store '${this.name}' has nothing that falls due`);
  }

  cut(write: (key: Uint8Array, value: Uint8Array | null) => void): void {
    const out = new RowWriter();
    this.#slots.cut(
      (slot) => write(keyBytes(out, this.#lookups[slot] as LookupKey), this.#encode(out, slot)),
      (_numbers, _n, objects, o) => write(keyBytes(out, objects[o + 1] as LookupKey), null),
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
    checkShape(stored, SHAPE, this.name, this.name);
    const inKey = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    if (bytes[0] !== FORMAT)
      throw new MillraceError('E_CORRUPT', `store '${this.name}': a value of format ${bytes[0] ?? 'none'}, expected ${FORMAT}`);
    const lookup = decodeLookup(inKey, 0, inKey.length);
    const told = this.#codec.decode(bytes, 1, bytes.length);
    if (this.#freeze) freezeDeep(told);
    assert(!this.#byKey.has(lookup), `store '${this.name}': a key was restored twice`);
    this.#enter(this.#slots.openStored(), lookup, told);
  }

  saveValue(slot: number, _numbers: Float64Array, _n: number, objects: unknown[], o: number): void {
    objects[o] = this.#values[slot];
  }

  saveIdentity(slot: number, _numbers: Float64Array, _n: number, objects: unknown[], o: number): void {
    objects[o + 1] = this.#lookups[slot];
  }

  loadValue(slot: number, _numbers: Float64Array, _n: number, objects: unknown[], o: number): void {
    this.#values[slot] = objects[o] as V;
  }

  enter(slot: number, _numbers: Float64Array, _n: number, objects: unknown[], o: number): void {
    this.#enter(slot, objects[o + 1] as LookupKey, objects[o] as V);
  }

  leave(slot: number): void {
    this.#byKey.delete(this.#lookups[slot] as LookupKey);
    this.#lookups[slot] = undefined;
    this.#values[slot] = undefined;
  }

  holds(_numbers: Float64Array, _n: number, objects: unknown[], o: number): boolean {
    return this.#byKey.has(objects[o + 1] as LookupKey);
  }

  grow(): void {}

  #enter(slot: number, lookup: LookupKey, value: V): void {
    this.#byKey.set(lookup, slot);
    this.#lookups[slot] = lookup;
    this.#values[slot] = value;
  }

  #encode(out: RowWriter, slot: number): Uint8Array {
    let value: Uint8Array;
    try {
      value = this.#codec.encode(this.#values[slot] as V);
    } catch (error) {
      throw new MillraceError(
        'E_RESULT',
        `store '${this.name}': the value of key ${String(this.#lookups[slot])} cannot be written: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
    out.begin(1 + value.length);
    out.bytes[out.at++] = FORMAT;
    out.copy(value);
    return out.end();
  }
}

function keyBytes(out: RowWriter, lookup: LookupKey): Uint8Array {
  writeLookup(out, lookup, 0);
  return out.end();
}
