// duckdb() and alerts(): what a pipeline file may write, and what it is told otherwise.
import { describe, expect, it } from 'vitest';
import { resultCodec } from '../../engine/resultCodec.ts';
import { alerts } from '../../sinks/alerts.ts';
import { columnType } from '../../sinks/columnType.ts';
import { type DuckdbOptions, duckdb } from '../../sinks/duckdb.ts';
import { resultKey } from '../../sinks/resultKey.ts';

const DAY_MS = 86_400_000;

describe('duckdb', () => {
  it('is a topic of the pipeline and a table of its own', () => {
    const { topic, table } = duckdb('air_8h', { columns: { n: 'utinyint', 'Ä"': 'numeric(5)' }, mode: 'upsert' }).resolve('city');
    expect(topic).toMatchObject({ name: 'city.air_8h', compact: false, keepMs: undefined });
    expect(topic.codec).toBe(resultCodec);
    expect(table).toEqual({ name: 'air_8h', mode: 'upsert', columns: { n: 'UTINYINT', 'Ä"': 'DECIMAL(5,0)' }, rebuild: true });
  });

  it('lets the log keep what the table keeps, unless it need not be rebuilt', () => {
    const keepOf = (options: DuckdbOptions) => {
      const { topic, table } = duckdb('t', options).resolve('p');
      return [topic.keepMs, table?.keepMs];
    };
    expect(keepOf({})).toEqual([undefined, undefined]);
    expect(keepOf({ keep: { days: 365 } })).toEqual([365 * DAY_MS, 365 * DAY_MS]);
    expect(keepOf({ keep: { days: 365 }, rebuild: false })).toEqual([undefined, 365 * DAY_MS]);
    expect(keepOf({ keep: { days: 7 }, rebuild: false })).toEqual([7 * DAY_MS, 7 * DAY_MS]);
  });

  it.each<[string, DuckdbOptions, RegExp]>([
    ['', {}, /E_CONFIG: duckdb table ''/],
    ['1a', {}, /E_CONFIG/],
    ['Air', {}, /E_CONFIG: duckdb table 'Air': use 1 to 63 of a-z, 0-9 and '_'/],
    ['a-b', {}, /E_CONFIG/],
    ['a"; DROP TABLE x; --', {}, /E_CONFIG/],
    ['a'.repeat(64), {}, /E_CONFIG/],
    ['_millrace_positions', {}, /E_CONFIG: .*names beginning with _millrace_ are ours/],
    ['alerts', {}, /E_CONFIG: .*alerts\(\) fills this table/],
    ['t', { mode: 'replace' as 'append' }, /E_CONFIG: duckdb\('t'\): mode must be 'upsert' or 'append', got 'replace'/],
    ['t', { kep: 1 } as DuckdbOptions, /E_CONFIG: duckdb\('t'\): unknown option 'kep'; use keep, mode, columns, rebuild/],
    ['t', { keep: { days: 0 } }, /E_CONFIG: duckdb\('t'\): keep must be longer than nothing/],
    ['t', { keep: { weeks: 1 } as object }, /E_CONFIG: duckdb\('t'\): keep: unknown unit 'weeks'/],
    ['t', { rebuild: 'no' as unknown as boolean }, /E_CONFIG: duckdb\('t'\): rebuild must be true or false/],
    [
      't',
      { columns: { n: 'INTEGER); DROP TABLE t; --' } },
      /E_CONFIG: duckdb\('t'\): column 'n': 'INTEGER\); DROP TABLE t; --' is not a column type/,
    ],
    ['t', { columns: { n: 'STRUCT(a INT)' } }, /E_CONFIG/],
    ['t', { columns: { n: 1 as unknown as string } }, /E_CONFIG/],
    ['t', { columns: { Window_End: 'DOUBLE' } }, /E_COLUMN: duckdb\('t'\): the column 'Window_End' is one of ours/],
  ])('%s %o', (name, options, message) => {
    expect(() => duckdb(name, options)).toThrow(message);
  });
});

describe('columnType', () => {
  it.each([
    ['bool', 'BOOLEAN'],
    [' timestamp  with time zone ', 'TIMESTAMPTZ'],
    ['decimal', 'DECIMAL(18,3)'],
    ['DECIMAL( 38 , 38 )', 'DECIMAL(38,38)'],
    ['text', 'VARCHAR'],
  ])('%s is %s', (text, sql) => {
    expect(columnType(text, 'x').sql).toBe(sql);
  });

  it.each(['DECIMAL(39,1)', 'DECIMAL(5,6)', 'DECIMAL(0)', 'DECIMAL(1,2,3)', 'constructor', '__proto__', '', 'INTEGER[]', 'ENUM'])(
    '%s is refused',
    (text) => {
      expect(() => columnType(text, 'x')).toThrow(/E_CONFIG: x: /);
    },
  );
});

it('alerts is one topic a pipeline and one table for all', () => {
  const one = alerts().resolve('one');
  expect(one.topic.name).toBe('one.alerts');
  expect(one.table).toBe(alerts().resolve('two').table);
  expect(one.table).toMatchObject({ name: 'alerts', mode: 'append', rebuild: true });
});

it('resultKey writes text as it is and all else as JSON, and reads text', () => {
  const there = (key: unknown) => {
    const bytes = Buffer.from(resultKey.encode(key));
    return resultKey.decode(bytes, 0, bytes.length);
  };
  expect(there('a/ü')).toBe('a/ü');
  expect(there({ site: 1 })).toBe('{"site":1}');
  expect(there(5)).toBe('5');
  expect(there(5n)).toBe('{"$bigint":"5"}');
});
