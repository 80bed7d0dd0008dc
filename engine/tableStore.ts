// A table topic as a task holds it: the latest value per key, in the task's own state.
import type { KeyValueStore, TableView } from './stores.ts';
import type { Topic } from './topic.ts';

/** Where a table's rows are kept and how its records change them. */
export interface TableStore extends TableView<unknown, unknown> {
  readonly topic: Topic<any, any>;
  /** value null deletes. */
  apply(key: unknown, value: unknown): void;
}

export function tableStore(topic: Topic<any, any>, rows: KeyValueStore<unknown, unknown>): TableStore {
  return {
    topic,
    get: (key) => rows.get(key),
    apply: (key, value) => {
      if (value === null) rows.delete(key);
      else rows.set(key, value);
    },
  };
}
