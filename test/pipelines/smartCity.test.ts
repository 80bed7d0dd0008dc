// The smart city on all of its real data, against the oracle: every row of every table.
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import smartCity from '../../pipelines/smart-city/pipeline.ts';
import type { Driver } from '../../testing/drive.ts';
import { playThrough } from './playThrough.ts';
import { expectSameRows, WINDOWED } from './sameRows.ts';
import { type OracleRow, smartCityOracle } from './smartCityOracle.ts';

const file = fileURLToPath(new URL('../../pipelines/smart-city/pipeline.ts', import.meta.url));

let driver: Driver;
let oracle: (table: string) => Promise<OracleRow[]>;
beforeAll(async () => {
  [driver, oracle] = await Promise.all([playThrough(smartCity, file, 'smart-city', { commitEvery: 500 }), smartCityOracle()]);
}, 120_000);

/** What the pipeline wrote to a table: key, event time, and the value's fields. */
function written(table: string): OracleRow[] {
  const topic = driver.plan.tables.find((t) => t.table.name === table)?.topic;
  if (topic === undefined) throw new Error(`no table ${table}`);
  return driver.read(topic).map(({ key, value, eventTimeMs }) => ({ key, eventTimeMs, ...value }));
}

describe('all 75 days', () => {
  test.each(WINDOWED)('$table', async ({ table, hours, fields, rows }) => {
    const got = written(table).map((row) => ({ ...row, ends: row['endMs'] ?? null }));
    expect(got).toHaveLength(rows);
    for (const { startMs, endMs, eventTimeMs } of got as OracleRow[]) {
      expect(Number(endMs) - Number(startMs)).toBe(hours * 3_600_000);
      expect(eventTimeMs).toBe(Number(endMs) - 1);
    }
    expectSameRows(got, await oracle(table), (row) => `${row['key']} ${row['ends']}`, fields);
  });

  test('what was not believed is kept: 81 hours of PM2.5 above PM10', async () => {
    const got = written('air_rejected').map((row) => ({ ...row, t: row['eventTimeMs'] ?? null }));
    expect(got).toHaveLength(162);
    expectSameRows(got, await oracle('air_rejected'), (row) => `${row['key']} ${row['t']} ${row['pollutant']}`, ['value', 'reason']);
  });

  test('every alarm at its time', async () => {
    const identity = (row: OracleRow) => `${row['rule']} ${row['key']} ${row['state']} ${new Date(Number(row['moment'])).toISOString()}`;
    const got: OracleRow[] = written('alerts').map((row) => ({ ...row, moment: row['atMs'] ?? null }));
    expectSameRows(got, await oracle('alerts'), identity, ['value']);
    expect(got.map(identity)).toContain('silent-station Guanyuan firing 2017-02-27T10:30:00.000Z');
    expect(got.filter((row) => row['rule'] === 'unhealthy-air' && row['state'] === 'firing').length).toBeGreaterThan(20);
  });

  test('nothing was late, nothing was lost', () => {
    expect(written('air_late')).toEqual([]);
    expect(driver.deadLetters()).toEqual([]);
    expect(Object.keys(driver.counters()).filter((name) => /late|dropped|dead/.test(name))).toEqual([]);
  });
});
