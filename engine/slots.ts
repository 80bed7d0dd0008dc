// The slots of a store and their two kinds of undo: within a record, and between commits. Every store is built on this.
import { assert, MillraceError } from './errors.ts';
import { ImageLog } from './imageLog.ts';
import type { Undoable, UndoLog } from './undo.ts';

/** What a store tells its slots: how to copy one out, put it back, and find room for more. */
export interface SlotStore {
  /** Size of a slot's image. */
  readonly imageNumbers: number;
  readonly imageObjects: number;
  /** Copies the part of a slot that `touch` announces a change of into the image at numbers[n…], objects[o…]. */
  saveValue(slot: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void;
  /** Copies the rest: what the slot is found by, which never changes while it lives. */
  saveIdentity(slot: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void;
  /** Puts the value back into a living slot. */
  loadValue(slot: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void;
  /** Fills a free slot from a whole image and enters it into every index. */
  enter(slot: number, numbers: Float64Array, n: number, objects: unknown[], o: number): void;
  /** Takes a slot out of every index and drops what it refers to. */
  leave(slot: number): void;
  /** True when some slot is found by the identity in the image. */
  holds(numbers: Float64Array, n: number, objects: unknown[], o: number): boolean;
  /** Makes room for so many slots. */
  grow(capacity: number): void;
}

/** Kinds of change in a savepoint. */
const OPENED = 0;
const TOUCHED = 1;
const REMOVED = 2;

/** Kinds of entry in a generation: BORN in it, or CHANGED and with an image; and whether the slot is GONE since. */
const BORN = 1;
const CHANGED = 2;
const GONE = 4;

/** Stamps of a slot that is free, and of one that no generation alive knows of. Generations are numbered from 2. */
const DEAD = 0;
const SETTLED = 1;

/** Growth of the slab: half as much again, for the largest store decides what a process needs. */
const GROWTH = 1.5;

/**
 * Gives out slots and remembers what they were: since the savepoint, to undo one record, and in each generation,
 * to undo what was not committed. A generation is also the list of what the next cut writes, so that a slot that was
 * born and removed within one, or whose change was rolled back, leaves no trace in the log.
 *
 * Cost    open, touch, remove O(image), nothing allocated but by growth; begin nothing; cut O(changed); abort O(slots)
 */
export class Slots implements Undoable {
  /** Slots alive. */
  size = 0;
  /** Slots ever used: all that live are below. */
  used = 0;

  readonly #undo: UndoLog;
  readonly #store: SlotStore;
  #capacity = 0;
  /** The generation that last has an entry of the slot, or DEAD, or SETTLED; and which entry. */
  #stamp = new Uint32Array(0);
  #entry = new Int32Array(0);
  #free = new Int32Array(0);
  #freeCount = 0;

  readonly #savepoint: ImageLog;
  #joined = false;
  /** Lengths of the current generation when the savepoint began. */
  #countBefore = 0;
  #imagesBefore = 0;

  #current: ImageLog;
  /** The generation in commit, or an empty spare. */
  #older: ImageLog;
  #generation = 2;
  #isCommitting = false;

  constructor(undo: UndoLog, store: SlotStore) {
    this.#undo = undo;
    this.#store = store;
    this.#savepoint = new ImageLog(store.imageNumbers, store.imageObjects);
    this.#current = new ImageLog(store.imageNumbers, store.imageObjects);
    this.#older = new ImageLog(store.imageNumbers, store.imageObjects);
  }

  isLive(slot: number): boolean {
    return slot < this.used && this.#stamp[slot] !== DEAD;
  }

  /** A free slot, for the store to fill and enter. */
  open(): number {
    if (!this.#joined) this.#join();
    const slot = this.#take();
    this.#savepoint.add(slot, OPENED, -1, -1);
    this.#stamp[slot] = this.#generation;
    this.#entry[slot] = this.#current.add(slot, BORN, -1, -1);
    return slot;
  }

  /** Before a slot's value changes. */
  touch(slot: number): void {
    if (!this.#joined) this.#join();
    if (this.#stamp[slot] !== this.#generation) this.#firstChange(slot);
    const log = this.#savepoint;
    const image = log.addImage();
    log.add(slot, TOUCHED, image, -1);
    this.#store.saveValue(slot, log.numbers, log.numbersAt(image), log.objects, log.objectsAt(image));
  }

  /** Takes the slot out of the store. */
  remove(slot: number): void {
    if (!this.#joined) this.#join();
    if (this.#stamp[slot] !== this.#generation) this.#firstChange(slot);
    const entry = this.#entry[slot] as number;
    const image = this.#saveValue(this.#savepoint, slot);
    this.#saveIdentity(this.#savepoint, slot, image);
    this.#savepoint.add(slot, REMOVED, image, entry);
    const log = this.#current;
    const kind = log.kind[entry] as number;
    // What a changed slot is found by does not change while it lives, so its image gets it only now that it is needed.
    if (kind === CHANGED) this.#saveIdentity(log, slot, log.image[entry] as number);
    log.kind[entry] = kind | GONE;
    this.#store.leave(slot);
    this.#give(slot);
  }

  /** A slot for what the log already holds: nothing to write, nothing to undo. */
  openStored(): number {
    assert(this.#current.count === 0 && !this.#isCommitting, 'a row was restored after the first record');
    return this.#take();
  }

  settle(): void {
    this.#savepoint.reset();
    this.#joined = false;
  }

  rollback(): void {
    const log = this.#savepoint;
    for (let i = log.count - 1; i >= 0; i--) {
      const slot = log.slot[i] as number;
      if (log.kind[i] === OPENED) {
        this.#store.leave(slot);
        this.#give(slot);
      } else this.#undoChange(log, i, slot);
    }
    this.#forgetEntries();
    this.settle();
  }

  /**
   * Ends the generation. `write` is called for what is to be stored, `forget` for what was stored and is no more.
   * With `all`, every living slot is written, changed or not.
   */
  cut(
    write: (slot: number) => void,
    forget: (numbers: Float64Array, n: number, objects: unknown[], o: number) => void,
    all: boolean,
  ): void {
    assert(!this.#isCommitting, 'a cut while the one before is still being committed: three generations');
    const log = this.#current;
    for (let i = 0; i < log.count; i++) {
      const kind = log.kind[i] as number;
      const image = log.image[i] as number;
      if ((kind & GONE) === 0) {
        if (!all) write(log.slot[i] as number);
      } else if ((kind & CHANGED) !== 0 && !this.#store.holds(log.numbers, log.numbersAt(image), log.objects, log.objectsAt(image)))
        forget(log.numbers, log.numbersAt(image), log.objects, log.objectsAt(image));
    }
    if (all) for (let slot = 0; slot < this.used; slot++) if (this.#stamp[slot] !== DEAD) write(slot);
    this.#current = this.#older;
    this.#older = log;
    this.#isCommitting = true;
    this.#nextGeneration();
  }

  committed(): void {
    assert(this.#isCommitting, 'a commit is known that no cut began');
    this.#older.clear();
    this.#isCommitting = false;
  }

  abort(): void {
    this.#undoGeneration(this.#current);
    if (this.#isCommitting) this.#undoGeneration(this.#older);
    this.#isCommitting = false;
    this.#nextGeneration();
    this.#freeCount = 0;
    for (let slot = this.used - 1; slot >= 0; slot--) if (this.#stamp[slot] === DEAD) this.#free[this.#freeCount++] = slot;
  }

  #join(): void {
    this.#joined = true;
    this.#countBefore = this.#current.count;
    this.#imagesBefore = this.#current.images;
    this.#undo.join(this);
  }

  #nextGeneration(): void {
    this.#generation++;
    this.#savepoint.reset();
    this.#countBefore = 0;
    this.#imagesBefore = 0;
  }

  #firstChange(slot: number): void {
    if (!this.isLive(slot)) throw new MillraceError('E_ASSERT', `row ${slot} was changed or removed after it was removed`);
    const image = this.#saveValue(this.#current, slot);
    this.#stamp[slot] = this.#generation;
    this.#entry[slot] = this.#current.add(slot, CHANGED, image, -1);
  }

  #saveValue(log: ImageLog, slot: number): number {
    const image = log.addImage();
    this.#store.saveValue(slot, log.numbers, log.numbersAt(image), log.objects, log.objectsAt(image));
    return image;
  }

  #saveIdentity(log: ImageLog, slot: number, image: number): void {
    this.#store.saveIdentity(slot, log.numbers, log.numbersAt(image), log.objects, log.objectsAt(image));
  }

  #undoChange(log: ImageLog, i: number, slot: number): void {
    const n = log.numbersAt(log.image[i] as number);
    const o = log.objectsAt(log.image[i] as number);
    if (log.kind[i] === TOUCHED) {
      this.#store.loadValue(slot, log.numbers, n, log.objects, o);
      return;
    }
    // Undone in exact reverse, so the slot that was given back last is the one to take.
    assert(this.#take() === slot, `row ${slot} cannot be put back: its slot is taken`);
    this.#store.enter(slot, log.numbers, n, log.objects, o);
    const entry = log.link[i] as number;
    this.#stamp[slot] = this.#generation;
    this.#entry[slot] = entry;
    this.#current.kind[entry] = (this.#current.kind[entry] as number) & ~GONE;
  }

  /** Drops what the rolled back savepoint entered in the generation: those slots did not change after all. */
  #forgetEntries(): void {
    for (let i = this.#countBefore; i < this.#current.count; i++) {
      const slot = this.#current.slot[i] as number;
      if (this.#stamp[slot] === this.#generation && this.#entry[slot] === i) this.#stamp[slot] = SETTLED;
    }
    this.#current.truncate(this.#countBefore, this.#imagesBefore);
  }

  /** First what was born goes, so that every slot an image belongs to is free or still its own. */
  #undoGeneration(log: ImageLog): void {
    for (let i = 0; i < log.count; i++) {
      if (log.kind[i] !== BORN) continue;
      const slot = log.slot[i] as number;
      this.#store.leave(slot);
      this.#setDead(slot);
    }
    for (let i = 0; i < log.count; i++) {
      const kind = log.kind[i] as number;
      if ((kind & CHANGED) === 0) continue;
      const slot = log.slot[i] as number;
      const n = log.numbersAt(log.image[i] as number);
      const o = log.objectsAt(log.image[i] as number);
      if ((kind & GONE) === 0) this.#store.loadValue(slot, log.numbers, n, log.objects, o);
      else {
        this.#stamp[slot] = SETTLED;
        this.size++;
        this.#store.enter(slot, log.numbers, n, log.objects, o);
      }
    }
    log.clear();
  }

  #take(): number {
    let slot: number;
    if (this.#freeCount > 0) slot = this.#free[--this.#freeCount] as number;
    else {
      if (this.used === this.#capacity) this.#grow();
      slot = this.used++;
    }
    this.#stamp[slot] = SETTLED;
    this.size++;
    return slot;
  }

  #give(slot: number): void {
    this.#setDead(slot);
    this.#free[this.#freeCount++] = slot;
  }

  #setDead(slot: number): void {
    this.#stamp[slot] = DEAD;
    this.size--;
  }

  #grow(): void {
    const capacity = Math.max(16, Math.ceil(this.#capacity * GROWTH));
    this.#store.grow(capacity);
    this.#stamp = grown(this.#stamp, new Uint32Array(capacity));
    this.#entry = grown(this.#entry, new Int32Array(capacity));
    this.#free = grown(this.#free, new Int32Array(capacity));
    this.#capacity = capacity;
  }
}

/** The larger array with the smaller one's content at its beginning. */
export function grown<A extends Int32Array | Uint32Array | Float64Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
