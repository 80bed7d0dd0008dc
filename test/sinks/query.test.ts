// Queries: what they answer, what they are refused, and that none of a long list of attempts leaves a trace.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { duckdb } from '../../sinks/duckdb.ts';
import { DEFAULT_LIMITS, type QueryRunner, queryRunner } from '../../sinks/query.ts';
import { deskBed, deskTable } from './deskBed.ts';

let bed: Awaited<ReturnType<typeof deskBed>>;
let query: QueryRunner;
let limited: (limits: Partial<typeof DEFAULT_LIMITS>) => QueryRunner;

beforeAll(async () => {
  bed = await deskBed([deskTable(duckdb('air')), deskTable(duckdb('places', { mode: 'upsert' }))]);
  const writer = bed.start();
  await bed.put([
    ['a', { startMs: 0, endMs: 60_000, mean: 1.5, list: [1, { x: null }], n: 5n }, 7_000],
    ['b', { startMs: 0, endMs: 60_000, mean: Number.NaN, list: {}, n: 2n ** 60n }, 8_000],
  ]);
  await bed.put([['a', { name: 'Süd, "alt"' }]], 'line.places');
  await writer.drain();
  query = queryRunner((work) => writer.lend(work));
  limited = (limits) => queryRunner((work) => writer.lend(work), { ...DEFAULT_LIMITS, ...limits });
});
afterAll(() => bed.clean());

describe('answers', () => {
  it('rows with names and types, all of it JSON', async () => {
    const { columns, types, rows, truncated } = await query.run('SELECT key, window_end, mean, list, n, _event_time FROM air ORDER BY key');
    expect(columns).toEqual(['key', 'window_end', 'mean', 'list', 'n', '_event_time']);
    expect(types).toEqual(['VARCHAR', 'TIMESTAMPTZ', 'DOUBLE', 'JSON', 'BIGINT', 'TIMESTAMPTZ']);
    expect(rows).toEqual([
      ['a', '1970-01-01T00:01:00.000Z', 1.5, [1, { x: null }], 5, '1970-01-01T00:00:07.000Z'],
      ['b', '1970-01-01T00:01:00.000Z', 'NaN', {}, String(2n ** 60n), '1970-01-01T00:00:08.000Z'],
    ]);
    expect(truncated).toBe(false);
    expect(JSON.parse(JSON.stringify(rows))).toEqual(rows);
  });

  it('every kind of value', async () => {
    const sql = `SELECT 1.50 a, 12345678901234567890.5 b, DATE '2024-02-29' c, TIMESTAMP '2024-01-01 00:00:00.000001' d, [1, NULL] e,
      {'x': 1, 'y': 2} f, MAP {'k': 1} g, 'a\\xFF'::BLOB h, INTERVAL 1 DAY i, 'infinity'::TIMESTAMPTZ j, 'inf'::DOUBLE k, NULL l, 1 AS a,
      TIMESTAMPTZ '1969-12-31 23:59:59.999999+00' m, 18446744073709551615::UBIGINT n, uuid() IS NOT NULL o, TIME '01:02:03' p, 2::TINYINT q`;
    const { columns, rows } = await query.run(sql);
    expect(columns.slice(0, 13)).toEqual([...'abcdefghijkl', 'a:1']);
    expect(rows[0]).toEqual([
      1.5,
      '12345678901234567890.5',
      '2024-02-29',
      '2024-01-01T00:00:00.000001',
      [1, null],
      { x: 1, y: 2 },
      [{ key: 'k', value: 1 }],
      'a\\xFF',
      '1 day',
      'infinity',
      'Infinity',
      null,
      1,
      '1969-12-31T23:59:59.999999Z',
      '18446744073709551615',
      true,
      '01:02:03',
      2,
    ]);
  });

  it.each([
    'FROM air',
    'DESCRIBE air',
    'SUMMARIZE places',
    'SHOW TABLES',
    'SHOW ALL TABLES',
    'TABLE air',
    'VALUES (1)',
    'SELECT 1;',
    'select 1 -- done',
    'WITH x AS (SELECT * FROM air) SELECT * FROM x',
    'SELECT * FROM main.AIR a JOIN places p USING (key)',
    'SELECT * FROM range(3), unnest([1,2])',
    'WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t',
    'SELECT * FROM _millrace_positions',
    "SELECT time_bucket(INTERVAL 1 HOUR, window_end AT TIME ZONE 'Asia/Shanghai') FROM air",
    'SELECT * FROM information_schema.tables',
    'SELECT * FROM (PIVOT air ON key IN (1, 2) USING count(*))',
    'SELECT mean FROM air QUALIFY row_number() OVER (PARTITION BY key) = 1',
    "SELECT json_extract(list, '$[0]') FROM air",
    'SELECT * FROM air ASOF JOIN places USING (key, _event_time)',
    'SELECT count(*) FILTER (mean > 1) FROM air',
    'SELECT (SELECT max(mean) FROM air a2 WHERE a2.key = a.key) FROM air a',
    'SELECT * FROM air UNION ALL BY NAME SELECT * FROM places',
  ])('%s', async (sql) => {
    expect((await query.run(sql)).columns.length).toBeGreaterThan(0);
  });

  it('at most so many rows and characters, and says that there were more', async () => {
    expect(await limited({ rowsMax: 5 }).run('SELECT * FROM range(6)')).toMatchObject({ rows: [[0], [1], [2], [3], [4]], truncated: true });
    expect(await limited({ rowsMax: 5 }).run('SELECT * FROM range(5)')).toMatchObject({ truncated: false });
    expect(await limited({ rowsMax: 3_000 }).run('SELECT * FROM range(10_000_000_000)')).toMatchObject({ truncated: true });
    const wide = await limited({ charactersMax: 1_000 }).run("SELECT repeat('x', 100) FROM range(100)");
    expect(wide).toMatchObject({ truncated: true });
    expect(wide.rows.length).toBe(10);
  });
});

