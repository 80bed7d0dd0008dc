// The embedded log: the contract, and what only a log on a disk owes.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { open as openLmdb } from 'lmdb';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import type { TaskClaim } from '../../engine/ports.ts';
import { noHeaders } from '../../engine/record.ts';
import { type EmbeddedLog, type EmbeddedLogOptions, openEmbeddedLog } from '../../log/embedded/embeddedLog.ts';
import { openEmbeddedReader } from '../../log/embedded/embeddedReader.ts';
import { FlushedFile } from '../../log/embedded/flushedFile.ts';
import { identityOf } from '../../log/embedded/writerLock.ts';
import { logContract, readAll } from '../contract/log.ts';

const folders: string[] = [];
async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-log-'));
  folders.push(dir);
  return dir;
}
afterEach(async () => {
  for (const dir of folders.splice(0)) await rm(dir, { recursive: true, force: true });
});

/** The log with answers that get lost on their way back: the commit took place or it did not. */
function losingAnswers(log: EmbeddedLog): { log: EmbeddedLog; loseNextAnswer(commit: 'happened' | 'did not happen'): void } {
  let lose: 'happened' | 'did not happen' | undefined;
  const commit: EmbeddedLog['commit'] = async (tasks, outputs) => {
    const how = lose;
    lose = undefined;
    const outcome = how === 'did not happen' ? 'unknown' : await log.commit(tasks, outputs);
    return how === undefined ? outcome : 'unknown';
  };
  const get = (target: EmbeddedLog, name: string | symbol) => {
    const value = name === 'commit' ? commit : (Reflect.get(target, name) as unknown);
    return typeof value === 'function' ? value.bind(target) : value;
  };
  return { log: new Proxy(log, { get }), loseNextAnswer: (how) => (lose = how) };
}

logContract('embedded', async () => {
  const dir = await folder();
  let log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
  const losing = losingAnswers(log);
  return {
    log: losing.log,
    loseNextAnswer: losing.loseNextAnswer,
    reopen: async () => {
      await log.close();
      log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
      return log;
    },
    compact: () => log.clean('all'),
    dispose: () => log.close(),
  };
});

/** A log that is closed when the test is over. */
async function opened(dir: string, options: Partial<EmbeddedLogOptions> = {}): Promise<EmbeddedLog> {
  const log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity, ...options });
  onTestFinished(() => log.close());
  return log;
}

async function append(log: EmbeddedLog, topic: string, ...values: (string | Buffer | null)[]): Promise<void> {
  const output = log.newBuffer();
  for (const value of values) output.add(topic, 0, Buffer.from('k'), value === null ? null : Buffer.from(value), 0, noHeaders);
  await log.append(output);
}

/** The environment without our log around it. */
function rawLog(dir: string) {
  return openLmdb<Buffer, Buffer>({
    path: join(dir, 'log'),
    noSubdir: false,
    maxDbs: 10,
    encoding: 'binary',
    keyEncoding: 'binary',
    overlappingSync: false,
  });
}

const plain = (name: string, keepMs = Infinity) => ({ name, partitions: 1, cleanup: 'delete', keepMs }) as const;

