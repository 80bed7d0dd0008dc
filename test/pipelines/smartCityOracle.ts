// The same results by another hand: DuckDB over the CSV the stations' readings came from.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** A row as both sides write it: text, numbers, null; times as epoch ms. */
export type OracleRow = Readonly<Record<string, string | number | null>>;

/** Runs test/golden/smart-city/oracle.sql; the rows of a table on demand. */
export async function smartCityOracle(): Promise<(table: string) => Promise<OracleRow[]>> {
  const db = await DuckDBInstance.create(':memory:');
  const connection = await db.connect();
  const set = async (name: string, path: string) => connection.run(`SET VARIABLE ${name} = '${here(path).replaceAll("'", "''")}'`);
  await set('data', '../../pipelines/smart-city/data/air.csv');
  await set('stations', '../../pipelines/smart-city/stations.csv');
  await connection.run(readFileSync(here('../golden/smart-city/oracle.sql'), 'utf8'));
  return async (table) => {
    const result = await connection.runAndReadAll(`FROM ${table}`);
    return result.getRowObjectsJS().map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)])));
  };
}

function plain(value: unknown): string | number | null {
  if (value === null || typeof value === 'string' || typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Date) return value.getTime();
  throw new Error(`a value the comparison does not know: ${String(value)}`);
}
