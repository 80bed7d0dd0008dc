// One result table in DuckDB: its columns, and how a buffer of rows gets in.
import { type DuckDBConnection, DuckDBDataChunk, VARCHAR } from '@duckdb/node-api';
import { MillraceError } from '../engine/errors.ts';
import type { TableSpec } from '../engine/topic.ts';
import { columnType } from './columnType.ts';
import { foldName, quoteName } from './quoteName.ts';
import { type BufferColumn, RowBuffer } from './rowBuffer.ts';
import { ALERTS_TABLE, isSystemColumn } from './systemColumns.ts';

/** Rows DuckDB takes at once. */
const CHUNK_ROWS = 2_048;

/**
 * Opens the table, creating it when it is missing. A table whose mode or declared column types have changed is emptied,
 * with the positions of its topics, so that it fills again from the log.
 *
 * Errors  E_NOT_REBUILDABLE when it changed and may not be rebuilt
 */
export async function openTable(connection: DuckDBConnection, spec: TableSpec, tell: (message: string) => void): Promise<TableWriter> {
  const found = await storedColumns(connection, spec.name);
  const change = await changeOf(connection, spec, found);
  if (change !== undefined) {
    if (!spec.rebuild)
      throw new MillraceError(
        'E_NOT_REBUILDABLE',
        `table '${spec.name}': ${change}, and with rebuild: false it cannot be filled again; use another name, or set it back`,
      );
    tell(`table '${spec.name}': ${change}; it is rebuilt from the log`);
    await forgetTable(connection, spec.name);
    found.clear();
  }
  const buffer = new RowBuffer(spec, spec.name === ALERTS_TABLE);
  for (const [name, type] of found) if (!isSystemColumn(name, spec.name)) buffer.addColumn(name, type);
  if (found.size === 0) {
    buffer.windowed = true;
    await connection.run('BEGIN');
    await create(connection, spec, buffer.columns);
    await connection.run('COMMIT');
    buffer.windowed = false;
    return new TableWriter(connection, spec, buffer, [], true);
  }
  const isEmpty = (await connection.runAndReadAll(`SELECT 1 FROM ${quoteName(spec.name)} LIMIT 1`)).currentRowCount === 0;
  buffer.windowed = !isEmpty && found.has('window_start');
  return new TableWriter(connection, spec, buffer, [...found.keys()], isEmpty);
}

/** A table that is open for writing on one connection. After an error it is void. */
export class TableWriter {
  readonly buffer: RowBuffer;
  readonly #connection: DuckDBConnection;
  readonly #spec: TableSpec;
  readonly #table: string;
  /** Columns the stored table has, folded, in its order. */
  readonly #has: Set<string>;
  #isEmpty: boolean;
  /** The stage's column definitions. */
  #staged = '';

  constructor(connection: DuckDBConnection, spec: TableSpec, buffer: RowBuffer, stored: readonly string[], isEmpty: boolean) {
    this.#connection = connection;
    this.#spec = spec;
    this.buffer = buffer;
    this.#table = quoteName(spec.name);
    this.#has = new Set(stored.map(foldName));
    this.#isEmpty = isEmpty;
  }