describe('refusals', () => {
  it.each([
    ['SELEC 1', /E_QUERY: .*syntax error at or near "SELEC"[\s\S]*LINE 1: SELEC 1/],
    ['SELECT nope FROM air', /E_QUERY: Binder Error: Referenced column "nope" not found/],
    ['SELECT * FROM aire', /E_QUERY: there is no table 'aire'; there are air, places/],
    ['SELECT 1; SELECT 2', /one statement at a time, got 2/],
    ['', /there is no statement in it/],
    ['SELECT 1e400', /too large for a double/],
    ['SELECT 1\0', /NUL/],
    ['DELETE FROM air', /only one SELECT statement is allowed/],
    ['SELECT ?', /E_QUERY/],
    ["SELECT 'x'::INTEGER", /E_QUERY: Conversion Error/],
  ])('%s', async (sql, message) => {
    await expect(query.run(sql)).rejects.toThrow(message);
  });

  it('a query that runs too long is stopped, and the next one runs', async () => {
    const startedMs = performance.now();
    await expect(
      limited({ timeoutMs: 300 }).run('SELECT count(*) FROM range(100_000_000_000) a WHERE hash(a.range) % 7 = 1'),
    ).rejects.toThrow(/E_QUERY: it ran for more than 0.3 s and was stopped/);
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    expect((await query.run('SELECT 1 AS x')).rows).toEqual([[1]]);
  });

  it('more at once than allowed', async () => {
    const few = limited({ atOnceMax: 1, timeoutMs: 500 });
    const slow = few.run('SELECT count(*) FROM range(100_000_000_000) a WHERE hash(a.range) % 7 = 1');
    await expect(few.run('SELECT 1')).rejects.toThrow(/E_QUERY: 1 queries are running already/);
    await expect(slow).rejects.toThrow(/was stopped/);
    expect((await few.run('SELECT 1')).rows).toEqual([[1]]);
  });

  it('what needs more memory than there is fails by itself', async () => {
    await expect(limited({ timeoutMs: 20_000 }).run("SELECT string_agg(repeat('x', 100_000_000), '') FROM range(100)")).rejects.toThrow(
      /E_QUERY/,
    );
    expect((await query.run('SELECT count(*) FROM air')).rows).toEqual([[2]]);
  });
});

