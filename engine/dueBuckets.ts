// Rows by the time they fall due: windows of many keys close at one instant, so rows wait in buckets, not in a heap.
import { grown } from './slots.ts';
import { IndexedHeap } from './indexedHeap.ts';
import { sortBackwards } from './sortRows.ts';
import type { LookupKey } from './storeKey.ts';

/**
 * Rows, each due at a time. A bucket per time holds its rows in no order until it is first asked for its first one;
 * then it is sorted once, and stays sorted while rows come and go.
 *
 * Order   by due time, then by `compare`: first by the key, then as it likes; it must not change for a row while it is in here
 * Cost    add and remove O(1) before a bucket is sorted; then a binary search, and a move of what lies behind
 */
export class DueBuckets {
  /** Infinity when nothing is ever due. Unit: ms. */
  nextDueMs = Infinity;

  readonly #compare: (a: number, b: number) => number;
  readonly #keyOf: (row: number) => LookupKey;
  #bucketOf = new Int32Array(0);
  /** Place of a row in its bucket while that is not sorted. */
  #placeOf = new Int32Array(0);

  readonly #byDue = new Map<number, number>();
  readonly #dueMs: number[] = [];
  readonly #rows: number[][] = [];
  readonly #isSorted: boolean[] = [];
  readonly #free: number[] = [];
  readonly #heap: IndexedHeap;
  /** The bucket rows were last added to: windows open in bursts. */
  #lastDueMs = NaN;
  #lastBucket = -1;

  constructor(keyOf: (row: number) => LookupKey, compare: (a: number, b: number) => number) {
    this.#keyOf = keyOf;
    this.#compare = compare;
    this.#heap = new IndexedHeap((a, b) => (this.#dueMs[a] as number) < (this.#dueMs[b] as number));
  }

  /** The latest time at which anything is ever due; -Infinity when nothing is. Looks at every bucket. Unit: ms. */
  get lastDueMs(): number {
    let lastMs = -Infinity;
    for (const dueMs of this.#byDue.keys()) if (dueMs > lastMs && dueMs < Infinity) lastMs = dueMs;
    return lastMs;
  }

  grow(capacity: number): void {
    this.#bucketOf = grown(this.#bucketOf, new Int32Array(capacity));
    this.#placeOf = grown(this.#placeOf, new Int32Array(capacity));
  }

  dueMs(row: number): number {
    return this.#dueMs[this.#bucketOf[row] as number] as number;
  }

  add(row: number, dueMs: number): void {
    const bucket = dueMs === this.#lastDueMs ? this.#lastBucket : this.#bucketAt(dueMs);
    const rows = this.#rows[bucket] as number[];
    this.#bucketOf[row] = bucket;
    if (!this.#isSorted[bucket]) {
      this.#placeOf[row] = rows.length;
      rows.push(row);
      return;
    }
    const place = this.#search(rows, row);
    if (place === rows.length) rows.push(row);
    else rows.splice(place, 0, row);
  }

  remove(row: number): void {
    const bucket = this.#bucketOf[row] as number;
    const rows = this.#rows[bucket] as number[];
    if (rows[rows.length - 1] === row) rows.pop();
    else if (this.#isSorted[bucket]) rows.splice(this.#search(rows, row), 1);
    else {
      const last = rows.pop() as number;
      const place = this.#placeOf[row] as number;
      rows[place] = last;
      this.#placeOf[last] = place;
    }
    if (rows.length === 0) this.#drop(bucket);
  }

  /** The first row due; -1 when there is none. */
  first(): number {
    const bucket = this.#heap.top;
    if (bucket === -1) return -1;
    const rows = this.#rows[bucket] as number[];
    if (!this.#isSorted[bucket]) {
      // Backwards, so that the first one is taken off the end.
      sortBackwards(rows, this.#keyOf, this.#compare);
      this.#isSorted[bucket] = true;
    }
    return rows[rows.length - 1] as number;
  }

  /** Where the row stands, or would, in rows sorted backwards. */
  #search(rows: readonly number[], row: number): number {
    let low = 0;
    let high = rows.length;
    // What is undone goes back where it came from: to the end.
    if (high > 0 && this.#compare(rows[high - 1] as number, row) > 0) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#compare(rows[middle] as number, row) > 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #bucketAt(dueMs: number): number {
    let bucket = this.#byDue.get(dueMs);
    if (bucket === undefined) {
      bucket = this.#free.pop() ?? this.#rows.length;
      this.#rows[bucket] ??= [];
      this.#dueMs[bucket] = dueMs;
      this.#isSorted[bucket] = false;
      this.#byDue.set(dueMs, bucket);
      this.#heap.add(bucket);
      this.nextDueMs = this.#dueMs[this.#heap.top] as number;
    }
    this.#lastDueMs = dueMs;
    this.#lastBucket = bucket;
    return bucket;
  }

  #drop(bucket: number): void {
    this.#byDue.delete(this.#dueMs[bucket] as number);
    this.#heap.remove(bucket);
    this.#free.push(bucket);
    if (this.#lastBucket === bucket) this.#lastDueMs = NaN;
    this.nextDueMs = this.#heap.top === -1 ? Infinity : (this.#dueMs[this.#heap.top] as number);
  }

  /** Before many rows come back in no order: sorting again is cheaper than placing each. */
  unsort(): void {
    for (let bucket = 0; bucket < this.#rows.length; bucket++) {
      if (!this.#isSorted[bucket]) continue;
      this.#isSorted[bucket] = false;
      const rows = this.#rows[bucket] as number[];
      for (let place = 0; place < rows.length; place++) this.#placeOf[rows[place] as number] = place;
    }
  }
}
