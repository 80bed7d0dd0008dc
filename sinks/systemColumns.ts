// The columns every result table has besides its value's fields.
import { MillraceError } from '../engine/errors.ts';

/** In front of the value's columns. The window columns appear with the first windowed row. */
export const LEADING_COLUMNS = { key: 'VARCHAR', window_start: 'TIMESTAMPTZ', window_end: 'TIMESTAMPTZ' } as const;

/**
 * Behind them: where in the log the row came from, when it happened, and when the log took it.
 * `keep` counts from `_append_time`, as it does in the log, so that old data just played is not deleted.
 */
export const TRAILING_COLUMNS = {
  _partition: 'INTEGER',
  _offset: 'BIGINT',
  _event_time: 'TIMESTAMPTZ',
  _append_time: 'TIMESTAMPTZ',
} as const;

/** Only the shared table `alerts` has it: the pipeline the alert came from. */
export const PIPELINE_COLUMN = 'pipeline';
/** The one table that several pipelines write to. */
export const ALERTS_TABLE = 'alerts';

/** DuckDB compares column names without case, so these are in lower case. */
export function isSystemColumn(field: string, table: string): boolean {
  const name = field.toLowerCase();
  return (
    Object.hasOwn(LEADING_COLUMNS, name) || Object.hasOwn(TRAILING_COLUMNS, name) || (table === ALERTS_TABLE && name === PIPELINE_COLUMN)
  );
}

const TABLE_NAME = /^[a-z_][a-z0-9_]{0,62}$/;

/** Throws E_CONFIG unless `name` can be a result table. */
export function checkTableName(name: string): void {
  if (typeof name !== 'string' || !TABLE_NAME.test(name))
    throw new MillraceError('E_CONFIG', `duckdb table '${String(name)}': use 1 to 63 of a-z, 0-9 and '_', not beginning with a digit`);
  if (name.startsWith('_millrace_'))
    throw new MillraceError('E_CONFIG', `duckdb table '${name}': names beginning with _millrace_ are ours`);
}
