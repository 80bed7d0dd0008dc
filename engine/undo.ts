// A record is a savepoint: what it changed in any store of the task can be taken back.
import type { Savepoints } from './stores.ts';

/** Something that can take back what it did since the last savepoint. */
export interface Undoable {
  /** Takes back, newest first, everything since the savepoint began. */
  rollback(): void;
  /** Forgets how: what was done stands. */
  settle(): void;
}

/**
 * The savepoints of one task. Called once per record, so a savepoint costs nothing until somebody changes something:
 * whoever does joins first, and only those who joined are settled or rolled back.
 *
 * Order   stores are independent of each other, so each undoes its own changes, newest first; the stores too go newest first
 */
export class UndoLog implements Savepoints {
  readonly #joined: Undoable[] = [];

  begin(): void {
    if (this.#joined.length > 0) this.#settleAll();
  }

  rollback(): void {
    for (let one = this.#joined.pop(); one !== undefined; one = this.#joined.pop()) one.rollback();
  }

  /** Called by a store before its first change in a savepoint, once. */
  join(one: Undoable): void {
    this.#joined.push(one);
  }

  #settleAll(): void {
    for (const one of this.#joined) one.settle();
    this.#joined.length = 0;
  }
}
