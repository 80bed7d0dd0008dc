// Tasks of the embedded log: who owns them, their checkpoints, the rows of their stores.
import { assert, MillraceError } from '../../engine/errors.ts';
import type { StateRow, TaskClaim, TaskCommit } from '../../engine/ports.ts';
import type { CommitScope } from './commitQueue.ts';
import type { Environment } from './environment.ts';
import {
  LONG_KEY,
  openRow,
  partitionOfTaskKey,
  readState,
  readTask,
  SHORT_KEY,
  sealRow,
  stateKey,
  statePayload,
  statePrefix,
  type TaskRow,
  taskKey,
  taskPayload,
  taskRange,
} from './rows.ts';
import { nextId } from './topicTable.ts';

/** Longest pipeline or store name, so that keys made of it fit LMDB's. Unit: bytes. */
const NAME_BYTES_MAX = 1_000;

/** Rows read at a time. */
const PIECE_ROWS = 1_024;

/** A claim as this log made it. */
export interface EmbeddedClaim extends TaskClaim {
  readonly epoch: number;
}

function checkName(what: string, name: string): void {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > NAME_BYTES_MAX)
    throw new MillraceError('E_CONFIG', `${what} '${name.slice(0, 100)}': use 1 to ${NAME_BYTES_MAX} bytes without NUL`);
}

/** The key after every key that begins with `prefix`. */
function endOf(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    if ((end[i] as number) < 255) {
      end[i] = (end[i] as number) + 1;
      return end.subarray(0, i + 1);
    }
  }
  throw new MillraceError('E_ASSERT', 'a key of nothing but 255');
}

/** Reads the checkpoints of a pipeline. Errors: E_CORRUPT */
export function readCheckpoints({ tasks }: Environment, pipeline: string): ReadonlyMap<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (const { key, value } of tasks.getRange(taskRange(pipeline))) {
    const partition = partitionOfTaskKey(key);
    const task = readTask(openRow(key, value, () => `the checkpoint of '${pipeline}' task ${partition}`));
    if (task.commitNumber > 0) found.set(partition, task.checkpoint);
  }
  return found;
}

export class TaskTable {
  readonly #environment: Environment;
  readonly #checkOpen: () => void;
  /** Ids of stores by task id and name. Entered when durable; ids are never changed. */
  readonly #storeIds = new Map<string, number>();

  constructor(environment: Environment, checkOpen: () => void) {
    this.#environment = environment;
    this.#checkOpen = checkOpen;
  }

