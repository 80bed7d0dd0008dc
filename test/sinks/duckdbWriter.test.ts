// The DuckDB writer on real files: identities, columns, dead letters, keep.
import { afterEach, describe, expect, it } from 'vitest';
import { alerts } from '../../sinks/alerts.ts';
import { duckdb } from '../../sinks/duckdb.ts';
import { queryRunner } from '../../sinks/query.ts';
import { deskBed, deskTable, type Row } from './deskBed.ts';

let bed: Awaited<ReturnType<typeof deskBed>>;
afterEach(() => bed?.clean());

const at = (iso: string): number => Date.parse(iso);
const window = (startMs: number, more: object): object => ({ startMs, endMs: startMs + 60_000, ...more });

describe('identity', () => {
  it('keeps the last of a windowed row per key and window, within a flush and across flushes', async () => {
    bed = await deskBed([deskTable(duckdb('means'))]);
    bed.start();
    const rows: Row[] = [
      ['a', window(0, { mean: 1 })],
      ['b', window(0, { mean: 2 })],
      ['a', window(0, { mean: 3 })],
      ['a', window(60_000, { mean: 4 })],
    ];
    await bed.put(rows);
    expect(await bed.rows('SELECT key, epoch_ms(window_start) s, mean FROM means ORDER BY ALL')).toEqual([
      { key: 'a', s: 0n, mean: 3 },
      { key: 'a', s: 60_000n, mean: 4 },
      { key: 'b', s: 0n, mean: 2 },
    ]);
    await bed.put([['a', window(0, { mean: 9 })]]);
    expect(await bed.rows('SELECT key, epoch_ms(window_start) s, mean FROM means ORDER BY ALL')).toEqual([
      { key: 'a', s: 0n, mean: 9 },
      { key: 'a', s: 60_000n, mean: 4 },
      { key: 'b', s: 0n, mean: 2 },
    ]);
  });

  it('appends rows without a window, equal ones too', async () => {
    bed = await deskBed([deskTable(duckdb('readings'))]);
    bed.start();
    await bed.put([
      ['a', { v: 1 }],
      ['a', { v: 1 }],
      [null, { v: 2 }],
    ]);
    expect(await bed.rows('SELECT key, v FROM readings ORDER BY v')).toEqual([
      { key: 'a', v: 1 },
      { key: 'a', v: 1 },
      { key: null, v: 2 },
    ]);
  });

  it("mode 'upsert' keeps one row per key, the null key too, and a windowed one beside it", async () => {
    bed = await deskBed([deskTable(duckdb('latest', { mode: 'upsert' }))]);
    bed.start();
    await bed.put([
      ['a', { v: 1 }],
      [null, { v: 2 }],
    ]);
    await bed.rows('SELECT 1');
    await bed.put([
      ['a', { v: 3 }],
      [null, { v: 4 }],
      ['a', window(0, { v: 5 })],
      ['a', window(0, { v: 6 })],
    ]);
    expect(await bed.rows('SELECT key, v, window_start IS NULL plain FROM latest ORDER BY v')).toEqual([
      { key: 'a', v: 3, plain: true },
      { key: null, v: 4, plain: true },
      { key: 'a', v: 6, plain: false },
    ]);
    await bed.put([
      ['a', window(0, { v: 7 })],
      ['a', { v: 8 }],
    ]);
    expect(await bed.rows("SELECT v FROM latest WHERE key = 'a' ORDER BY v")).toEqual([{ v: 7 }, { v: 8 }]);
  });

  it("mode 'append' keeps every windowed row", async () => {
    bed = await deskBed([deskTable(duckdb('all_rows', { mode: 'append' }))]);
    bed.start();
    await bed.put([
      ['a', window(0, { v: 1 })],
      ['a', window(0, { v: 2 })],
    ]);
    expect(await bed.rows('SELECT v FROM all_rows ORDER BY v')).toEqual([{ v: 1 }, { v: 2 }]);
  });

  it('a record without a value deletes every row of its key, buffered and stored, and later rows stand', async () => {
    bed = await deskBed([deskTable(duckdb('means'))]);
    bed.start();
    await bed.put([
      ['a', window(0, { v: 1 })],
      ['a', window(60_000, { v: 2 })],
      ['b', window(0, { v: 3 })],
    ]);
    await bed.rows('SELECT 1');
    await bed.put([
      ['a', window(120_000, { v: 4 })],
      ['b', window(60_000, { v: 5 })],
      ['a', null],
      ['a', window(0, { v: 6 })],
    ]);
    expect(await bed.rows('SELECT key, v FROM means ORDER BY v')).toEqual([
      { key: 'b', v: 3 },
      { key: 'b', v: 5 },
      { key: 'a', v: 6 },
    ]);
  });

  it("a record without a value is a dead letter of a mode 'append' table", async () => {
    bed = await deskBed([deskTable(duckdb('all_rows', { mode: 'append' }))]);
    bed.start();
    await bed.put([
      ['a', { v: 1 }],
      ['a', null],
    ]);
    expect(await bed.rows('SELECT code, "offset", key FROM _millrace_dead_letters')).toEqual([
      { code: 'E_NULL_VALUE', offset: 1n, key: 'a' },
    ]);
    expect(await bed.rows('SELECT v FROM all_rows')).toEqual([{ v: 1 }]);
  });
});