describe('data folder', () => {
  it('belongs to its owner alone', async () => {
    const dir = join(await folder(), 'new');
    const log = await opened(dir);
    await log.ensureTopics([plain('t')]);
    const mode = (path: string) => (statSync(join(dir, path)).mode & 0o777).toString(8);
    expect([mode('.'), mode('log'), mode('log/data.mdb'), mode('log/lock.mdb'), mode('flushed'), mode('log.lock')]).toEqual([
      '700',
      '700',
      '600',
      '600',
      '600',
      '600',
    ]);
  });

  it('is refused with a reason when it is not a log, of another version, or not a folder', async () => {
    const damaged = await folder();
    mkdirSync(join(damaged, 'log'));
    for (const content of [Buffer.alloc(8_192, 7), Buffer.alloc(0), Buffer.alloc(10)]) {
      writeFileSync(join(damaged, 'log/data.mdb'), content);
      await expect(openEmbeddedLog({ dir: damaged })).rejects.toMatchObject({ code: 'E_CORRUPT' });
      await expect(openEmbeddedReader({ dir: damaged })).rejects.toMatchObject({ code: 'E_CORRUPT' });
    }

    const newer = await folder();
    await (await openEmbeddedLog({ dir: newer })).close();
    const root = rawLog(newer);
    root.openDB({ name: 'meta', encoding: 'binary', keyEncoding: 'binary' }).removeSync(Buffer.from('format'));
    await root.close();
    await expect(openEmbeddedLog({ dir: newer })).rejects.toThrow(/E_CONFIG.*log format unknown; this millrace reads format 1/);
    await expect(openEmbeddedReader({ dir: newer })).rejects.toMatchObject({ code: 'E_CONFIG' });

    const file = join(await folder(), 'file');
    writeFileSync(file, 'x');
    await expect(openEmbeddedLog({ dir: file })).rejects.toMatchObject({ code: 'E_CONFIG' });
    await expect(openEmbeddedReader({ dir: join(file, 'no') })).rejects.toMatchObject({ code: 'E_NOT_RUNNING' });
  });

  it('refuses sizes that cannot be', async () => {
    const dir = await folder();
    for (const maxSizeBytes of [0, -1, 1.5, 2 << 30, Number.NaN])
      await expect(openEmbeddedLog({ dir, maxSizeBytes })).rejects.toMatchObject({ code: 'E_CONFIG' });
  });

  it('is made whole or not at all: leftovers of a crash are ignored and removed', async () => {
    const dir = await folder();
    mkdirSync(join(dir, 'log.new-999999999'));
    writeFileSync(join(dir, 'log.new-999999999/data.mdb'), 'half');
    const log = await opened(dir);
    await log.ensureTopics([plain('t')]);
    expect((await readdir(dir)).sort()).toEqual(['flushed', 'log', 'log.lock']);
  });
});

describe('writer lock', () => {
  it('refuses a second writer, naming the first', async () => {
    const dir = await folder();
    await opened(dir);
    await expect(openEmbeddedLog({ dir })).rejects.toThrow(/E_LOCKED/);
    writeFileSync(join(dir, 'log.lock'), JSON.stringify(identityOf(process.ppid)));
    await expect(openEmbeddedLog({ dir })).rejects.toThrow(new RegExp(`E_LOCKED.*process ${process.ppid}`));
  });

  it('takes over from a process that is gone, whatever has its pid now', async () => {
    const mine = identityOf(process.pid);
    if (mine === undefined) throw new Error('no identity');
    for (const stale of [
      JSON.stringify({ ...mine, pid: 999_999_999 }),
      JSON.stringify({ ...mine, startTime: `${mine.startTime}0` }),
      JSON.stringify({ ...mine, bootId: 'an earlier boot' }),
      '{"pid": 12',
      '',
    ]) {
      const dir = await folder();
      writeFileSync(join(dir, 'log.lock'), stale);
      const log = await openEmbeddedLog({ dir });
      expect(JSON.parse(readFileSync(join(dir, 'log.lock'), 'utf8'))).toEqual(mine);
      await log.close();
      expect(existsSync(join(dir, 'log.lock'))).toBe(false);
    }
  });

  it('is got by one of many that try at once', async () => {
    const dir = await folder();
    writeFileSync(join(dir, 'log.lock'), JSON.stringify({ pid: 999_999_999, startTime: '1', bootId: '' }));
    const children = Array.from({ length: 3 }, () => startLoop(dir, 5));
    const firstLines = await Promise.all(
      children.map(
        (child) =>
          new Promise<string>((resolve) => {
            child.stdout?.once('data', (data: Buffer) => resolve(data.toString()));
            child.once('close', () => resolve('refused'));
          }),
      ),
    );
    expect(firstLines.filter((line) => line.startsWith('start'))).toHaveLength(1);
    expect(firstLines.filter((line) => line === 'refused')).toHaveLength(2);
    await Promise.all(children.map(kill));
  });
});

/** Starts test/log/appendLoop.ts on a folder. */
function startLoop(dir: string, pauseMs = 0): ChildProcess {
  const script = fileURLToPath(new URL('./appendLoop.ts', import.meta.url));
  return spawn(process.execPath, ['--import', 'tsx', script, dir, String(pauseMs)], { stdio: ['ignore', 'pipe', 'ignore'] });
}

function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('close', () => resolve());
    child.kill('SIGKILL');
  });
}

