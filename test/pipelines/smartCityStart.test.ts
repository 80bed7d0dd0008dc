// The smart city as users start it: real processes, MQTT, the log, DuckDB; then every row against the oracle.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { call, interrupt, type Started, startRun, start, temporaryFolder } from '../runtime/cliProcess.ts';
import { expectSameRows, WINDOWED } from './sameRows.ts';
import { type OracleRow, smartCityOracle } from './smartCityOracle.ts';

const QUERIES = fileURLToPath(new URL('../../pipelines/smart-city/queries/', import.meta.url));

let folder: ReturnType<typeof temporaryFolder>;
let oracle: (table: string) => Promise<OracleRow[]>;
const runs: Started[] = [];
beforeAll(async () => {
  folder = temporaryFolder();
  oracle = await smartCityOracle();
}, 60_000);
afterAll(async () => {
  for (const run of runs) {
    run.child.kill('SIGKILL');
    await run.ended;
  }
  folder.remove();
});

/** The columns to compare, with the window's end as epoch ms. */
const windowedSql = (table: string, fields: readonly string[]) =>
  `SELECT key, epoch_ms(window_end)::DOUBLE AS ends, ${fields.map((field) => `"${field}"`).join(', ')} FROM ${table}`;

/** The results of a run that is over. */
async function results(data: string): Promise<(sql: string) => Promise<OracleRow[]>> {
  const db = await DuckDBInstance.create(join(data, 'results.duckdb'), { access_mode: 'READ_ONLY' });
  const connection = await db.connect();
  return async (sql) => {
    const rows = (await connection.runAndReadAll(sql)).getRowObjectsJS();
    return rows.map((row) =>
      Object.fromEntries(Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value])),
    ) as OracleRow[];
  };
}

describe('--until-end', () => {
  test('plays all 75 days, exits with 0, and DuckDB holds what the oracle says, row for row', { timeout: 300_000 }, async () => {
    const data = join(folder.dir, 'all');
    const run = start(
      ['run', 'smart-city', '--play', 'smart-city', '--speed', '0', '--until-end', '--data', data, '--mqtt-port', '0', '--http-port', '0'],
      { cwd: folder.dir },
    );
    runs.push(run);
    const { code, stderr } = await run.ended;
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    expect(stderr).toContain('play smart-city: 10,689 of 10,689 records acknowledged, at 2017-02-28T15:00:00Z: the end');

    const sql = await results(data);
    for (const { table, fields } of WINDOWED)
      expectSameRows(await sql(windowedSql(table, fields)), await oracle(table), (row) => `${row['key']} ${row['ends']}`, fields);
    expectSameRows(
      await sql('SELECT key, epoch_ms(_event_time)::DOUBLE AS t, pollutant, value, reason FROM air_rejected'),
      await oracle('air_rejected'),
      (row) => `${row['key']} ${row['t']} ${row['pollutant']}`,
      ['value', 'reason'],
    );
    expectSameRows(
      await sql('SELECT key, rule, state, atMs::DOUBLE AS moment, value FROM alerts'),
      await oracle('alerts'),
      (row) => `${row['rule']} ${row['key']} ${row['state']} ${row['moment']}`,
      ['value'],
    );
    expect(await sql('SELECT count(*) AS n FROM air_late')).toEqual([{ n: 0 }]);
    for (const name of readdirSync(QUERIES)) {
      const rows = await sql(readFileSync(join(QUERIES, name), 'utf8'));
      expect({ name, some: rows.length > 0 }).toEqual({ name, some: true });
    }
  });
});

describe('npm start', () => {
  const data = () => join(folder.dir, 'start');
  const run = async (...args: string[]) => {
    const started = await startRun(['smart-city', '--play', 'smart-city', '--data', data(), ...args], { cwd: folder.dir });
    runs.push(started);
    return started;
  };
  const query = async (sql: string): Promise<OracleRow[]> => {
    const { code, stdout, stderr } = await call(['query', sql, '--format', 'json', '--data', data()], { cwd: folder.dir });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as OracleRow[];
  };
  /** Asks until the answer is there. */
  const untilRows = async (sql: string, enough: (rows: readonly OracleRow[]) => boolean): Promise<OracleRow[]> => {
    for (;;) {
      const rows = await query(sql);
      if (enough(rows)) return rows;
      await sleep(200);
    }
  };
  const position = (): number => {
    const { plays } = JSON.parse(readFileSync(join(data(), 'player.json'), 'utf8')) as { plays: Record<string, { position: number }> };
    return Object.values(plays)[0]?.position ?? 0;
  };

  test('shows real means, stops within 5 s, and a second start goes on without counting anything twice', { timeout: 240_000 }, async () => {
    const first = await run();
    const means = await untilRows(
      'SELECT * FROM air_8h ORDER BY window_end DESC LIMIT 5',
      (rows) => rows.length === 5 && rows.every((row) => typeof row['pm25'] === 'number'),
    );
    expect(means).toHaveLength(5);
    const askedMs = performance.now();
    expect((await interrupt(first)).code).toBe(0);
    expect(performance.now() - askedMs).toBeLessThan(5_000);
    const stoppedAt = position();
    expect(stoppedAt).toBeGreaterThan(0);

    const second = await run('--speed', '36000');
    const latest = 'SELECT epoch_ms(max(window_end))::DOUBLE AS ends FROM air_index WHERE aqi IS NOT NULL';
    const days = (n: number) => Date.UTC(2016, 11, 15, 16) + n * 86_400_000;
    await untilRows(latest, ([row]) => Number(row?.['ends'] ?? 0) >= days(6));
    await interrupt(second);
    expect(position()).toBeGreaterThan(stoppedAt);

    const sql = await results(data());
    for (const { table, fields } of WINDOWED) {
      const got = await sql(windowedSql(table, fields));
      const until = Math.max(...got.map((row) => row['ends'] as number));
      const wanted = (await oracle(table)).filter((row) => (row['ends'] as number) <= until);
      expectSameRows(got, wanted, (row) => `${row['key']} ${row['ends']}`, fields);
    }
    expect(await sql('SELECT count(*) AS n FROM air_late')).toEqual([{ n: 0 }]);
  });
});
