// A replay: the journal says what comes next, and nothing is decided anew. It runs from the beginning and is not resumed half-way.
import type { Input } from './input.ts';
import type { JournalEntry } from './journal.ts';
import type { RecordBatch } from './ports.ts';
import { rekeyedAt } from './rekey.ts';
import type { Codec } from './topic.ts';

/** Where a record stands: a batch and an index in it. */
export interface Place {
  readonly batch: RecordBatch;
  readonly at: number;
}

/** What the journal calls for next, consumed one record at a time. */
export class Replay {
  readonly #entries: readonly JournalEntry[];
  readonly #boxed: Codec<unknown>;
  /** Rekeyed records by input and upstream task: this run may find them interleaved otherwise than the first one did. */
  readonly #waiting = new Map<Input, Place[][]>();
  #index = 0;
  #left = 0;

  constructor(entries: Iterable<JournalEntry>, boxed: Codec<unknown>) {
    this.#entries = [...entries];
    this.#boxed = boxed;
    this.#enter();
  }

  /** undefined: the journal is at its end. */
  get entry(): JournalEntry | undefined {
    return this.#entries[this.#index];
  }

  /** One record of a run, or one other entry, is done. */
  done(): void {
    this.#left -= 1;
    if (this.#left > 0) return;
    this.#index += 1;
    this.#enter();
  }

  #enter(): void {
    const entry = this.entry;
    this.#left = entry?.[0] === 0 ? entry[2] : entry?.[0] === 1 ? entry[3] : 1;
  }

  /** The next record that `upstream` sent, taken off the input; undefined while it has not been fetched. Marks come from the journal. */
  takeFrom(input: Input, upstream: number): Place | undefined {
    let queues = this.#waiting.get(input);
    if (queues === undefined) this.#waiting.set(input, (queues = []));
    for (;;) {
      const found = queues[upstream]?.shift();
      if (found !== undefined) return found;
      const { batch, at } = input;
      if (batch === undefined) return undefined;
      const read = rekeyedAt(this.#boxed, batch, at);
      input.advance();
      if (read.mark === undefined) (queues[read.from] ??= []).push({ batch, at });
    }
  }
}