describe('kill -9', () => {
  it('loses nothing that was acknowledged, and leaves a prefix', { timeout: 120_000 }, async () => {
    const dir = await folder();
    for (let round = 0; round < 5; round++) {
      const child = startLoop(dir);
      let printed = '';
      const enough = new Promise<void>((resolve, reject) => {
        child.stdout?.on('data', (data: Buffer) => {
          printed += data.toString();
          if (printed.split('\n').length > 40 + round * 37) resolve();
        });
        child.once('close', () => reject(new Error(`the loop ended by itself: ${printed}`)));
      });
      await enough;
      await kill(child);
      const lines = printed
        .slice(0, printed.lastIndexOf('\n'))
        .split('\n')
        .map((line) => line.split(' ') as [string, string]);
      const last = (kind: string) => Math.max(-1, ...lines.filter(([k]) => k === kind).map(([, n]) => Number(n)));

      const reader = await openEmbeddedReader({ dir });
      const asRead = await readAll(reader, 't', 0);
      await reader.close();
      const log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
      const appended = (await readAll(log, 't', 0)).map(({ value }) => Number(value));
      expect(asRead.map(({ value }) => Number(value))).toEqual(appended);
      expect(appended.length).toBeGreaterThan(last('a'));
      expect(new Set(appended).size).toBe(appended.length);
      for (let n = 0; n <= last('a'); n++)
        if (lines.some(([k, line]) => k === 'a' && Number(line) >= n && Number(line) < n + 5)) expect(appended).toContain(n);
      const [claim] = (await log.claim('p', [0])) as [TaskClaim];
      const committed = (await readAll(log, 't', 1)).map(({ value }) => Number(value));
      expect(committed).toEqual(Array.from({ length: claim.commitNumber }, (_, i) => i + 1));
      expect(claim.commitNumber).toBeGreaterThanOrEqual(last('c'));
      expect(Buffer.from(claim.checkpoint ?? '').toString()).toBe(String(claim.commitNumber));
      expect([...(claim.state as Iterable<{ value: Uint8Array }>)].map(({ value }) => Buffer.from(value).toString())).toEqual([
        String(claim.commitNumber),
      ]);
      await log.close();
    }
  });
});

describe('damage', () => {
  /** Changes one byte of the first stored batch of `t`, by its place. */
  async function flip(dir: string, at: (size: number) => number): Promise<number> {
    const root = rawLog(dir);
    const records = root.openDB<Buffer, Buffer>({ name: 'records', encoding: 'binary', keyEncoding: 'binary' });
    const [first] = [...records.getRange({ limit: 1 })];
    if (first === undefined) throw new Error('no batch');
    const byte = at(first.value.length);
    first.value[byte] = (first.value[byte] as number) ^ 0x10;
    records.putSync(first.key, first.value);
    await root.close();
    return first.value.length;
  }

  it('finds every flipped byte of a batch and names its place', async () => {
    const dir = await folder();
    let log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
    await log.ensureTopics([plain('t')]);
    await append(log, 't', 'a', 'b', 'c');
    await append(log, 't', 'd');
    await log.close();
    let size = 1;
    for (let byte = 0; byte < size; byte++) {
      size = await flip(dir, () => byte);
      log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
      await expect(log.fetch([{ topic: 't', partition: 0, offset: 1 }], { waitMs: 0 }), `byte ${byte}`).rejects.toThrow(
        /E_CORRUPT: topic 't' partition 0 offsets 0 to 2: /,
      );
      expect((await readAll(log, 't', 0, 3)).map(({ value }) => value)).toEqual(['d']);
      await log.close();
      await flip(dir, () => byte);
    }
    expect(size).toBeGreaterThan(90);
    log = await opened(dir);
    expect((await readAll(log, 't', 0)).length).toBe(4);
  });

  it('finds a batch that is missing', async () => {
    const dir = await folder();
    const log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
    await log.ensureTopics([plain('t')]);
    for (const value of ['a', 'b', 'c']) await append(log, 't', value);
    await log.close();
    const root = rawLog(dir);
    const records = root.openDB<Buffer, Buffer>({ name: 'records', encoding: 'binary', keyEncoding: 'binary' });
    const keys = [...records.getKeys({})].map((key) => Buffer.from(key));
    records.removeSync(keys[1] as Buffer);
    await root.close();
    const again = await opened(dir);
    for (const offset of [0, 1])
      await expect(again.fetch([{ topic: 't', partition: 0, offset }], { waitMs: 0 })).rejects.toThrow(
        /E_CORRUPT: .*offset 1 on are missing/,
      );
  });

  it('finds flipped bytes of a checkpoint and of state rows', async () => {
    const dir = await folder();
    const log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
    const [claim] = (await log.claim('p', [0])) as [TaskClaim];
    await log.commit(
      [
        {
          claim,
          commitNumber: 1,
          checkpoint: Buffer.from('checkpoint'),
          state: [{ store: 's', key: Buffer.from('key'), value: Buffer.from('value') }],
        },
      ],
      log.newBuffer(),
    );
    await log.close();
    const change = async (name: string) => {
      const root = rawLog(dir);
      const rows = root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' });
      const [first] = [...rows.getRange({ limit: 1 })];
      if (first === undefined) throw new Error(`no row in ${name}`);
      first.value[first.value.length - 1] = (first.value[first.value.length - 1] as number) ^ 1;
      rows.putSync(first.key, first.value);
      await root.close();
    };
    await change('tasks');
    const first = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
    await expect(first.claim('p', [0])).rejects.toThrow(/E_CORRUPT: the checkpoint of 'p' task 0/);
    await first.close();
    await change('tasks');
    await change('state');
    const second = await opened(dir);
    const [again] = (await second.claim('p', [0])) as [TaskClaim];
    expect(() => [...(again.state as Iterable<unknown>)]).toThrow(/E_CORRUPT: a row of store 's'/);
  });
});