/** PATH stands for the live file, DIR for its folder, SECRET for a file beside it. */
const ESCAPES = [
  "COPY (SELECT 'x') TO 'PATH' (USE_TMP_FILE false)",
  "COPY air TO 'DIR/out.csv'",
  "COPY air TO 'PATH.wal'",
  "COPY air FROM 'SECRET'",
  "EXPLAIN ANALYZE COPY (SELECT 'x') TO 'PATH'",
  "EXPLAIN COPY (SELECT 'x') TO 'PATH'",
  'EXPLAIN SELECT 1',
  'EXPLAIN ANALYZE SELECT 1',
  "EXPORT DATABASE 'DIR/x'",
  "IMPORT DATABASE 'DIR/x'",
  "ATTACH 'PATH' AS me",
  "ATTACH 'DIR/new.duckdb'",
  "ATTACH ':memory:' AS m",
  'DETACH results',
  'USE temp',
  "LOAD 'DIR/x.duckdb_extension'",
  'LOAD httpfs',
  'INSTALL httpfs',
  'FORCE INSTALL httpfs',
  'UPDATE EXTENSIONS',
  'SET enable_external_access = true',
  'SET lock_configuration = false',
  'RESET lock_configuration',
  "SET memory_limit = '100GB'",
  "SET temp_directory = '/'",
  'SET threads = 100',
  'SET VARIABLE x = 1',
  'PRAGMA database_list',
  'PRAGMA enable_profiling',
  "PRAGMA profiling_output='DIR/p.json'",
  "PRAGMA table_info('air')",
  'PRAGMA force_checkpoint',
  "PRAGMA import_database('DIR')",
  'PRAGMA enable_logging',
  'CALL enable_logging()',
  "CALL enable_logging(storage='file', storage_path='DIR')",
  'CALL pragma_version()',
  'CALL force_checkpoint()',
  'CHECKPOINT',
  'FORCE CHECKPOINT',
  'VACUUM',
  'ANALYZE',
  'INSERT INTO air (key) VALUES (1)',
  "UPDATE air SET key = 'x'",
  'DELETE FROM air',
  'TRUNCATE air',
  'DROP TABLE air',
  'DROP SCHEMA main CASCADE',
  'CREATE TABLE t (a INT)',
  'CREATE TEMP TABLE t (a INT)',
  'CREATE TABLE t AS SELECT 1',
  'CREATE VIEW v AS SELECT 1',
  'CREATE OR REPLACE TABLE air AS SELECT 1',
  'CREATE MACRO m() AS 1',
  "CREATE MACRO m() AS TABLE SELECT * FROM read_text('SECRET')",
  'CREATE SEQUENCE s',
  'CREATE TYPE t AS INT',
  'CREATE SCHEMA s',
  'CREATE INDEX i ON air (key)',
  "CREATE SECRET s (TYPE S3, KEY_ID 'x')",
  'CREATE PERSISTENT SECRET s (TYPE S3)',
  'DROP SECRET s',
  'ALTER TABLE air ADD COLUMN x INT',
  'ALTER TABLE air RENAME TO b',
  "COMMENT ON TABLE air IS 'x'",
  'MERGE INTO air USING places ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  'BEGIN; DROP TABLE air; COMMIT',
  'SELECT 1; DROP TABLE air',
  'SELECT 1; COMMIT; DELETE FROM air',
  'PREPARE p AS DELETE FROM air',
  'EXECUTE p',
  'DEALLOCATE p',
  'WITH x AS (DELETE FROM air RETURNING *) SELECT * FROM x',
  "WITH x AS (INSERT INTO air (key) VALUES ('x') RETURNING *) FROM x",
  "SELECT * FROM 'SECRET'",
  "SELECT * FROM 'DIR/*.csv'",
  `SELECT * FROM "SECRET"`,
  `WITH "SECRET" AS (SELECT 1) SELECT * FROM (SELECT * FROM 'DIR/*')`,
  "FROM 'PATH'",
  "FROM 'https://example.invalid/x.csv'",
  "FROM 's3://x/y.parquet'",
  "SELECT * FROM read_csv('SECRET')",
  "SELECT * FROM READ_CSV_AUTO('SECRET')",
  "SELECT * FROM main.read_csv('SECRET')",
  "SELECT * FROM system.main.read_text('SECRET')",
  `SELECT * FROM "read_text"('SECRET')`,
  "SELECT * FROM read_text('SECRET')",
  "SELECT * FROM read_blob('PATH')",
  "SELECT * FROM read_json('SECRET')",
  "SELECT * FROM read_json_auto('SECRET')",
  "SELECT * FROM read_ndjson('SECRET')",
  "SELECT * FROM read_ndjson_objects('SECRET')",
  "SELECT * FROM read_json_objects('SECRET')",
  "SELECT * FROM read_parquet('DIR/x.parquet')",
  "SELECT * FROM parquet_scan('DIR/x.parquet')",
  "SELECT * FROM parquet_metadata('DIR/x')",
  "SELECT * FROM parquet_schema('DIR/x')",
  "SELECT * FROM parquet_kv_metadata('x')",
  "SELECT * FROM parquet_bloom_probe('x', 'y', 1)",
  "SELECT * FROM read_duckdb('PATH')",
  "SELECT * FROM glob('DIR/*')",
  "SELECT * FROM glob('/etc/*')",
  "SELECT * FROM sniff_csv('SECRET')",
  "SELECT * FROM query('SELECT 1')",
  "SELECT * FROM query_table('air')",
  "SELECT * FROM query('FROM read_text(''SECRET'')')",
  "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
  "SELECT json_serialize_plan('SELECT 1')",
  "SELECT json_serialize_sql('SELECT 1')",
  "SELECT json_deserialize_sql('{}')",
  "SELECT * FROM sql_auto_complete('SEL')",
  "SELECT * FROM enable_logging(storage='file', storage_path='DIR/l')",
  "SELECT * FROM enable_logging('QueryLog')",
  'SELECT * FROM disable_logging()',
  "SELECT * FROM set_log_level('trace')",
  'SELECT * FROM truncate_duckdb_logs()',
  'SELECT * FROM checkpoint()',
  'SELECT * FROM force_checkpoint()',
  'SELECT * FROM duckdb_secrets()',
  'SELECT * FROM duckdb_settings()',
  'SELECT * FROM duckdb_logs()',
  'SELECT * FROM duckdb_logs',
  'SELECT * FROM duckdb_databases()',
  'SELECT * FROM duckdb_databases',
  'SELECT * FROM duckdb_extensions()',
  'SELECT * FROM duckdb_memory()',
  'SELECT * FROM duckdb_temporary_files()',
  'SELECT * FROM duckdb_variables()',
  'SELECT * FROM duckdb_functions()',
  'SELECT * FROM duckdb_external_file_cache()',
  'SELECT * FROM duckdb_prepared_statements()',
  'SELECT * FROM duckdb_approx_database_count()',
  'SELECT * FROM enable_profiling()',
  'SELECT * FROM enable_profile()',
  'SELECT * FROM pragma_database_size()',
  "SELECT * FROM pragma_storage_info('air')",
  "SELECT * FROM pragma_table_info('air')",
  'SELECT * FROM pragma_database_list',
  'SELECT * FROM pragma_version()',
  'SELECT * FROM pragma_metadata_info()',
  'SELECT * FROM pragma_user_agent()',
  'SELECT * FROM pragma_platform()',
  'SELECT * FROM pg_catalog.pg_settings',
  'SELECT * FROM pg_catalog.pg_class',
  'SELECT * FROM sqlite_master',
  'SELECT * FROM information_schema.character_sets',
  'SHOW DATABASES',
  'SHOW SCHEMAS',
  'SHOW VARIABLES',
  'SELECT * FROM (SHOW DATABASES)',
  "SELECT current_setting('temp_directory')",
  "SELECT getenv('HOME')",
  "SELECT write_log('x')",
  "SELECT nextval('s')",
  "SELECT getvariable('x')",
  "SELECT (SELECT content FROM read_text('SECRET'))",
  "SELECT * FROM air WHERE key IN (SELECT filename FROM read_text('SECRET'))",
  "SELECT * FROM air, LATERAL (SELECT * FROM read_text('SECRET'))",
  "DESCRIBE SELECT * FROM read_csv('SECRET')",
  "SUMMARIZE FROM read_csv('SECRET')",
  "DESCRIBE 'SECRET'",
  "SUMMARIZE 'SECRET'",
  "SELECT * FROM (DESCRIBE FROM 'SECRET')",
  'PIVOT air ON key USING count(*)',
  "UNPIVOT (FROM read_csv('SECRET')) ON COLUMNS(*)",
  "SELECT * FROM (PIVOT (FROM read_csv('SECRET')) ON a IN (1) USING count(*))",
  'SELECT * FROM test_all_types()',
  "SELECT * FROM seq_scan('air')",
  'SELECT * FROM arrow_scan(1, 2, 3)',
  'SELECT * FROM pandas_scan(1)',
  'SELECT * FROM index_scan()',
  'SELECT * FROM summary(TABLE air)',
  "SELECT * FROM storage_info('air')",
  "FROM read_csv(getenv('HOME'))",
  "SELECT list_transform([1], x -> getenv('HOME'))",
  'SELECT * FROM temp.main.x',
  'SELECT * FROM system.main.duckdb_settings',
  'SELECT * FROM air AT (VERSION => 1)',
  "SELECT * FROM 'air.csv' AS air",
  '.shell ls',
  '.read SECRET',
  '\\! ls',
  'SELECT 1 \0; DROP TABLE air',
  '/* */ DROP TABLE air',
  '-- x\nDROP TABLE air',
  ';;DROP TABLE air;;',
];

