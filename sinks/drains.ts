// Who waits for the tables to hold what the log holds now.
import type { DeskTable, LogReader } from './deskTable.ts';
import type { Position } from './positions.ts';

interface Drain {
  /** Offset to reach by `topic/partition`; undefined until the log has been asked. */
  targets: ReadonlyMap<string, number> | undefined;
  done: () => void;
}

/** Promises that settle when the stored positions reach the log's end of the moment they were made. */
export class Drains {
  readonly #tables: readonly DeskTable[];
  readonly #reader: LogReader;
  #waiting: Drain[] = [];

  constructor(tables: readonly DeskTable[], reader: LogReader) {
    this.#tables = tables;
    this.#reader = reader;
  }

  /** Resolves when everything the log holds now is committed in DuckDB, or the writer has stopped. */
  async begin(): Promise<void> {
    const drain: Drain = { targets: undefined, done: () => {} };
    const done = new Promise<void>((resolve) => {
      drain.done = resolve;
    });
    this.#waiting.push(drain);
    const ours = new Set(this.#tables.map(({ topic }) => topic.name));
    const topics = (await this.#reader.listTopics()).filter(({ name }) => ours.has(name));
    drain.targets = new Map(topics.flatMap(({ name, bounds }) => bounds.map(({ endOffset }, p) => [`${name}/${p}`, endOffset] as const)));
    await done;
  }

  /** Settles whoever waits for no more than these positions. */
  settle(positions: readonly Position[]): void {
    this.#waiting = this.#waiting.filter(({ targets, done }) => {
      if (targets === undefined) return true;
      const isReached = positions.every((p) => p.storedOffset >= (targets.get(`${p.desk.topic.name}/${p.partition}`) ?? 0));
      if (isReached) done();
      return !isReached;
    });
  }

  /** Settles everybody: the writer has stopped. */
  settleAll(): void {
    for (const { done } of this.#waiting.splice(0)) done();
  }
}