describe('size', () => {
  it('refuses appends at 90 %, still takes commits, and takes appends again when there is room', async () => {
    const log = await opened(await folder(), { maxSizeBytes: 2 ** 20 });
    await log.ensureTopics([plain('t'), plain('out')]);
    let taken = 0;
    let refused: unknown;
    for (; taken < 1_000; taken++) {
      refused = await append(log, 't', Buffer.alloc(9_000)).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (refused !== undefined) break;
    }
    expect(refused).toMatchObject({ code: 'E_LOG_FULL', disposition: 'retry' });
    expect(taken).toBeGreaterThan(60);
    expect((await log.bounds('t', 0)).endOffset).toBe(taken);
    const [claim] = (await log.claim('p', [0])) as [TaskClaim];
    const outputs = log.newBuffer();
    outputs.add('out', 0, null, Buffer.alloc(9_000), 0, noHeaders);
    expect(await log.commit([{ claim, commitNumber: 1, checkpoint: Buffer.from('1'), state: [] }], outputs)).toBe('committed');
    const tooMuch = log.newBuffer();
    tooMuch.add('out', 0, null, Buffer.alloc(200_000), 0, noHeaders);
    await expect(log.commit([{ claim, commitNumber: 2, checkpoint: Buffer.from('2'), state: [] }], tooMuch)).rejects.toMatchObject({
      code: 'E_LOG_FULL',
    });
    expect((await log.checkpoints('p')).size).toBe(1);
    await log.trim('t', 0, taken);
    expect(await log.commit([{ claim, commitNumber: 2, checkpoint: Buffer.from('2'), state: [] }], tooMuch)).toBe('committed');
    await append(log, 't', Buffer.alloc(9_000));
    expect((await log.bounds('t', 0)).endOffset).toBe(taken + 1);
  });

  it('uses freed space again: the file does not grow with what passes through', { timeout: 60_000 }, async () => {
    const dir = await folder();
    const log = await opened(dir, { maxSizeBytes: 2 ** 22 });
    await log.ensureTopics([plain('t')]);
    for (let i = 0; i < 100; i++) {
      await append(log, 't', Buffer.alloc(200_000, i));
      await log.trim('t', 0, i + 1);
    }
    expect(log.size.usedBytes).toBeLessThan(2 ** 20);
    expect(statSync(join(dir, 'log/data.mdb')).size).toBeLessThan(2 ** 22);
  });
});

