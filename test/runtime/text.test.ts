// What commands print: tables, CSV, JSON, records, errors, metrics.
import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import type { WorkerMetrics } from '../../engine/worker.ts';
import { memoryLog } from '../../log/memory/memoryLog.ts';
import { lineMetrics } from '../../runtime/lineMetrics.ts';
import { errorText } from '../../runtime/printError.ts';
import { recordLine } from '../../runtime/recordText.ts';
import { rowsText } from '../../runtime/tableText.ts';

describe('rowsText', () => {
  const rows = {
    columns: ['name', 'n', 'more'],
    rows: [
      ['zoé', 1.5, { a: [1] }],
      ['x', -20, null],
      ['', null, 'a "b", c'],
    ],
  };

  it('aligns a table: numbers to the right, NULL named', () => {
    expect(rowsText('table', rows)).toBe(
      [
        'name     n  more',
        '────  ────  ─────────',
        'zoé    1.5  {"a":[1]}',
        'x      -20  NULL',
        '      NULL  a "b", c',
        '(3 rows)',
        '',
      ].join('\n'),
    );
  });

  it('says when there is nothing', () => {
    expect(rowsText('table', { columns: ['a'], rows: [] })).toBe('a\n─\n(0 rows)\n');
  });

  it('shows control characters as text, for rows hold what devices sent', () => {
    expect(rowsText('table', { columns: ['a'], rows: [['\u001b[31mred\n']] })).toContain('\\x1b[31mred\\x0a');
  });

  it('writes JSON objects', () => {
    expect(JSON.parse(rowsText('json', rows))).toEqual([
      { name: 'zoé', n: 1.5, more: { a: [1] } },
      { name: 'x', n: -20, more: null },
      { name: '', n: null, more: 'a "b", c' },
    ]);
  });

  it('writes CSV by RFC 4180, NULL and empty text apart', () => {
    expect(rowsText('csv', rows)).toBe('name,n,more\r\nzoé,1.5,"{""a"":[1]}"\r\nx,-20,\r\n"",,"a ""b"", c"\r\n');
  });
});

describe('recordLine', () => {
  const lineOf = async (key: Buffer | null, value: Buffer | null, headers: Record<string, Uint8Array> = {}) => {
    const log = memoryLog();
    await log.ensureTopics([{ name: 't', partitions: 1, cleanup: 'delete', keepMs: 1e12 }]);
    const buffer = log.newBuffer();
    buffer.add('t', 0, key, value, 1_700_000_000_123, headers);
    await log.append(buffer);
    const [fetched] = await log.fetch([{ topic: 't', partition: 0, offset: 0 }], { waitMs: 0 });
    const text = recordLine('t', 0, fetched?.batches[0] as never, 0);
    expect(text.endsWith('\n') && text.indexOf('\n') === text.length - 1).toBe(true);
    return { text, record: JSON.parse(text) as Record<string, unknown> };
  };

  it('has all seven fields', async () => {
    const { record } = await lineOf(Buffer.from('k'), Buffer.from('{"a":1}'), { h: Buffer.from('v'), b: Buffer.from([0xff]) });
    expect(record).toEqual({
      topic: 't',
      partition: 0,
      offset: 0,
      key: 'k',
      value: { a: 1 },
      eventTimeMs: 1_700_000_000_123,
      headers: { h: 'v', b: { $base64: '/w==' } },
    });
  });

  it('keeps a key text, also when it looks like a number', async () => {
    expect((await lineOf(Buffer.from('007'), null)).record).toMatchObject({ key: '007', value: null });
  });

  it('keeps every digit of a number', async () => {
    expect((await lineOf(null, Buffer.from('{"n":9007199254740993}'))).text).toContain('{"n":9007199254740993}');
  });

  it('puts JSON with line breaks on one line', async () => {
    expect((await lineOf(null, Buffer.from('{\n"a":\r\n1}'))).record.value).toEqual({ a: 1 });
  });

  it.each<[Buffer, unknown]>([
    [Buffer.from('not json'), 'not json'],
    [Buffer.from([0xc3, 0x28]), { $base64: 'wyg=' }],
    [Buffer.alloc(0), ''],
  ])('shows %j', async (value, expected) => {
    expect((await lineOf(null, value)).record.value).toEqual(expected);
  });
});

describe('errorText', () => {
  it('is one line and the fix', () => {
    expect(errorText(new MillraceError('E_LOCKED', 'a\n  b'), false)).toBe(
      'error E_LOCKED: a b\nfix: Stop the other process, or use another --data folder.\n',
    );
  });

  it('shows the stack only when asked', () => {
    const error = new Error('boom');
    expect(errorText(error, false)).not.toContain('text.test.ts');
    expect(errorText(error, true)).toContain('text.test.ts');
  });
});

describe('lineMetrics', () => {
  it('gives totals as they are, however often it is asked', async () => {
    const worker: WorkerMetrics = {
      tasks: [
        {
          pipeline: 'p',
          partition: 0,
          counters: { in: 5, out: 3, 'dead_lettered/E_SCHEMA': 1, 'step/air-5m/late': 2, 'step/dedupe#1/duplicates': 4 },
          lag: [{ topic: 't', partition: 0, records: 7 }],
          streamTimeMs: [1_000, undefined],
          stateRows: 9,
        },
      ],
      commits: { count: 3, sumMs: 30, buckets: [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1] },
    };
    const ingest = {
      received: 11,
      stored: 10,
      deadLettered: { E_SCHEMA: 1 },
      unrouted: 0,
      clients: 2,
      rejectedConnections: 0,
      refusedPackets: 0,
    };
    const text = lineMetrics({ worker: () => worker, ingest: () => ingest, nowMs: () => 61_000 });
    await text();
    const metrics = await text();
    for (const row of [
      'millrace_records_in_total{pipeline="p",partition="0"} 5',
      'millrace_records_out_total{pipeline="p",partition="0"} 3',
      'millrace_records_dead_lettered_total{pipeline="p",partition="0",code="E_SCHEMA"} 1',
      'millrace_records_late_total{pipeline="p",partition="0",step="air-5m"} 2',
      'millrace_step_events_total{pipeline="p",partition="0",step="dedupe#1",event="duplicates"} 4',
      'millrace_lag_records{pipeline="p",topic="t",partition="0"} 7',
      'millrace_stream_time_behind_seconds{pipeline="p",partition="0",segment="0"} 60',
      'millrace_state_rows{pipeline="p",partition="0"} 9',
      'millrace_ingest_received_total 11',
      'millrace_ingest_dead_lettered_total{code="E_SCHEMA"} 1',
      'millrace_ingest_clients 2',
      'millrace_commit_seconds_bucket{le="0.001"} 1',
      'millrace_commit_seconds_bucket{le="5"} 2',
      'millrace_commit_seconds_bucket{le="+Inf"} 3',
      'millrace_commit_seconds_sum 0.03',
    ])
      expect(metrics).toContain(`${row}\n`);
    expect(metrics).not.toContain('segment="1"');
  });
});
