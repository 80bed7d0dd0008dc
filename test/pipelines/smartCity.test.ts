// The smart city on all of its real data, against the oracle: every row of every table.
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import smartCity from '../../pipelines/smart-city/pipeline.ts';
import type { Driver } from '../../testing/drive.ts';
import { playThrough } from './playThrough.ts';
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

/** Rows by identity; the same identity twice is an error of its own. */
function byIdentity(rows: readonly OracleRow[], identity: (row: OracleRow) => string): Map<string, OracleRow> {
  const map = new Map(rows.map((row) => [identity(row), row]));
  expect(map.size).toBe(rows.length);
  return map;
}

function expectSame(got: ReadonlyMap<string, OracleRow>, wanted: ReadonlyMap<string, OracleRow>, fields: readonly string[]): void {
  expect([...got.keys()].sort()).toEqual([...wanted.keys()].sort());
  const differences = [...wanted].flatMap(([identity, row]) =>
    fields.flatMap((field) => {
      const [a, b] = [got.get(identity)?.[field] ?? null, row[field] ?? null];
      const same = typeof a === 'number' && typeof b === 'number' ? Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b)) : a === b;
      return same ? [] : [`${identity}, ${field}: pipeline ${a}, oracle ${b}`];
    }),
  );
  expect(differences).toEqual([]);
}

const MEANS = ['so2', 'no2', 'pm10', 'co', 'o3', 'pm25'];

describe('all 75 days', () => {
  test.each([
    ['air_8h', 8, ['district', 'area', 'readings', ...MEANS], 10_834],
    ['air_24h', 24, ['district', 'area', 'readings', ...MEANS], 10_938],
    ['district_8h', 8, ['stations', ...MEANS], 10_834],
    ['district_24h', 24, ['stations', ...MEANS], 10_938],
    ['area_24h', 24, ['stations', ...MEANS], 5_469],
    ['air_index', 1, ['district', ...MEANS, 'aqi', 'level', 'primaryPollutant', 'pollutants'], 10_938],
  ] as const)('%s', async (table, hours, fields, rows) => {
    const got = written(table);
    expect(got).toHaveLength(rows);
    for (const { startMs, endMs, eventTimeMs } of got) {
      expect(Number(endMs) - Number(startMs)).toBe(hours * 3_600_000);
      expect(eventTimeMs).toBe(Number(endMs) - 1);
    }
    expectSame(
      byIdentity(got, (row) => `${row['key']} ${row['endMs']}`),
      byIdentity(await oracle(table), (row) => `${row['key']} ${row['ends']}`),
      fields,
    );
  });

  test('what was not believed is kept: 81 hours of PM2.5 above PM10', async () => {
    const identity = (time: string) => (row: OracleRow) => `${row['key']} ${row[time]} ${row['pollutant']}`;
    const got = byIdentity(written('air_rejected'), identity('eventTimeMs'));
    expect(got.size).toBe(162);
    expectSame(got, byIdentity(await oracle('air_rejected'), identity('t')), ['value', 'reason']);
  });

  test('every alarm at its time', async () => {
    const identity = (time: string) => (row: OracleRow) =>
      `${row['rule']} ${row['key']} ${row['state']} ${new Date(Number(row[time])).toISOString()}`;
    const got = byIdentity(written('alerts'), identity('atMs'));
    expectSame(got, byIdentity(await oracle('alerts'), identity('moment')), ['value']);
    expect([...got.keys()]).toContain('silent-station Guanyuan firing 2017-02-27T10:30:00.000Z');
    expect([...got.keys()].filter((k) => k.startsWith('unhealthy-air') && k.includes('firing')).length).toBeGreaterThan(20);
  });

  test('nothing was late, nothing was lost', () => {
    expect(written('air_late')).toEqual([]);
    expect(driver.deadLetters()).toEqual([]);
    expect(Object.keys(driver.counters()).filter((name) => /late|dropped|dead/.test(name))).toEqual([]);
  });
});