describe('cleaning', () => {
  it('deletes what was appended longer ago than the topic keeps, by the injected clock', async () => {
    let now = 10_000;
    const log = await opened(await folder(), { nowMs: () => now });
    await log.ensureTopics([plain('t', 1_300), plain('forever')]);
    for (const value of ['a', 'b', 'c']) {
      await append(log, 't', value, `${value}2`);
      await append(log, 'forever', value);
      now += 600;
    }
    await log.clean();
    expect((await readAll(log, 't', 0)).map(({ value }) => value)).toEqual(['b', 'b2', 'c', 'c2']);
    expect(await log.bounds('t', 0)).toEqual({ startOffset: 2, endOffset: 6 });
    now += 10_000;
    await log.clean();
    expect(await log.bounds('t', 0)).toEqual({ startOffset: 6, endOffset: 6 });
    expect((await readAll(log, 'forever', 0)).length).toBe(3);
    expect((await log.listTopics()).find(({ name }) => name === 't')?.bytes).toBe(0);
    await append(log, 't', 'd');
    expect((await readAll(log, 't', 0)).map(({ value, offset }) => [value, offset])).toEqual([['d', 6]]);
  });

  it('deletes more batches than fit one transaction', { timeout: 60_000 }, async () => {
    let now = 0;
    const log = await opened(await folder(), { nowMs: () => now });
    await log.ensureTopics([plain('t', 1_000)]);
    await Promise.all(Array.from({ length: 900 }, (_, i) => append(log, 't', String(i))));
    now = 2_000;
    await append(log, 't', 'new');
    await log.clean();
    expect((await readAll(log, 't', 0)).map(({ value }) => value)).toEqual(['new']);
  });

  it('joins batches as it compacts, and lets go of tombstones after a day', async () => {
    let now = 0;
    const log = await opened(await folder(), { nowMs: () => now });
    await log.ensureTopics([{ ...plain('table'), cleanup: 'compact' }]);
    const set = async (key: string, value: string | null) => {
      const output = log.newBuffer();
      output.add('table', 0, Buffer.from(key), value === null ? null : Buffer.from(value), 0, noHeaders);
      await log.append(output);
    };
    for (let i = 0; i < 200; i++) await set(`k${i % 10}`, String(i));
    await set('k3', null);
    await log.clean('all');
    const table = async () => (await readAll(log, 'table', 0)).map(({ key, value }) => `${key}=${value}`);
    expect(await table()).toEqual(['k0=190', 'k1=191', 'k2=192', 'k4=194', 'k5=195', 'k6=196', 'k7=197', 'k8=198', 'k9=199', 'k3=null']);
    const [fetched] = await log.fetch([{ topic: 'table', partition: 0, offset: 0 }], { waitMs: 0 });
    expect(fetched?.batches.length).toBe(1);
    now = 86_400_000 - 1;
    await set('k5', 'late');
    await log.clean('all');
    expect(await table()).toContain('k3=null');
    now = 86_400_000;
    await log.clean('all');
    expect(await table()).toEqual(['k0=190', 'k1=191', 'k2=192', 'k4=194', 'k6=196', 'k7=197', 'k8=198', 'k9=199', 'k5=late']);
    expect((await log.bounds('table', 0)).endOffset).toBe(202);
    expect((await log.listTopics())[0]?.bytes).toBeLessThan(500);
  });

  it('goes on while others append, trim and read', { timeout: 60_000 }, async () => {
    const log = await opened(await folder());
    await log.ensureTopics([{ ...plain('table'), cleanup: 'compact' }]);
    const latest = new Map<string, string>();
    const over = new AbortController();
    const cleaning = (async () => {
      while (!over.signal.aborted) await log.clean('all');
    })();
    for (let i = 0; i < 400; i++) {
      const output = log.newBuffer();
      for (let j = 0; j < 5; j++) {
        const key = `k${(i * 7 + j) % 31}`;
        output.add('table', 0, Buffer.from(key), Buffer.from(`${i}.${j}`), 0, noHeaders);
        latest.set(key, `${i}.${j}`);
      }
      await log.append(output);
      if (i % 50 === 49) {
        const seen = new Map((await readAll(log, 'table', 0)).map(({ key, value }) => [key, value]));
        expect(seen).toEqual(latest);
      }
    }
    over.abort();
    await cleaning;
    await log.clean('all');
    expect((await readAll(log, 'table', 0)).length).toBe(31);
  });
});

