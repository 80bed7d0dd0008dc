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
  /** The first #count have joined. Never shortened: setting an array's length costs more than a record. */
  readonly #joined: Undoable[] = [];
  #count = 0;

  begin(): void {
    if (this.#count > 0) this.#settleAll();
  }

  rollback(): void {
    for (let i = this.#count - 1; i >= 0; i--) (this.#joined[i] as Undoable).rollback();
    this.#count = 0;
  }

  /** Called by a store before its first change in a savepoint, once. */
  join(one: Undoable): void {
    this.#joined[this.#count++] = one;
  }

  #settleAll(): void {
    for (let i = 0; i < this.#count; i++) (this.#joined[i] as Undoable).settle();
    this.#count = 0;
  }
}
