// Seeds: CSV into a table topic, once per content, with mistakes named by line and column.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import type { LogPort } from '../../engine/ports.ts';
import { partitionOf } from '../../engine/partitioner.ts';
import { type Codec, type Topic, topic } from '../../engine/topic.ts';
import { memoryLog } from '../../log/memory/memoryLog.ts';
import { readSeed } from '../../runtime/readSeed.ts';
import { SEEDS_TOPIC, seedTopics } from '../../runtime/seed.ts';

/** JSON objects whose field `n`, if there is one, is a number. */
const row: Codec<Record<string, unknown>> = {
  contentType: 'application/json',
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode(bytes, start, end) {
    const value = JSON.parse(bytes.toString('utf8', start, end)) as Record<string, unknown>;
    if ('n' in value && typeof value.n !== 'number') throw new MillraceError('E_SCHEMA', 'n: expected a number');
    return value;
  },
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'millrace-seed-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const write = (text: string | Buffer, name = 's.csv'): string => {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
};

const codeAndMessage = async (act: () => unknown): Promise<string> => {
  try {
    await act();
  } catch (error) {
    return (error as Error).message;
  }
  return 'it did not throw';
};

describe('readSeed', () => {
  it('converts JSON numbers and booleans, leaves the rest, and takes empty for absent', () => {
    const { rows } = readSeed(write('\ufeffkey,a,b,c,d,e\nk1,1.5,true,007,,"x, ""y"""\nk2,-3e2,false,12345678901234567890,é,\n'));
    expect(rows).toEqual([
      { key: 'k1', value: { a: 1.5, b: true, c: '007', e: 'x, "y"' }, line: 2 },
      { key: 'k2', value: { a: -300, b: false, c: '12345678901234567890', d: 'é' }, line: 3 },
    ]);
  });

  it('keeps a column named __proto__ a plain field', () => {
    const { rows } = readSeed(write('key,__proto__\nk,1\n'));
    expect(Object.keys(rows[0]?.value ?? {})).toEqual(['__proto__']);
  });

  it.each<[string, string | Buffer, RegExp]>([
    ['empty', '', /s\.csv: the file is empty/],
    ['no key column', 'id,a\n1,2\n', /s\.csv:1: no column is named 'key'; there are 'id', 'a'/],
    ['a column twice', 'key,a,a\n', /s\.csv:1: column 'a' is there twice/],
    ['a column without a name', 'key,,a\n', /s\.csv:1: column 2 has no name/],
    ['an empty key', 'key,a\nx,1\n,2\n', /s\.csv:3: column 'key' is empty/],
    ['a key twice', 'key,a\nx,1\ny,1\nx,2\n', /s\.csv:4: column 'key': 'x' is in line 2 already/],
    ['too few cells', 'key,a\nx,1\ny\n', /E_SEED: .*s\.csv:3/],
    ['a quote that never ends', 'key,a\nx,"1\n', /E_SEED: .*s\.csv:\d/],
    ['not UTF-8', Buffer.from([0x6b, 0x65, 0x79, 0x0a, 0xff, 0xfe]), /not UTF-8/],
  ])('refuses %s', async (_, text, message) => {
    const path = write(text);
    expect(await codeAndMessage(() => readSeed(path))).toMatch(message);
  });

  it('names a file that is not there', async () => {
    expect(await codeAndMessage(() => readSeed(join(dir, 'none.csv')))).toMatch(/E_SEED: .*none\.csv: ENOENT/);
  });
});

describe('seedTopics', () => {
  let log: LogPort;
  const sensors: Topic<string, Record<string, unknown>> = topic('sensors', row, { keep: 'compact', seed: 's.csv', partitions: 3 });
  const seed = (text: string) => seedTopics(log, [{ topic: sensors, partitions: 3, file: write(text) }]);
  beforeEach(async () => {
    log = memoryLog();
    await log.ensureTopics([{ name: 'sensors', partitions: 3, cleanup: 'compact', keepMs: Number.POSITIVE_INFINITY }]);
  });

  const table = async (): Promise<Record<string, unknown>> => {
    const found: Record<string, unknown> = {};
    for (let partition = 0; partition < 3; partition++) {
      const { startOffset, endOffset } = await log.bounds('sensors', partition);
      let offset = startOffset;
      while (offset < endOffset) {
        const [fetched] = await log.fetch([{ topic: 'sensors', partition, offset }], { waitMs: 0 });
        for (const batch of fetched?.batches ?? [])
          for (let i = 0; i < batch.count; i++) {
            const key = batch.bytes.toString('utf8', batch.keyStart[i], batch.keyEnd[i]);
            expect(partitionOf(Buffer.from(key), 3)).toBe(partition);
            if ((batch.valueStart[i] as number) < 0) delete found[key];
            else found[key] = JSON.parse(batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i]));
          }
        offset = fetched?.nextOffset ?? endOffset;
      }
    }
    return found;
  };
  const ends = async () => Promise.all([0, 1, 2].map(async (p) => (await log.bounds('sensors', p)).endOffset));

  it('fills the table once per content', async () => {
    expect(await seed('key,n,name\na,1,x\nb,2,\n')).toMatchObject([{ rows: 2, written: 2, deleted: 0 }]);
    expect(await table()).toEqual({ a: { n: 1, name: 'x' }, b: { n: 2 } });
    const before = await ends();
    expect(await seed('key,n,name\na,1,x\nb,2,\n')).toEqual([]);
    expect(await ends()).toEqual(before);
  });

  it('writes what changed and deletes what vanished, and comes back to an earlier content', async () => {
    await seed('key,n\na,1\nb,2\nc,3\n');
    expect(await seed('key,n\na,1\nb,20\nd,4\n')).toMatchObject([{ rows: 3, written: 2, deleted: 1 }]);
    expect(await table()).toEqual({ a: { n: 1 }, b: { n: 20 }, d: { n: 4 } });
    await seed('key,n\na,1\nb,2\nc,3\n');
    expect(await table()).toEqual({ a: { n: 1 }, b: { n: 2 }, c: { n: 3 } });
  });

  it('leaves rows alone that did not come from a seed', async () => {
    await seed('key,n\na,1\n');
    const buffer = log.newBuffer();
    buffer.add('sensors', partitionOf(Buffer.from('device'), 3), Buffer.from('device'), Buffer.from('{"n":7}'), 1, {});
    await log.append(buffer);
    await seed('key,n\nb,2\n');
    expect(await table()).toEqual({ b: { n: 2 }, device: { n: 7 } });
  });

  it('writes nothing at all when one row does not fit', async () => {
    await seed('key,n\na,1\n');
    const before = await ends();
    expect(await codeAndMessage(() => seed('key,n\na,2\nb,oops\n'))).toMatch(
      /E_SEED: .*s\.csv:3: column 'n': key 'b' does not fit topic 'sensors': n: expected a number/,
    );
    expect(await ends()).toEqual(before);
    expect(await seed('key,n\na,1\n')).toEqual([]);
  });

  it('refuses two files for one topic', async () => {
    const seeds = ['x.csv', 'y.csv'].map((name) => ({ topic: sensors, partitions: 3, file: write('key\na\n', name) }));
    expect(await codeAndMessage(() => seedTopics(log, seeds))).toMatch(
      /E_TOPIC_CONFLICT: topic 'sensors' is seeded from .*x\.csv and from .*y\.csv/,
    );
  });

  it('makes no topic of its own when there is nothing to seed', async () => {
    await seedTopics(log, []);
    expect((await log.listTopics()).map((t) => t.name)).not.toContain(SEEDS_TOPIC.name);
  });
});