it(`refuses ${ESCAPES.length} attempts to get out, and not one leaves a trace`, async () => {
  const secret = join(bed.dir, 'secret.csv');
  writeFileSync(secret, 'word\nmarzipan-4711\n');
  await bed.put([['a', { startMs: 0, endMs: 60_000, mean: 2 }]]);
  await query.run('SELECT 1');
  await bed.rows('SELECT 1');
  const state = () =>
    readdirSync(bed.dir)
      .sort()
      .map((name) =>
        name === 'duckdb-spill'
          ? name
          : `${name} ${createHash('sha256')
              .update(readFileSync(join(bed.dir, name)))
              .digest('hex')}`,
      );
  const before = state();
  const passed: string[] = [];
  for (const attempt of ESCAPES) {
    const sql = attempt.replaceAll('PATH', bed.path).replaceAll('DIR', bed.dir).replaceAll('SECRET', secret);
    try {
      passed.push(`${attempt} → ${JSON.stringify(await query.run(sql)).slice(0, 200)}`);
    } catch (error) {
      expect((error as { code?: string }).code, attempt).toBe('E_QUERY');
      expect((error as Error).message, attempt).not.toContain('marzipan');
    }
  }
  expect(passed).toEqual([]);
  expect(state()).toEqual(before);
  expect((await query.run('SELECT count(*) AS n FROM air')).rows).toEqual([[2]]);
});

it('the second line holds by itself: nothing but our file can be opened, and settings are locked', async () => {
  const secret = join(bed.dir, 'second.csv');
  writeFileSync(secret, 'word\n1\n');
  for (const sql of [
    `SELECT * FROM read_csv('${secret}')`,
    `COPY (SELECT 1) TO '${secret}.out'`,
    'SET threads = 1',
    'SET enable_external_access = true',
    'INSTALL httpfs',
  ])
    await expect(bed.rows(sql), sql).rejects.toThrow(/disabled by configuration|has been locked|Permission|Cannot/);
});
