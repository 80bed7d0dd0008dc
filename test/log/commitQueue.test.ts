// What the embedded log does when the disk fails or is full: LMDB's transaction is made to throw as it does then.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { MillraceError } from '../../engine/errors.ts';
import { CommitQueue, lastSequence } from '../../log/embedded/commitQueue.ts';
import { type Environment, openForWriting } from '../../log/embedded/environment.ts';
import { FlushedFile } from '../../log/embedded/flushedFile.ts';

const EIO = 5;
const ENOSPC = 28;
const key = Buffer.from('key');

/** A queue over a real environment whose next transactions fail at their commit, with LMDB's error numbers. */
async function failing() {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-queue-'));
  const real = await openForWriting(dir, 2 ** 24);
  const flushed = FlushedFile.openForWriting(dir);
  let fail: { code: number | string; times: number } | undefined;
  const transactionSync = (body: () => unknown) =>
    real.root.transactionSync(() => {
      const result = body();
      if (fail !== undefined && fail.times-- > 0) throw Object.assign(new Error('as the disk says'), { code: fail.code });
      return result;
    });
  const root = new Proxy(real.root, { get: (target, name) => (name === 'transactionSync' ? transactionSync : Reflect.get(target, name)) });
  const environment: Environment = { ...real, root };
  const fatal: MillraceError[] = [];
  const queue = new CommitQueue({ environment, flushed, onFatal: (error) => fatal.push(error) });
  onTestFinished(async () => {
    flushed.close();
    await real.root.close();
    rmSync(dir, { recursive: true });
  });
  const put = (value: string) => queue.run(() => void real.meta.put(key, Buffer.from(value)));
  const held = () => real.meta.get(key)?.toString();
  return { queue, flushed, fatal, put, held, environment, failNext: (code: number | string, times: number) => (fail = { code, times }) };
}

it('takes nothing any more after a failed flush, says so once, and has written nothing', async () => {
  const { put, held, failNext, fatal, queue, flushed, environment } = await failing();
  await put('durable');
  failNext(EIO, 1);
  const [first, second] = await Promise.allSettled([put('lost'), put('lost too')]);
  for (const outcome of [first, second])
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'E_FLUSH', disposition: 'stop' } });
  await expect(put('later')).rejects.toMatchObject({ code: 'E_FLUSH' });
  expect(fatal.map(({ code }) => code)).toEqual(['E_FLUSH']);
  expect([held(), flushed.read(), lastSequence(environment)]).toEqual(['durable', 1, 1]);
  await queue.drained();
});

it('goes on after a full disk, when there is room again', async () => {
  const { put, held, failNext, fatal, flushed } = await failing();
  await put('a');
  failNext(ENOSPC, 1);
  await expect(put('b')).rejects.toMatchObject({ code: 'E_LOG_FULL', disposition: 'retry' });
  expect(held()).toBe('a');
  await put('c');
  expect([held(), flushed.read(), fatal]).toEqual(['c', 2, []]);
});

it('tries the operations of a group alone when they do not fit together', async () => {
  const { queue, put, held, failNext } = await failing();
  failNext(ENOSPC, 2);
  const [first, second, third] = await Promise.allSettled([put('first'), put('second'), queue.run(() => 42)]);
  expect(first).toMatchObject({ status: 'rejected', reason: { code: 'E_LOG_FULL' } });
  expect([second, third]).toEqual([
    { status: 'fulfilled', value: undefined },
    { status: 'fulfilled', value: 42 },
  ]);
  expect(held()).toBe('second');
});

it('undoes an operation that throws, and only that one', async () => {
  const { queue, put, held, fatal } = await failing();
  const bug = queue.run(() => {
    throw new TypeError('a bug');
  });
  const good = put('good');
  await expect(bug).rejects.toThrow('a bug');
  await good;
  expect([held(), fatal]).toEqual(['good', []]);
});

it('acknowledges what is durable even if it cannot tell the readers', async () => {
  const { put, held, flushed, fatal } = await failing();
  const { write } = flushed;
  flushed.write = () => {
    flushed.write = write;
    throw Object.assign(new Error('full'), { code: 'ENOSPC' });
  };
  await put('a');
  expect([held(), flushed.read(), fatal]).toEqual(['a', 0, []]);
  await put('b');
  expect(flushed.read()).toBe(2);
});