  /** Writes the buffer inside the open transaction. The buffer stays as it is: the caller clears it after the commit. */
  async write(): Promise<void> {
    const { buffer } = this;
    if (buffer.gone.size > 0) await deleteKeys(this.#connection, this.#table, [...buffer.gone]);
    if (buffer.rowCount === 0) return;
    await this.#addColumns(buffer.columns);
    const { columns } = buffer;
    const replaced = replacedRows(this.#spec, columns);
    if (replaced === undefined) {
      const byName = new Map(columns.map((column) => [foldName(column.name), column]));
      const ordered = [...this.#has].map((name) => byName.get(name) as BufferColumn);
      return append(this.#connection, [this.#spec.name, 'main'], ordered, buffer.rowCount);
    }
    const stage = await this.#stage(columns);
    const names = columns.map(({ name }) => quoteName(name)).join(', ');
    await this.#connection.run(`DELETE FROM ${this.#table} AS t USING ${stage} AS s WHERE ${replaced}`);
    await this.#connection.run(`INSERT INTO ${this.#table} (${names}) SELECT ${names} FROM ${stage}`);
    await this.#connection.run(`TRUNCATE ${stage}`);
  }

  /** Deletes rows that arrived before `beforeMs`, inside the open transaction. Answers how many. */
  async expire(beforeMs: number): Promise<number> {
    const before = `make_timestamptz(${Math.floor(beforeMs)}::BIGINT * 1000)`;
    return (await this.#connection.run(`DELETE FROM ${this.#table} WHERE _append_time < ${before}`)).rowsChanged;
  }

  /** Adds what is missing. A table without rows is made anew, so that its columns stand in the order of its first rows. */
  async #addColumns(columns: readonly BufferColumn[]): Promise<void> {
    if (this.#isEmpty) {
      await this.#connection.run(`DROP TABLE ${this.#table}`);
      await create(this.#connection, this.#spec, columns);
      this.#has.clear();
      this.#isEmpty = false;
    } else
      for (const { name, type } of columns)
        if (!this.#has.has(foldName(name)))
          await this.#connection.run(`ALTER TABLE ${this.#table} ADD COLUMN ${quoteName(name)} ${type.sql}`);
    for (const { name } of columns) this.#has.add(foldName(name));
  }

  /** The rows in a table of their own that nobody else sees. Answers its name. */
  async #stage(columns: readonly BufferColumn[]): Promise<string> {
    const name = `_millrace_stage_${this.#spec.name}`;
    const definition = columns.map(({ name, type }) => `${quoteName(name)} ${type.sql}`).join(', ');
    if (definition !== this.#staged) await this.#connection.run(`CREATE OR REPLACE TEMP TABLE ${quoteName(name)} (${definition})`);
    this.#staged = definition;
    await append(this.#connection, [name, 'main', 'temp'], columns, this.buffer.rowCount);
    return `temp.main.${quoteName(name)}`;
  }
}

/** Hands rows over, column by column. The columns are all of the table's, in its order. */
async function append(
  connection: DuckDBConnection,
  table: readonly [name: string, schema: string, catalog?: string],
  columns: readonly BufferColumn[],
  rowCount: number,
): Promise<void> {
  const appender = await connection.createAppender(...table);
  const types = columns.map(({ fit }) => fit.stage);
  for (let from = 0; from < rowCount; from += CHUNK_ROWS) {
    const chunk = DuckDBDataChunk.create(types);
    const to = Math.min(from + CHUNK_ROWS, rowCount);
    chunk.setColumns(columns.map(({ values }) => values.slice(from, to)));
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
}

/**
 * Which rows of the table t give way to those of the stage s. Without mode only windowed rows have an identity:
 * an equality never holds for the null window of the others.
 */
function replacedRows(spec: TableSpec, columns: readonly BufferColumn[]): string | undefined {
  if (spec.mode === 'append') return undefined;
  const start = columns.find(({ name }) => name === 'window_start');
  if (start === undefined) return spec.mode === 'upsert' ? 't.key IS NOT DISTINCT FROM s.key' : undefined;
  return `t.window_start ${spec.mode === 'upsert' ? 'IS NOT DISTINCT FROM' : '='} s.window_start AND t.key IS NOT DISTINCT FROM s.key`;
}

async function create(connection: DuckDBConnection, spec: TableSpec, columns: readonly BufferColumn[]): Promise<void> {
  const definition = columns.map(({ name, type }) => `${quoteName(name)} ${type.sql}`).join(', ');
  await connection.run(`CREATE TABLE ${quoteName(spec.name)} (${definition})`);
  await connection.run('DELETE FROM _millrace_tables WHERE name = $1', [spec.name]);
  await connection.run('INSERT INTO _millrace_tables VALUES ($1, $2)', [spec.name, modeName(spec)]);
}

const modeName = ({ mode }: TableSpec): string => mode ?? 'auto';

/** Columns of a stored table by name, in their order; empty when there is no such table. */
async function storedColumns(connection: DuckDBConnection, name: string): Promise<Map<string, string>> {
  const found = await connection.runAndReadAll(
    `SELECT column_name, data_type FROM duckdb_columns()
     WHERE database_name = current_database() AND schema_name = 'main' AND table_name = $1 ORDER BY column_index`,
    [name],
  );
  return new Map(found.getRows().map(([column, type]) => [String(column), String(type)]));
}

/** What the definition says differently from the stored table; undefined when they agree. */
async function changeOf(connection: DuckDBConnection, spec: TableSpec, found: ReadonlyMap<string, string>): Promise<string | undefined> {
  if (found.size === 0) return undefined;
  const stored = (await connection.runAndReadAll('SELECT mode FROM _millrace_tables WHERE name = $1', [spec.name])).getRows()[0]?.[0];
  if (stored !== modeName(spec)) return `its mode changed from ${String(stored)} to ${modeName(spec)}`;
  const types = new Map([...found].map(([name, type]) => [foldName(name), type]));
  for (const [field, type] of Object.entries(spec.columns)) {
    const held = types.get(foldName(field));
    const where = `table '${spec.name}', column '${field}'`;
    if (held !== undefined && columnType(held, where).sql !== columnType(type, where).sql)
      return `its column '${field}' changed from ${held} to ${type}`;
  }
  return undefined;
}

async function forgetTable(connection: DuckDBConnection, name: string): Promise<void> {
  await connection.run('BEGIN');
  await connection.run(`DROP TABLE ${quoteName(name)}`);
  for (const table of ['_millrace_positions', '_millrace_gaps', '_millrace_dead_letters'])
    await connection.run(`DELETE FROM ${table} WHERE table_name = $1`, [name]);
  await connection.run('DELETE FROM _millrace_tables WHERE name = $1', [name]);
  await connection.run('COMMIT');
}

async function deleteKeys(connection: DuckDBConnection, table: string, keys: readonly (string | null)[]): Promise<void> {
  await connection.run('CREATE TEMP TABLE IF NOT EXISTS _millrace_gone (key VARCHAR)');
  const appender = await connection.createAppender('_millrace_gone', 'main', 'temp');
  for (let from = 0; from < keys.length; from += CHUNK_ROWS) {
    const chunk = DuckDBDataChunk.create([VARCHAR]);
    chunk.setColumns([keys.slice(from, from + CHUNK_ROWS)]);
    appender.appendDataChunk(chunk);
  }
  appender.closeSync();
  await connection.run(`DELETE FROM ${table} AS t USING temp.main._millrace_gone AS s WHERE t.key IS NOT DISTINCT FROM s.key`);
  await connection.run('TRUNCATE temp.main._millrace_gone');
}
