// The memory log: the contract, and the controls tests have over it.
import { describe, expect, it } from 'vitest';
import type { TaskClaim } from '../../engine/ports.ts';
import { noHeaders } from '../../engine/record.ts';
import { memoryLog } from '../../log/memory/memoryLog.ts';
import { logContract, readAll } from '../contract/log.ts';

logContract('memory', async () => {
  const log = memoryLog();
  return {
    log,
    compact: async () => log.clean(),
    loseNextAnswer: (commit) => log.loseNextAnswer(commit),
    dispose: () => log.close(),
  };
});

describe('memory log', () => {
  async function opened() {
    let now = 1_000;
    const log = memoryLog({ nowMs: () => now });
    await log.ensureTopics([
      { name: 't', partitions: 1, cleanup: 'delete', keepMs: 500 },
      { name: 'table', partitions: 1, cleanup: 'compact', keepMs: Infinity },
    ]);
    const buffer = (topic: string, value: string | null) => {
      const output = log.newBuffer();
      output.add(topic, 0, Buffer.from('k'), value === null ? null : Buffer.from(value), 0, noHeaders);
      return output;
    };
    const [claim] = (await log.claim('p', [0])) as [TaskClaim];
    const commit = (n: number, value: string) =>
      log.commit([{ claim, commitNumber: n, checkpoint: Buffer.from(value), state: [] }], buffer('t', value));
    return {
      log,
      buffer,
      commit,
      advance: (ms: number) => (now += ms),
      values: async (topic: string) => (await readAll(log, topic, 0)).map(({ value }) => value),
    };
  }

  it('fences a task on demand and counts the commits that took place', async () => {
    const { log, commit, values } = await opened();
    expect(await commit(1, 'a')).toBe('committed');
    log.fence('p', 0);
    expect(await commit(2, 'b')).toBe('lost');
    expect([log.commitCount, await values('t')]).toEqual([1, ['a']]);
  });

  it('holds commits until they are released', async () => {
    const { log, commit, values } = await opened();
    const release = log.holdCommits();
    let isDone = false;
    const committing = commit(1, 'a').then((outcome) => {
      isDone = true;
      return outcome;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([isDone, await values('t')]).toEqual([false, []]);
    release();
    expect([await committing, await values('t')]).toEqual(['committed', ['a']]);
    expect(await commit(2, 'b')).toBe('committed');
  });

  it('deletes by append time and drops tombstones after a day', async () => {
    const { log, buffer, advance, values } = await opened();
    await log.append(buffer('t', 'old'));
    await log.append(buffer('table', 'gone'));
    await log.append(buffer('table', null));
    advance(600);
    await log.append(buffer('t', 'new'));
    log.clean();
    expect([await values('t'), await values('table'), await log.bounds('t', 0)]).toEqual([
      ['new'],
      [null],
      { startOffset: 1, endOffset: 2 },
    ]);
    advance(86_400_000);
    log.clean();
    expect(await values('table')).toEqual([]);
  });

  it('refuses work when it is closed, and ends fetches that wait', async () => {
    const { log, buffer } = await opened();
    const waiting = log.fetch([{ topic: 't', partition: 0, offset: 0 }], { waitMs: 20_000 });
    const late = buffer('t', 'x');
    await log.close();
    await expect(waiting).rejects.toMatchObject({ code: 'E_NOT_RUNNING' });
    await expect(log.append(late)).rejects.toMatchObject({ code: 'E_NOT_RUNNING' });
  });
});