describe('columns', () => {
  it('follow the JavaScript types, in the order of the first rows', async () => {
    bed = await deskBed([deskTable(duckdb('types'))], { nowMs: () => at('2026-01-02T03:04:05Z') });
    bed.start();
    await bed.put([
      [
        { site: 1 },
        {
          n: -0,
          b: 2n ** 62n,
          s: 'ü\0x',
          t: true,
          d: new Date('2013-03-01T00:00:00.123Z'),
          o: { a: [1n, null], '"': 1 },
          l: [1, 2],
          nan: Number.NaN,
          none: null,
        },
        at('2013-03-01T00:00:00Z'),
      ],
    ]);
    const [row] = await bed.rows('SELECT * FROM types');
    expect(row).toEqual({
      key: '{"site":1}',
      n: -0,
      b: 2n ** 62n,
      s: 'ü\0x',
      t: true,
      d: new Date('2013-03-01T00:00:00.123Z'),
      o: '{"a":["1",null],"\\"":1}',
      l: '[1,2]',
      nan: Number.NaN,
      _partition: 0,
      _offset: 0n,
      _event_time: new Date('2013-03-01T00:00:00Z'),
      _append_time: new Date('2026-01-02T03:04:05Z'),
    });
    expect(Object.keys(row as object).join()).toBe('key,n,b,s,t,d,o,l,nan,_partition,_offset,_event_time,_append_time');
    const types = await bed.rows(
      "SELECT column_name c, data_type t FROM duckdb_columns() WHERE table_name = 'types' ORDER BY column_index",
    );
    expect(types.map(({ c, t }) => `${String(c)} ${String(t)}`)).toEqual([
      'key VARCHAR',
      'n DOUBLE',
      'b BIGINT',
      's VARCHAR',
      't BOOLEAN',
      'd TIMESTAMP WITH TIME ZONE',
      'o JSON',
      'l JSON',
      'nan DOUBLE',
      '_partition INTEGER',
      '_offset BIGINT',
      '_event_time TIMESTAMP WITH TIME ZONE',
      '_append_time TIMESTAMP WITH TIME ZONE',
    ]);
  });

  it('exist before the first row, with a window, and window_end can be asked for', async () => {
    bed = await deskBed([deskTable(duckdb('means'))]);
    await bed.start().opened;
    expect(await bed.rows('SELECT * FROM means ORDER BY window_end')).toEqual([]);
    await bed.put([['a', window(0, { v: 1 })]]);
    expect(Object.keys((await bed.rows('SELECT * FROM means'))[0] as object).join()).toBe(
      'key,window_start,window_end,v,_partition,_offset,_event_time,_append_time',
    );
  });

  it('are added when a new field comes, also over a restart, and the window with the first windowed row', async () => {
    bed = await deskBed([deskTable(duckdb('grows'))]);
    bed.start();
    await bed.put([['a', { v: 1 }]]);
    await bed.rows('SELECT 1');
    await bed.put([['a', { v: 2, 'we"ird "; DROP TABLE grows; --': 'x' }]]);
    expect(await bed.rows('SELECT * EXCLUDE (_partition, _offset, _event_time, _append_time) FROM grows ORDER BY v')).toEqual([
      { key: 'a', v: 1, 'we"ird "; DROP TABLE grows; --': null },
      { key: 'a', v: 2, 'we"ird "; DROP TABLE grows; --': 'x' },
    ]);
    await bed.stop();
    bed.start();
    await bed.put([['a', window(0, { v: 3, rowid: 1, select: true, V2: null })]]);
    await bed.put([['a', window(0, { v: 4, SELECT: false })]]);
    expect(await bed.rows('SELECT v, "select", window_start IS NOT NULL w FROM grows ORDER BY v')).toEqual([
      { v: 1, select: null, w: false },
      { v: 2, select: null, w: false },
      { v: 4, select: false, w: true },
    ]);
  });

  it('take exact types when declared', async () => {
    const columns = {
      u8: 'utinyint',
      i64: 'BIGINT',
      big: 'HUGEINT',
      f: 'FLOAT',
      money: 'DECIMAL(10, 2)',
      id: 'UUID',
      day: 'DATE',
      t: 'TIMESTAMPTZ',
      t2: 'TIMESTAMP',
      j: 'JSON',
    };
    bed = await deskBed([deskTable(duckdb('exact', { columns }))]);
    bed.start();
    const id = '00112233-4455-6677-8899-aabbccddeeff';
    await bed.put([
      [
        'a',
        {
          u8: 255,
          i64: 5,
          big: 2n ** 100n,
          f: 0.5,
          money: 12.345,
          id,
          day: '2024-02-29',
          t: '2024-02-29T12:00:00.5+01:00',
          t2: 1_000,
          j: 'text',
        },
      ],
      ['b', { u8: 256 }],
      ['c', { i64: 0.5 }],
      ['d', { money: 123456789.5 }],
      ['e', { id: 'x' }],
      ['f', { day: '2023-02-29' }],
      ['g', { t: '2024-02-30T00:00Z' }],
      ['h', { t: 0.5 }],
      ['i', { f: 1e300 }],
      ['j', { i64: 2n ** 63n }],
      ['k', { u8: -1 }],
      ['l', { t: '2024-01-01 00:00' }],
    ]);
    expect(
      await bed.rows(
        'SELECT u8, i64, big, f, money::VARCHAR money, id::VARCHAR id, day::VARCHAR d, epoch_ms(t) t, epoch_ms(t2) t2, j FROM exact',
      ),
    ).toEqual([
      {
        u8: 255,
        i64: 5n,
        big: 2n ** 100n,
        f: 0.5,
        money: '12.35',
        id,
        d: '2024-02-29',
        t: BigInt(at('2024-02-29T11:00:00.500Z')),
        t2: 1_000n,
        j: '"text"',
      },
    ]);
    const dead = await bed.rows('SELECT key, code, reason FROM _millrace_dead_letters ORDER BY key');
    expect(dead.map(({ key }) => key).join('')).toBe('bcdefghijkl');
    expect(dead[0]).toEqual({
      key: 'b',
      code: 'E_COLUMN',
      reason: "E_COLUMN: table 'exact': field 'u8' is the number 256, its column is UTINYINT",
    });
  });
});

