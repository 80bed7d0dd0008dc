// duckdb(…): a result table as a plain value. The writer that fills it lives in the desk process.
import { type Duration, durationMs } from '../engine/duration.ts';
import { MillraceError } from '../engine/errors.ts';
import { resultCodec } from '../engine/resultCodec.ts';
import { type TableSpec, type Target, topicBy } from '../engine/topic.ts';
import { columnType } from './columnType.ts';
import { resultKey } from './resultKey.ts';
import { ALERTS_TABLE, checkTableName, isSystemColumn } from './systemColumns.ts';

/** How a result table is kept. */
export interface DuckdbOptions {
  /** How long rows are held, counted from their arrival in the log, which holds them as long. Default: 90 days. */
  readonly keep?: Duration;
  /** Default: one row per key and window for windowed results, every record a row of its own for all else. */
  readonly mode?: 'upsert' | 'append';
  /** Exact DuckDB types by field, e.g. `{ battery: 'UTINYINT', at: 'TIMESTAMPTZ' }`. */
  readonly columns?: Readonly<Record<string, string>>;
  /** False: the log keeps at most 90 days, the table keeps `keep` or for ever, and what is older cannot be rebuilt. */
  readonly rebuild?: boolean;
}

/** What the log keeps of results unless told otherwise. Unit: ms. */
const RESULT_KEEP_MS = 90 * 86_400_000;
const OPTIONS = ['keep', 'mode', 'columns', 'rebuild'];

/**
 * Sends results to a DuckDB table of this name, through the topic `<pipeline>.<table>`.
 *
 * Shape   Rec<unknown, object> → one row            Unit    startMs, endMs: epoch ms, become window_start, window_end
 * Rows    windowed value: one per (key, window), the last one wins · mode 'upsert': one per key · else one per record
 * Columns number DOUBLE, bigint BIGINT, string VARCHAR, boolean BOOLEAN, Date TIMESTAMPTZ, object and array JSON
 * Errors  E_CONFIG for a table name, mode, keep or column type that cannot be; E_COLUMN for a column named as one of ours
 * @example located.pipe(mean8h).to(duckdb('air_8h', { keep: { days: 365 } }))
 */
export function duckdb(table: string, options: DuckdbOptions = {}): Target<unknown, object> {
  checkTableName(table);
  if (table === ALERTS_TABLE) throw new MillraceError('E_CONFIG', `duckdb table '${table}': alerts() fills this table; use another name`);
  const spec = tableSpec(table, options);
  const keep: Duration | undefined =
    spec.keepMs === undefined || (!spec.rebuild && spec.keepMs > RESULT_KEEP_MS) ? undefined : { ms: spec.keepMs };
  return Object.freeze({
    resolve: (pipelineId: string) => ({
      topic: topicBy(resultKey, `${pipelineId}.${table}`, resultCodec, keep === undefined ? {} : { keep }),
      table: spec,
    }),
  });
}

function tableSpec(table: string, options: DuckdbOptions): TableSpec {
  const where = `duckdb('${table}')`;
  for (const name of Object.keys(options))
    if (!OPTIONS.includes(name)) throw new MillraceError('E_CONFIG', `${where}: unknown option '${name}'; use ${OPTIONS.join(', ')}`);
  const { keep, mode, columns = {}, rebuild = true } = options;
  if (mode !== undefined && mode !== 'upsert' && mode !== 'append')
    throw new MillraceError('E_CONFIG', `${where}: mode must be 'upsert' or 'append', got '${String(mode)}'`);
  if (typeof rebuild !== 'boolean') throw new MillraceError('E_CONFIG', `${where}: rebuild must be true or false, got ${String(rebuild)}`);
  const keepMs = keep === undefined ? undefined : durationMs(keep, `${where}: keep`);
  if (keepMs === 0) throw new MillraceError('E_CONFIG', `${where}: keep must be longer than nothing`);
  const types: Record<string, string> = Object.create(null);
  for (const [field, type] of Object.entries(columns)) {
    if (isSystemColumn(field, table))
      throw new MillraceError('E_COLUMN', `${where}: the column '${field}' is one of ours; give the field another name`);
    types[field] = columnType(type, `${where}: column '${field}'`).sql;
  }
  return Object.freeze({
    name: table,
    ...(keepMs === undefined ? {} : { keepMs }),
    ...(mode === undefined ? {} : { mode }),
    columns: Object.freeze(types),
    rebuild,
  });
}
