// One SELECT over the result tables, within limits: on a connection of its own, read-only, with a time and a size it may take.
import type { DuckDBConnection, DuckDBResult } from '@duckdb/node-api';
import { StatementType } from '@duckdb/node-api';
import { MillraceError, messageOf } from '../engine/errors.ts';
import { checkQuery } from './queryGate.ts';
import { jsonValue, typeName } from './queryValue.ts';

export interface QueryLimits {
  /** Longest time a query may run. Unit: ms. */
  readonly timeoutMs: number;
  /** Most rows handed back. */
  readonly rowsMax: number;
  /** Most text handed back. Unit: characters, about. */
  readonly charactersMax: number;
  /** Queries at the same time; one more is refused. */
  readonly atOnceMax: number;
}

export const DEFAULT_LIMITS: QueryLimits = { timeoutMs: 30_000, rowsMax: 10_000, charactersMax: 32 << 20, atOnceMax: 4 };

export interface QueryResult {
  readonly columns: readonly string[];
  /** DuckDB's types, by column. */
  readonly types: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** True when there were more rows than the limits allow. */
  readonly truncated: boolean;
  readonly elapsedMs: number;
}

/** Lends connections to the result file, one a call. */
export type Lend = <T>(work: (connection: DuckDBConnection) => Promise<T>) => Promise<T>;

/** Answers queries. */
export interface QueryRunner {
  /** Errors: E_QUERY with DuckDB's own words, or what was refused and why */
  run(sql: string): Promise<QueryResult>;
}

/** A runner over the connections that `lend` gives. */
export function queryRunner(lend: Lend, limits: QueryLimits = DEFAULT_LIMITS): QueryRunner {
  let running = 0;
  return {
    async run(sql) {
      if (running >= limits.atOnceMax)
        throw new MillraceError('E_QUERY', `${running} queries are running already; try again when one is done`);
      running++;
      try {
        return await lend((connection) => runQuery(connection, sql, limits));
      } catch (error) {
        throw error instanceof MillraceError ? error : new MillraceError('E_QUERY', messageOf(error), { cause: error });
      } finally {
        running--;
      }
    },
  };
}

async function runQuery(connection: DuckDBConnection, sql: string, limits: QueryLimits): Promise<QueryResult> {
  const startedMs = performance.now();
  let isLate = false;
  const timer = setInterval(
    () => {
      isLate = performance.now() - startedMs >= limits.timeoutMs;
      if (isLate) connection.interrupt();
    },
    Math.max(5, Math.min(limits.timeoutMs, 100)),
  );
  try {
    await checkQuery(connection, sql);
    const extracted = await connection.extractStatements(sql);
    if (extracted.count !== 1) throw new MillraceError('E_QUERY', `one statement at a time, got ${extracted.count}`);
    await connection.run('BEGIN TRANSACTION READ ONLY');
    const prepared = await extracted.prepare(0);
    if (prepared.statementType !== StatementType.SELECT) throw new MillraceError('E_QUERY', 'only SELECT is allowed');
    const result = await prepared.stream();
    return { ...(await readRows(result, limits, () => isLate)), elapsedMs: Math.round(performance.now() - startedMs) };
  } catch (error) {
    if (isLate && !(error instanceof MillraceError))
      throw new MillraceError(
        'E_QUERY',
        `it ran for more than ${limits.timeoutMs / 1000} s and was stopped; narrow it down with WHERE or LIMIT`,
        { cause: error },
      );
    throw error;
  } finally {
    clearInterval(timer);
    await connection.run('ROLLBACK').catch(() => {});
  }
}

async function readRows(result: DuckDBResult, limits: QueryLimits, isLate: () => boolean): Promise<Omit<QueryResult, 'elapsedMs'>> {
  const columns = result.deduplicatedColumnNames();
  const types = result.columnTypes();
  const rows: unknown[][] = [];
  let characters = 0;
  let truncated = false;
  while (!truncated) {
    if (isLate()) throw new Error('INTERRUPT Error: late');
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    for (const values of chunk.getRows()) {
      if (rows.length >= limits.rowsMax || characters >= limits.charactersMax) {
        truncated = true;
        break;
      }
      const row = values.map((value, i) => jsonValue(value, types[i]));
      for (const cell of row)
        characters +=
          typeof cell === 'string' ? cell.length + 2 : typeof cell === 'object' && cell !== null ? JSON.stringify(cell).length : 8;
      rows.push(row);
    }
  }
  return { columns, types: types.map(typeName), rows, truncated };
}