  #read(pipeline: string, partition: number): TaskRow | undefined {
    const key = taskKey(pipeline, partition);
    const row = this.#environment.tasks.get(key);
    return row === undefined ? undefined : readTask(openRow(key, row, () => `the checkpoint of '${pipeline}' task ${partition}`));
  }

  #write(pipeline: string, partition: number, task: Omit<TaskRow, 'checkpoint'> & { checkpoint: Uint8Array }): void {
    const key = taskKey(pipeline, partition);
    void this.#environment.tasks.put(key, sealRow(key, taskPayload(task)));
  }

  /** Makes every earlier claim of the task void. Inside a transaction. */
  claim(pipeline: string, partition: number): EmbeddedClaim {
    checkName('pipeline', pipeline);
    const held = this.#read(pipeline, partition) ?? {
      id: nextId(this.#environment),
      epoch: 0,
      writerEpoch: 0,
      commitNumber: 0,
      checkpoint: Buffer.alloc(0),
    };
    const task = { ...held, epoch: held.epoch + 1 };
    this.#write(pipeline, partition, task);
    const { id, epoch, commitNumber, checkpoint } = task;
    return {
      pipeline,
      partition,
      epoch,
      commitNumber,
      checkpoint: commitNumber === 0 ? undefined : checkpoint,
      state: { [Symbol.iterator]: () => this.#state(id) },
    };
  }

  /** True when nobody claimed the task since. */
  owns(claim: TaskClaim): boolean {
    return this.#read(claim.pipeline, claim.partition)?.epoch === (claim as EmbeddedClaim).epoch;
  }

  /** Writes one task's part of a commit. Inside a transaction, and only for its owner. */
  write({ claim, commitNumber, checkpoint, state }: TaskCommit, scope: CommitScope): void {
    const { pipeline, partition } = claim;
    const held = this.#read(pipeline, partition);
    assert(held !== undefined, `pipeline '${pipeline}' task ${partition} was never claimed`);
    assert(
      commitNumber === held.commitNumber + 1,
      `pipeline '${pipeline}' task ${partition}: commit ${commitNumber} after ${held.commitNumber}`,
    );
    for (const row of state) this.#writeState(held.id, this.#storeId(held.id, row.store, scope), row);
    this.#write(pipeline, partition, { ...held, writerEpoch: held.epoch, commitNumber, checkpoint });
  }

  #writeState(taskId: number, storeId: number, { key, value }: StateRow): void {
    const full = stateKey(taskId, storeId, key);
    if (value === null) void this.#environment.state.remove(full);
    else void this.#environment.state.put(full, sealRow(full, statePayload(key, value)));
  }

  /** The id of a store; a new one gets the next. Inside a transaction. */
  #storeId(taskId: number, store: string, scope: CommitScope): number {
    const name = `${taskId}/${store}`;
    const known = this.#storeIds.get(name);
    if (known !== undefined) return known;
    checkName('store', store);
    const prefix = statePrefix(taskId, 0, 0).subarray(0, 4);
    const key = Buffer.concat([prefix, Buffer.from(store, 'utf8')]);
    const row = this.#environment.stores.get(key);
    let id: number;
    if (row === undefined) {
      id = nextId(this.#environment);
      const payload = Buffer.allocUnsafe(4);
      payload.writeUInt32BE(id);
      void this.#environment.stores.put(key, sealRow(key, payload));
    } else id = openRow(key, row, () => `the entry of store '${store}'`).readUInt32BE(0);
    scope.afterCommit(() => this.#storeIds.set(name, id));
    return id;
  }

  /** All rows of a task: stores by name, rows by key. */
  *#state(taskId: number): Generator<StateRow> {
    const prefix = statePrefix(taskId, 0, 0).subarray(0, 4);
    this.#checkOpen();
    // All at once: a task has a handful of stores, and no cursor may stay open while their rows are read.
    const entries = this.#environment.stores.getRange({ start: prefix, end: endOf(prefix) }).asArray as unknown as {
      key: Buffer;
      value: Buffer;
    }[];
    for (const { key, value } of entries) {
      const store = key.subarray(4).toString('utf8');
      const storeId = openRow(key, value, () => `the entry of store '${store}'`).readUInt32BE(0);
      yield* this.#storeRows(taskId, storeId, store);
    }
  }

  /** The rows of one store. The few whose key is too long for LMDB lie elsewhere, by hash: they are merged in. */
  *#storeRows(taskId: number, storeId: number, store: string): Generator<StateRow> {
    const long = [...this.#rowsUnder(statePrefix(taskId, storeId, LONG_KEY), store)].sort((a, b) => Buffer.compare(a.key, b.key));
    let next = 0;
    for (const row of this.#rowsUnder(statePrefix(taskId, storeId, SHORT_KEY), store)) {
      while (next < long.length && Buffer.compare((long[next] as StateRow).key, row.key) < 0) yield long[next++] as StateRow;
      yield row;
    }
    while (next < long.length) yield long[next++] as StateRow;
  }

  /** In pieces: a cursor of LMDB's must not stay open while others work, and not at all when the log is closed. */
  *#rowsUnder(prefix: Buffer, store: string): Generator<StateRow> {
    const end = endOf(prefix);
    for (let start: Buffer = prefix; ; ) {
      this.#checkOpen();
      const piece = this.#environment.state.getRange({ start, end, limit: PIECE_ROWS }).asArray as unknown as {
        key: Buffer;
        value: Buffer;
      }[];
      for (const { key, value } of piece)
        yield readState(
          store,
          key,
          openRow(key, value, () => `a row of store '${store}'`),
        );
      const last = piece[PIECE_ROWS - 1];
      if (last === undefined) return;
      start = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  /** What became of a commit: see LogPort.resolve. */
  resolve(tasks: readonly TaskCommit[]): 'committed' | 'aborted' | 'lost' {
    const first = tasks[0];
    assert(first !== undefined, 'resolve of no tasks');
    if (tasks.some(({ claim }) => !this.owns(claim))) return 'lost';
    const held = this.#read(first.claim.pipeline, first.claim.partition);
    if (held?.commitNumber === first.commitNumber && held.writerEpoch === held.epoch) return 'committed';
    return held?.commitNumber === first.commitNumber - 1 ? 'aborted' : 'lost';
  }
}
