// Files to play: every line is checked before the first publish, and what is wrong is named by its line.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadPlaySource, type PlayRecord, type PlaySource } from '../../ingest/playSource.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'millrace-play-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

async function all(source: PlaySource, from = 0): Promise<PlayRecord[]> {
  const records: PlayRecord[] = [];
  for await (const record of source.records(from)) records.push(record);
  return records;
}

const write = (name: string, text: string | Buffer): void => writeFileSync(join(cwd, name), text);
const load = (name: string) => loadPlaySource(name, { cwd });

describe('ndjson', () => {
  test('a line is a publish; client defaults to the topic, at is optional', async () => {
    write(
      'in.ndjson',
      '{"topic":"a/1","payload":{"n":1},"at":"2026-01-01T00:00:00Z"}\n\n{"topic":"a/2","payload":[1,"ü"],"at":1767225600500,"client":"x"}\r\n{"topic":"a/1","payload":null}',
    );
    const source = await load('in.ndjson');
    expect(source).toMatchObject({ count: 3, silentRows: 0 });
    expect((await all(source)).map((r) => ({ ...r, payload: r.payload.toString() }))).toEqual([
      { index: 0, line: 1, client: 'a/1', topic: 'a/1', payload: '{"n":1}', atMs: Date.UTC(2026, 0, 1) },
      { index: 1, line: 3, client: 'x', topic: 'a/2', payload: '[1,"ü"]', atMs: Date.UTC(2026, 0, 1) + 500 },
      { index: 2, line: 4, client: 'a/1', topic: 'a/1', payload: 'null', atMs: undefined },
    ]);
    expect((await all(source, 2)).map((r) => r.index)).toEqual([2]);
  });

  test('gzip is read as it is', async () => {
    const text = '{"topic":"a","payload":1}\n';
    write('in.ndjson', text);
    write('in.ndjson.gz', gzipSync(text));
    expect(await all(await load('in.ndjson.gz'))).toEqual(await all(await load('in.ndjson')));
  });

  test('the same content is the same play, whatever its name; one byte more is another', async () => {
    write('a.ndjson', '{"topic":"a","payload":1}\n');
    write('b.ndjson', '{"topic":"a","payload":1}\n');
    write('c.ndjson', '{"topic":"a","payload":1} \n');
    const [a, b, c] = await Promise.all([load('a.ndjson'), load('b.ndjson'), load('c.ndjson')]);
    expect(a.hash).toBe(b.hash);
    expect(a.hash).not.toBe(c.hash);
  });

  test.each([
    ['not json', 'in.ndjson:2: not JSON'],
    ['[1]', 'in.ndjson:2: a line is an object'],
    ['{"topic":"a"}', 'in.ndjson:2: no payload'],
    ['{"payload":1}', 'in.ndjson:2: topic must be a text'],
    ['{"topic":"a/+","payload":1}', "in.ndjson:2: 'a/+' is no topic"],
    ['{"topic":"a","payload":1,"time":3}', "in.ndjson:2: unknown field 'time'; there are topic, payload, at, client"],
    ['{"topic":"a","payload":1,"at":"2026-01-01T00:00:00"}', 'has no zone'],
    ['{"topic":"a","payload":1,"at":"2026-13-01T00:00:00Z"}', 'is no time'],
    ['{"topic":"a","payload":1,"at":-1}', "'-1' is no time"],
    ['{"topic":"a","payload":1,"at":true}', "'true' is no time"],
    [`{"topic":"a","payload":"${'x'.repeat(900_001)}"}`, 'the payload has 900003 bytes'],
  ])('%.40s', async (line, says) => {
    write('in.ndjson', `{"topic":"a","payload":1}\n${line}\n`);
    await expect(load('in.ndjson')).rejects.toMatchObject({ code: 'E_PLAY', message: expect.stringContaining(says) });
  });

  test('a file that shrinks while it is played is noticed', async () => {
    write('in.ndjson', '{"topic":"a","payload":1}\n{"topic":"a","payload":2}\n');
    const source = await load('in.ndjson');
    write('in.ndjson', '{"topic":"a","payload":1}\n');
    await expect(all(source)).rejects.toMatchObject({ code: 'E_PLAY', message: expect.stringContaining('had 2 records') });
  });
});

