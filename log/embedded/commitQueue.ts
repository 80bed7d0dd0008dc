// Group commit: what waits when a transaction begins goes into it together, and one flush makes all of it durable.
import { MillraceError, messageOf } from '../../engine/errors.ts';
import { COMMIT_KEY, type Environment, usedBytes } from './environment.ts';
import type { FlushedFile } from './flushedFile.ts';
import { openRow, sealRow } from './rows.ts';

/** A flush faster than this is followed by the next as soon as other work had its turn. Unit: ms. */
const FAST_FLUSH_MS = 2;
/** Longest pause between flushes; a slow disk gets half of the time, the rest of the process the other half. Unit: ms. */
const PAUSE_MAX_MS = 50;

/** What an operation sees of the commit it is part of. */
export interface CommitScope {
  /** Ordinal of this commit in the log. */
  readonly sequence: number;
  /** Runs when the commit is durable: for what is kept in memory. Not called when it fails. */
  afterCommit(apply: () => void): void;
  /** Runs once at the end of the transaction, still inside it, however often it is asked for under the same name. */
  atEnd(name: object, write: () => void): void;
}

interface Waiting {
  readonly write: (scope: CommitScope) => unknown;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface CommitQueueOptions {
  readonly environment: Environment;
  readonly flushed: FlushedFile;
  readonly onPoint?: ((point: 'in-commit' | 'after-commit-before-flush') => void) | undefined;
  readonly onFatal?: ((error: MillraceError) => void) | undefined;
}

/** The last commit in the environment. Errors: E_CORRUPT */
export function lastSequence({ meta }: Environment): number {
  const row = meta.get(COMMIT_KEY);
  return row === undefined ? 0 : openRow(COMMIT_KEY, row, () => "the log's commit number").readDoubleBE(0);
}

export class CommitQueue {
  readonly #environment: Environment;
  readonly #flushed: FlushedFile;
  readonly #onPoint: CommitQueueOptions['onPoint'];
  readonly #onFatal: CommitQueueOptions['onFatal'];
  #waiting: Waiting[] = [];
  #sequence: number;
  #usedBytes = 0;
  #isScheduled = false;
  #lastEndMs = 0;
  #lastFlushMs = 0;
  #failed: MillraceError | undefined;
  #idle: (() => void)[] = [];

  constructor({ environment, flushed, onPoint, onFatal }: CommitQueueOptions) {
    this.#environment = environment;
    this.#flushed = flushed;
    this.#onPoint = onPoint;
    this.#onFatal = onFatal;
    this.#sequence = lastSequence(environment);
    this.#usedBytes = usedBytes(environment);
    // LMDB shows a commit only after its flush. So what the last writer left is durable, even if it died before it could say so.
    flushed.write(this.#sequence);
  }

  /** Bytes in use after the last commit. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /**
   * Runs `write` inside the next transaction and resolves with its result when that is durable. What it throws undoes all
   * it wrote and rejects the promise; the other operations of the group are not concerned.
   *
   * Errors  E_LOG_FULL: no space on the disk, nothing happened · E_FLUSH: the log takes nothing any more
   */
  run<T>(write: (scope: CommitScope) => T): Promise<T> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ write, resolve: resolve as (result: unknown) => void, reject });
      this.#schedule();
    });
  }

  /** Resolves when nothing waits any more. */
  drained(): Promise<void> {
    if (!this.#isScheduled) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    const next = () => {
      this.#isScheduled = false;
      const group = this.#waiting;
      this.#waiting = [];
      this.#commit(group);
      if (this.#waiting.length > 0) this.#schedule();
      else for (const resolve of this.#idle.splice(0)) resolve();
    };
    // The pause counts from the end of the last flush: an operation on an idle log waits for nothing.
    const pauseMs = Math.min(this.#lastFlushMs, PAUSE_MAX_MS) - (performance.now() - this.#lastEndMs);
    if (this.#lastFlushMs < FAST_FLUSH_MS || pauseMs <= 0) setImmediate(next);
    else setTimeout(next, pauseMs);
  }

  /** Commits a group. If it cannot be, each of its operations is tried alone, so that one does not take the others down. */
  #commit(group: readonly Waiting[]): void {
    if (this.#failed !== undefined) {
      for (const { reject } of group) reject(this.#failed);
      return;
    }
    const start = performance.now();
    try {
      const results = this.#transact(group);
      this.#lastEndMs = performance.now();
      this.#lastFlushMs = this.#lastEndMs - start;
      for (let i = 0; i < group.length; i++) (group[i] as Waiting).resolve(results[i]);
    } catch (error) {
      this.#lastEndMs = performance.now();
      this.#lastFlushMs = this.#lastEndMs - start;
      if (group.length > 1 && this.#failed === undefined) for (const one of group) this.#commit([one]);
      else for (const { reject } of group) reject(this.#failed ?? error);
    }
  }

  #transact(group: readonly Waiting[]): unknown[] {
    const { root, meta } = this.#environment;
    const sequence = this.#sequence + 1;
    const applied: (() => void)[] = [];
    const endings = new Map<object, () => void>();
    const scope: CommitScope = {
      sequence,
      afterCommit: (apply) => applied.push(apply),
      atEnd: (name, write) => endings.set(name, write),
    };
    let wroteAll = false;
    let results: unknown[] = [];
    try {
      root.transactionSync(() => {
        results = group.map(({ write }) => write(scope));
        for (const write of endings.values()) write();
        const payload = Buffer.allocUnsafe(8);
        payload.writeDoubleBE(sequence);
        void meta.put(COMMIT_KEY, sealRow(COMMIT_KEY, payload));
        wroteAll = true;
        this.#onPoint?.('in-commit');
      });
    } catch (error) {
      throw this.#failure(error, wroteAll);
    }
    this.#onPoint?.('after-commit-before-flush');
    this.#sequence = sequence;
    this.#announce(sequence);
    this.#usedBytes = usedBytes(this.#environment);
    for (const apply of applied) apply();
    return results;
  }

  /** Shows the commit to readers elsewhere. It is durable already: what goes wrong here does not undo it, and is made good by the next. */
  #announce(sequence: number): void {
    try {
      this.#flushed.write(sequence);
    } catch (error) {
      if (!isFull(error)) this.#fail(error);
    }
  }

  #fail(error: unknown): MillraceError {
    this.#failed = new MillraceError('E_FLUSH', `the log could not be written: ${messageOf(error)}`, { cause: error });
    this.#onFatal?.(this.#failed);
    return this.#failed;
  }

  /** Tells a full disk, after which the log goes on, from a disk that failed, after which it must not. */
  #failure(error: unknown, wroteAll: boolean): unknown {
    if (error instanceof MillraceError) return error;
    if (isFull(error) && this.#isIntact())
      return new MillraceError('E_LOG_FULL', `no space left for the log: ${messageOf(error)}`, { cause: error });
    // What failed before the last write and is not LMDB's own error is a bug in an operation, and the transaction is undone.
    if (!wroteAll && typeof (error as { code?: unknown }).code !== 'number') return error;
    return this.#fail(error);
  }

  /** True when LMDB still serves and the failed transaction left nothing. */
  #isIntact(): boolean {
    try {
      this.#environment.root.resetReadTxn();
      return lastSequence(this.#environment) === this.#sequence;
    } catch {
      return false;
    }
  }
}

/** No space, by LMDB's numbers (ENOSPC, EDQUOT, MDB_MAP_FULL) or Node's names. */
function isFull(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return code === 28 || code === 122 || code === -30792 || code === 'ENOSPC' || code === 'EDQUOT';
}
