// What is due first among small integers, when any of them may change or go at any time.

/**
 * A binary min-heap of small non-negative integers that knows where each one stands, so that removing or moving
 * one costs O(log n) and nothing dead is ever kept.
 *
 * Order   by `before`, which must be a total order of the members while they do not move
 */
export class IndexedHeap {
  readonly #before: (a: number, b: number) => boolean;
  readonly #heap: number[] = [];
  /** Place of a member in the heap. */
  #place = new Int32Array(0);

  constructor(before: (a: number, b: number) => boolean) {
    this.#before = before;
  }

  /** The first member; -1 when there is none. */
  get top(): number {
    return this.#heap.length === 0 ? -1 : (this.#heap[0] as number);
  }

  add(id: number): void {
    if (id >= this.#place.length) this.#grow(id);
    this.#heap.push(id);
    this.#up(this.#heap.length - 1, id);
  }

  remove(id: number): void {
    const place = this.#place[id] as number;
    const last = this.#heap.pop() as number;
    if (last === id) return;
    this.#settle(place, last);
  }

  /** The member's rank changed either way. */
  moved(id: number): void {
    this.#settle(this.#place[id] as number, id);
  }

  #settle(place: number, id: number): void {
    if (place > 0 && this.#before(id, this.#heap[(place - 1) >> 1] as number)) this.#up(place, id);
    else this.#down(place, id);
  }

  #up(from: number, id: number): void {
    const heap = this.#heap;
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const other = heap[parent] as number;
      if (!this.#before(id, other)) break;
      heap[place] = other;
      this.#place[other] = place;
      place = parent;
    }
    heap[place] = id;
    this.#place[id] = place;
  }

  #down(from: number, id: number): void {
    const heap = this.#heap;
    const half = heap.length >> 1;
    let place = from;
    while (place < half) {
      let child = 2 * place + 1;
      if (child + 1 < heap.length && this.#before(heap[child + 1] as number, heap[child] as number)) child++;
      const other = heap[child] as number;
      if (!this.#before(other, id)) break;
      heap[place] = other;
      this.#place[other] = place;
      place = child;
    }
    heap[place] = id;
    this.#place[id] = place;
  }

  #grow(id: number): void {
    const larger = new Int32Array(Math.max(16, id + 1, Math.ceil(this.#place.length * 1.5)));
    larger.set(this.#place);
    this.#place = larger;
  }
}
