// A table topic as a task holds it: the latest value per key, in the task's own state.
import type { KeyValueStore, TableView } from './stores.ts';
import type { AnyTopic } from './topic.ts';

/** Where a table's rows are kept and how its records change them. */
export interface TableStore extends TableView<unknown, unknown> {
  readonly topic: AnyTopic;
  /** value null deletes. */
  apply(key: unknown, value: unknown): void;
}

/** A table over a key-value store of the task. */
export function tableStore(topic: AnyTopic, rows: KeyValueStore<unknown, unknown>): TableStore {
  return {
    topic,
    get: (key) => rows.get(key),
    apply: (key, value) => {
      if (value === null) rows.delete(key);
      else rows.set(key, value);
    },
  };
}