describe('a mapping', () => {
  const mapping = {
    file: 'air.csv',
    at: { column: 'time', zone: '+08:00' },
    topic: 'city/{station}',
    client: '{station}',
    missing: ['NA'],
    payload: { at: '$at', pm25: 'PM2.5', note: 'note' },
  };
  const csv =
    '\uFEFFtime,station,PM2.5,note\n2017-01-01 00:00,Dongsi,12.5,"a ""b"", c"\n2017-01-01 01:00,Dongsi,NA,NA\n2017-01-01 02:00,Dongsi,NA,007\n';

  test('rows become publishes; local time becomes UTC; a row without a measurement is silence', async () => {
    write('air.csv', csv);
    write('play.json', JSON.stringify(mapping));
    const source = await load('play.json');
    expect(source).toMatchObject({ count: 2, silentRows: 1 });
    expect((await all(source)).map((r) => [r.index, r.line, r.client, r.topic, r.payload.toString(), r.atMs])).toEqual([
      [0, 2, 'Dongsi', 'city/Dongsi', '{"at":"2016-12-31T16:00:00.000Z","pm25":12.5,"note":"a \\"b\\", c"}', Date.UTC(2016, 11, 31, 16)],
      [1, 4, 'Dongsi', 'city/Dongsi', '{"at":"2016-12-31T18:00:00.000Z","note":"007"}', Date.UTC(2016, 11, 31, 18)],
    ]);
  });

  test('by name under pipelines/, by .csv with the mapping beside it, and the data gzipped', async () => {
    mkdirSync(join(cwd, 'pipelines/mine'), { recursive: true });
    write('pipelines/mine/air.csv', csv);
    write('pipelines/mine/play.json', JSON.stringify(mapping));
    write('air.csv', csv);
    write('air.play.json', JSON.stringify(mapping));
    write('air.csv.gz', gzipSync(csv));
    write('zipped.json', JSON.stringify({ ...mapping, file: 'air.csv.gz' }));
    const wanted = await all(await load('mine'));
    expect(wanted).toHaveLength(2);
    for (const name of ['air.csv', 'zipped.json'])
      expect({ name, records: await all(await load(name)) }).toEqual({ name, records: wanted });
  });

  test('summer time follows the zone by name', async () => {
    write('air.csv', 'time,station,PM2.5,note\n2026-01-01 00:00,a,1,x\n2026-07-01 00:00,a,1,x\n');
    write('play.json', JSON.stringify({ ...mapping, at: { column: 'time', zone: 'Europe/Berlin' } }));
    expect((await all(await load('play.json'))).map((r) => r.atMs)).toEqual([Date.UTC(2025, 11, 31, 23), Date.UTC(2026, 5, 30, 22)]);
  });

  test.each<[Record<string, unknown>, string, string]>([
    [{ file: 'none.csv' }, csv, "file 'none.csv' does not exist"],
    [{ payload: { pm25: 'PM25' } }, csv, "no column 'PM25' in"],
    [{ topic: 'city/{Station}' }, csv, "no column 'Station'"],
    [{ topic: 'city/{station' }, csv, "'{' or '}' without its partner"],
    [{ speed: 3 }, csv, "unknown field 'speed'"],
    [{ payload: {} }, csv, "'payload' must be an object"],
    [{ at: undefined }, csv, "wants '$at'"],
    [{ at: { column: 'time', zone: 'Moon/Base' } }, csv, "zone 'Moon/Base' is none"],
    [{ at: 'time' }, csv, 'has no zone'],
    [{}, 'time,station,PM2.5,note\n2017-01-01 00:00,a,1\n', 'on line 2'],
    [{}, 'time,station,PM2.5,note\nyesterday,a,1,x\n', "air.csv:2: 'yesterday' is no time"],
    [{}, 'time,station,PM2.5,note\n2017-01-01 00:00,NA,1,x\n', "air.csv:2: '{station}' needs column 'station'"],
    [{}, 'time,station,PM2.5,note\n2017-01-01 00:00,a/#,1,x\n', "air.csv:2: 'city/a/#' is no topic"],
    [{}, 'time,time,station,PM2.5,note\n', 'two columns have the same name'],
    [{}, '', 'the file is empty'],
  ])('%j', async (change, text, says) => {
    write('air.csv', text);
    write('play.json', JSON.stringify({ ...mapping, ...change }));
    await expect(load('play.json')).rejects.toMatchObject({ code: 'E_PLAY', message: expect.stringContaining(says) });
  });
});

describe('names', () => {
  test.each([
    ['nowhere', 'pipelines/nowhere/play.json'],
    ['x.txt', 'ends in .ndjson'],
    ['lonely.csv', 'lonely.play.json'],
    ['broken.ndjson.gz', 'header'],
  ])('%s', async (name, says) => {
    for (const file of ['x.txt', 'lonely.csv', 'broken.ndjson.gz']) write(file, 'not gzip\n');
    await expect(load(name)).rejects.toMatchObject({ code: 'E_PLAY', message: expect.stringContaining(says) });
  });

  test('smart-city is found in the package: 10,800 station hours, 111 of them silent', async () => {
    const source = await load('smart-city');
    expect(source).toMatchObject({ count: 10_689, silentRows: 111 });
    const first = (await source.records(0).next()).value as PlayRecord;
    expect(first).toMatchObject({ line: 2, client: 'Aotizhongxin', topic: 'city/beijing/air/Aotizhongxin' });
    expect(JSON.parse(first.payload.toString())).toEqual({
      at: '2016-12-15T16:00:00.000Z',
      pm25: 22,
      pm10: 56,
      so2: 9,
      no2: 85,
      co: 1100,
      o3: 2,
    });
  });
});