describe('reader', () => {
  it('follows the writer from another environment handle, and waits for it', async () => {
    const dir = await folder();
    await expect(openEmbeddedReader({ dir })).rejects.toMatchObject({ code: 'E_NOT_RUNNING' });
    const child = startLoop(dir, 5);
    onTestFinished(() => kill(child));
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    const reader = await openEmbeddedReader({ dir });
    onTestFinished(() => reader.close());
    let offset = 0;
    for (let i = 0; i < 20; i++) {
      const [fetched] = await reader.fetch([{ topic: 't', partition: 0, offset }], { waitMs: 10_000 });
      expect(fetched?.nextOffset).toBeGreaterThan(offset);
      offset = fetched?.nextOffset as number;
    }
    expect((await reader.listTopics()).map(({ name, partitions }) => [name, partitions])).toEqual([['t', 2]]);
    expect([...(await reader.checkpoints('p')).keys()]).toEqual([0]);
    expect(await reader.offsetForTime('t', 0, 5)).toBe(5);
    await expect(reader.bounds('nope', 0)).rejects.toMatchObject({ code: 'E_UNKNOWN_TOPIC' });
    await expect(reader.bounds('t', 2)).rejects.toMatchObject({ code: 'E_UNKNOWN_TOPIC' });
  });

  it('shows only what is flushed while the writer lives, and all there is when it does not', async () => {
    const dir = await folder();
    const log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
    await log.ensureTopics([plain('t')]);
    for (const value of ['a', 'b', 'c']) await append(log, 't', value);
    const reader = await openEmbeddedReader({ dir });
    const read = async () => (await readAll(reader, 't', 0)).map(({ value }) => value);
    expect(await read()).toEqual(['a', 'b', 'c']);
    const flushed = FlushedFile.openForWriting(dir);
    const last = flushed.read() as number;
    flushed.write(last - 1);
    expect([await read(), await reader.bounds('t', 0)]).toEqual([['a', 'b'], { startOffset: 0, endOffset: 2 }]);
    expect((await reader.listTopics())[0]?.bounds).toEqual([{ startOffset: 0, endOffset: 2 }]);
    const waiting = reader.fetch([{ topic: 't', partition: 0, offset: 2 }], { waitMs: 20_000 });
    flushed.write(last);
    expect((await waiting)[0]?.batches.length).toBe(1);
    flushed.write(0);
    expect(await read()).toEqual([]);
    await log.close();
    expect(await read()).toEqual(['a', 'b', 'c']);
    await reader.close();
    await expect(reader.bounds('t', 0)).rejects.toMatchObject({ code: 'E_NOT_RUNNING' });
    const again = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
    expect(flushed.read()).toBeGreaterThanOrEqual(last);
    flushed.close();
    await again.close();
  });
});

describe('one process', () => {
  it('reads beside its writer, and is told to open the writer first', async () => {
    const dir = await folder();
    await (await openEmbeddedLog({ dir, cleanEveryMs: Infinity })).close();
    const early = await openEmbeddedReader({ dir });
    await expect(openEmbeddedLog({ dir })).rejects.toThrow(/E_CONFIG.*open the log before its readers/);
    await early.close();
    const log = await opened(dir);
    await log.ensureTopics([plain('t')]);
    const reader = await openEmbeddedReader({ dir });
    await append(log, 't', 'a');
    expect((await readAll(reader, 't', 0)).length).toBe(1);
    await reader.close();
    await append(log, 't', 'b');
    expect((await readAll(log, 't', 0)).length).toBe(2);
  });
});

describe('group commit', () => {
  it('makes many appends durable with few flushes, and keeps one that fails from the others', async () => {
    let commits = 0;
    const log = await opened(await folder(), { onPoint: (point) => (commits += point === 'in-commit' ? 1 : 0) });
    await log.ensureTopics([plain('t')]);
    const [claim] = (await log.claim('p', [0])) as [TaskClaim];
    commits = 0;
    const outOfTurn = log.commit([{ claim, commitNumber: 9, checkpoint: Buffer.from('x'), state: [] }], log.newBuffer());
    const appends = Array.from({ length: 100 }, (_, i) => append(log, 't', String(i)));
    await expect(outOfTurn).rejects.toMatchObject({ code: 'E_ASSERT' });
    await Promise.all(appends);
    expect((await readAll(log, 't', 0)).map(({ value }) => value)).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
    commits = 0;
    await Promise.all(Array.from({ length: 100 }, (_, i) => append(log, 't', String(i))));
    expect(commits).toBeLessThan(5);
  });

  it('answers everything under way before it closes, and nothing after', async () => {
    const dir = await folder();
    const log = await openEmbeddedLog({ dir, cleanEveryMs: Infinity });
    await log.ensureTopics([plain('t')]);
    const waiting = log.fetch([{ topic: 't', partition: 0, offset: 0 }], { waitMs: 20_000 }).catch((error) => error);
    const appends = Array.from({ length: 20 }, (_, i) => append(log, 't', String(i)));
    await Promise.all([log.close(), log.close()]);
    await Promise.all(appends);
    expect(await waiting).toBeDefined();
    await expect(log.bounds('t', 0)).rejects.toMatchObject({ code: 'E_NOT_RUNNING' });
    const again = await opened(dir);
    expect((await readAll(again, 't', 0)).length).toBe(20);
  });
});