describe('what does not fit', () => {
  it('goes to the dead letters with origin and raw bytes; the rows around it are written', async () => {
    bed = await deskBed([deskTable(duckdb('t'))]);
    bed.start();
    await bed.put([
      ['k0', { v: 1 }],
      ['k1', { v: 'text' }],
      ['k2', { v: 2, key: 'mine' }],
      ['k3', { v: 3, _OFFSET: 1 }],
      ['k4', { w: 'new', v: 'bad' }],
      ['k5', [1]],
      ['k6', 7],
      ['k7', { a: 1, A: 2 }],
      ['k8', { '': 1 }],
      ['k9', { startMs: 0.5, endMs: 1 }],
      ['l0', { startMs: 0, endMs: Number.NaN }],
      ['l1', { v: 2n }],
      ['l2', { v: 2n ** 60n + 1n }],
    ]);
    await bed.putRaw(Buffer.from([0xff, 0x00, 0x7b]));
    expect(await bed.rows('SELECT * EXCLUDE (_partition, _offset, _event_time, _append_time) FROM t ORDER BY key')).toEqual([
      { key: 'k0', v: 1 },
      { key: 'l1', v: 2 },
    ]);
    const dead = await bed.rows(
      'SELECT code, pipeline, table_name, topic, "partition" p, "offset" o, key, raw_value FROM _millrace_dead_letters ORDER BY o',
    );
    expect(dead.map(({ key, code }) => `${String(key)} ${String(code)}`)).toEqual([
      ...['k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9', 'l0', 'l2'].map((key) => `${key} E_COLUMN`),
      'k E_DECODE',
    ]);
    expect(dead[0]).toMatchObject({ pipeline: 'line', table_name: 't', topic: 'line.t', p: 0, o: 1n });
    expect(Buffer.from((dead[0] as { raw_value: Uint8Array }).raw_value).toString()).toBe('{"v":"text"}');
    expect([...(dead.at(-1) as { raw_value: Uint8Array }).raw_value]).toEqual([0xff, 0x00, 0x7b]);
    expect(await bed.registry.metrics()).toContain('millrace_desk_dead_lettered_total{code="E_COLUMN"} 11');
  });

  it('never gives a table more than a thousand columns', async () => {
    bed = await deskBed([deskTable(duckdb('wide'))]);
    bed.start();
    const fields = (from: number, to: number) => Object.fromEntries(Array.from({ length: to - from }, (_, i) => [`f${from + i}`, 1]));
    await bed.put([
      ['a', fields(0, 1_000)],
      ['b', fields(1_000, 1_001)],
      ['c', fields(0, 3)],
    ]);
    expect(await bed.rows('SELECT key FROM wide ORDER BY key')).toEqual([{ key: 'a' }, { key: 'c' }]);
    expect(await bed.rows('SELECT key FROM _millrace_dead_letters')).toEqual([{ key: 'b' }]);
  });

  it('does not let names of Object.prototype through to anything', async () => {
    bed = await deskBed([deskTable(duckdb('p'))]);
    bed.start();
    await bed.putRaw(Buffer.from('{"__proto__":{"polluted":1},"constructor":2,"toString":"x"}'));
    const [row] = await bed.rows('SELECT "__proto__" p, constructor c, "toString" t FROM p');
    expect(row).toEqual({ p: '{"polluted":1}', c: 2, t: 'x' });
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});

describe('several topics', () => {
  it('alerts of all pipelines share one table, told apart by its column', async () => {
    const one = deskTable(alerts(), { pipeline: 'one', partitions: 2 });
    const two = deskTable(alerts(), { pipeline: 'two' });
    bed = await deskBed([one, two]);
    bed.start();
    const event = { alertId: 'x', rule: 'hot', state: 'firing', sinceMs: 5, value: 56 };
    await bed.put([['a', event]], 'one.alerts', 1);
    await bed.put(
      [
        ['a', { ...event, state: 'resolved', value: undefined }],
        ['b', { ...event, severity: 'high', pipeline: 'mine' }],
      ],
      'two.alerts',
    );
    expect(await bed.rows('SELECT * EXCLUDE (_event_time, _append_time) FROM alerts ORDER BY pipeline')).toEqual([
      {
        key: 'a',
        pipeline: 'one',
        alertId: 'x',
        rule: 'hot',
        state: 'firing',
        severity: null,
        sinceMs: 5n,
        atMs: null,
        value: 56,
        _partition: 1,
        _offset: 0n,
      },
      {
        key: 'a',
        pipeline: 'two',
        alertId: 'x',
        rule: 'hot',
        state: 'resolved',
        severity: null,
        sinceMs: 5n,
        atMs: null,
        value: null,
        _partition: 0,
        _offset: 0n,
      },
    ]);
    expect(await bed.rows('SELECT code, "offset" FROM _millrace_dead_letters')).toEqual([{ code: 'E_COLUMN', offset: 1n }]);
  });

  it('two pipelines cannot write one table', async () => {
    bed = await deskBed([]);
    const tables = [deskTable(duckdb('same')), deskTable(duckdb('same'), { pipeline: 'other' })];
    expect(() => bed.start({ tables })).toThrow(/E_CONFIG: the pipelines 'line' and 'other' both write the table 'same'/);
  });

  it('a table may not outlive its log, unless the file says so', async () => {
    bed = await deskBed([]);
    const outlives = deskTable(duckdb('long', { keep: { days: 365 } }));
    expect(() => bed.start({ tables: [outlives] })).not.toThrow();
    await bed.stop();
    const shorter = { ...outlives, topic: { ...outlives.topic, keepMs: 1_000 } };
    expect(() => bed.start({ tables: [shorter] })).toThrow(
      /E_NOT_REBUILDABLE: table 'long' keeps rows for 365d, its topic 'line.long' for 1s/,
    );
    expect(() => bed.start({ tables: [deskTable(duckdb('ever', { keep: { days: 3_650 }, rebuild: false }))] })).not.toThrow();
  });
});

describe('keep', () => {
  it('deletes rows by their arrival, never by their event time', async () => {
    let nowMs = at('2026-01-01T00:00:00Z');
    bed = await deskBed([deskTable(duckdb('kept', { keep: { days: 10 } })), deskTable(duckdb('forever', { rebuild: false }))], {
      nowMs: () => nowMs,
    });
    bed.start();
    await bed.put([['old', { v: 1 }, at('2013-01-01T00:00:00Z')]]);
    await bed.put([['old', { v: 1 }, at('2013-01-01T00:00:00Z')]], 'line.forever');
    expect(await bed.rows('SELECT key FROM kept')).toEqual([{ key: 'old' }]);
    await bed.stop();
    nowMs += 11 * 86_400_000;
    bed.start();
    await bed.put([['new', { v: 2 }, at('2013-01-02T00:00:00Z')]]);
    await expect.poll(() => bed.rows('SELECT key FROM kept')).toEqual([{ key: 'new' }]);
    expect(await bed.rows('SELECT key FROM forever')).toEqual([{ key: 'old' }]);
  });
});

describe('beside the writing', () => {
  it('queries see whole commits while rows come and columns grow, and never fail', async () => {
    bed = await deskBed([deskTable(duckdb('grows'))]);
    const writer = bed.start({ flushMs: 1, rowsMax: 50 });
    await writer.opened;
    const runner = queryRunner((work) => writer.lend(work));
    let isWriting = true;
    const seen: number[] = [];
    const reading = Promise.all(
      [1, 2, 3].map(async () => {
        while (isWriting) {
          const { rows } = await runner.run('SELECT count(*), count(DISTINCT _offset), coalesce(max(_offset), -1) FROM grows');
          const [count, distinct, last] = rows[0] as [number, number, number];
          expect([distinct, last]).toEqual([count, count - 1]);
          expect((await runner.run('SELECT * FROM grows LIMIT 1')).columns).toContain('_offset');
          seen.push(count);
        }
      }),
    );
    for (let i = 0; i < 20; i++) {
      await bed.put(Array.from({ length: 30 }, (_, n): Row => ['k', { n, [`f${i}`]: i }]));
      await writer.drain();
    }
    isWriting = false;
    await reading;
    expect(await bed.rows('SELECT count(*)::INT c FROM grows')).toEqual([{ c: 600 }]);
    expect(new Set(seen).size).toBeGreaterThan(2);
  });

  it('metrics are in Prometheus’ text form, under the names that are promised', async () => {
    bed = await deskBed([deskTable(duckdb('t'), { partitions: 2 })]);
    bed.start();
    await bed.put([
      ['a', { v: 1 }],
      ['a', { v: 'no' }],
    ]);
    await bed.put([['b', { v: 1 }]], 'line.t', 1);
    await bed.rows('SELECT 1');
    const text = await bed.registry.metrics();
    for (const line of text.split('\n').filter((line) => line !== '' && !line.startsWith('#')))
      expect(line).toMatch(/^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+$/);
    expect(text).toContain('millrace_desk_rows_total{table="t"} 2');
    expect(text).toContain('millrace_desk_dead_lettered_total{code="E_COLUMN"} 1');
    expect(text).toMatch(/millrace_desk_flush_seconds_count [12]\n/);
    await expect.poll(() => bed.registry.metrics()).toContain('millrace_desk_position{topic="line.t",partition="0"} 2');
    expect(await bed.registry.metrics()).toContain('millrace_desk_lag{topic="line.t",partition="1"} 0');
  });
});
