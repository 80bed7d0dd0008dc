// What a replay cannot find in the topics: the order inputs were taken in, the ticks silence made, the marks as they were met.
import type { Mark } from './rekey.ts';

/**
 * One thing that moved a task, in order. Runs are of records taken from one input (and for a rekey input, one upstream).
 * run: [0, input, count] · run from upstream: [1, input, upstream, count] · tick: [2, segment, timeMs] ·
 * mark: [3, input, upstream, timeMs | null] · unprocessed: [5, input, offset]
 */
export type JournalEntry =
  | [kind: 0, input: number, count: number]
  | [kind: 1, input: number, upstream: number, count: number]
  | [kind: 2, segment: number, timeMs: number]
  | [kind: 3, input: number, upstream: number, timeMs: number | null]
  | [kind: 5, input: number, offset: number];

/** Gathers a commit's entries. A task with one input and no tick needs none: its topic's order is all there is to know. */
export class Journal {
  readonly #always: boolean;
  #entries: JournalEntry[] = [];
  #ticked = false;
  /** Records taken since the last entry that was written, while none had to be. */
  #since: number;

  constructor(inputs: number) {
    this.#always = inputs > 1;
    this.#since = 0;
  }

  took(input: number): void {
    if (!this.#always) {
      this.#since += 1;
      return;
    }
    const last = this.#entries[this.#entries.length - 1];
    if (last !== undefined && last[0] === 0 && last[1] === input) last[2] += 1;
    else this.#entries.push([0, input, 1]);
  }

  tookFrom(input: number, upstream: number): void {
    const last = this.#entries[this.#entries.length - 1];
    if (last !== undefined && last[0] === 1 && last[1] === input && last[2] === upstream) last[3] += 1;
    else this.#entries.push([1, input, upstream, 1]);
  }

  mark(input: number, mark: Mark): void {
    this.#entries.push([3, input, mark.from, mark.timeMs]);
  }

  tick(segment: number, timeMs: number): void {
    this.#settle();
    this.#ticked = true;
    this.#entries.push([2, segment, timeMs]);
  }

  /** A record went to the dead letters without being tried. */
  unprocessed(input: number, offset: number): void {
    this.#settle();
    this.#ticked = true;
    this.#entries.push([5, input, offset]);
  }

  /** Turns what was only counted into a run, because something follows whose place matters. */
  #settle(): void {
    if (this.#since > 0) this.#entries.push([0, 0, this.#since]);
    this.#since = 0;
  }

  /** The entries of this commit, if any must be written; begins the next commit's. */
  cut(): readonly JournalEntry[] | undefined {
    if (this.#always ? this.#entries.length === 0 : !this.#ticked) return undefined;
    const entries = this.#entries;
    if (!this.#always) this.#settle();
    this.#entries = [];
    this.#ticked = false;
    return entries;
  }

  get since(): number {
    return this.#since;
  }

  /** Forgets what was not committed; `since` is the checkpoint's. */
  restore(since: number): void {
    this.#entries = [];
    this.#ticked = false;
    this.#since = since;
  }
}
