// The worker on the memory log: commits and their outcomes, silence, bounded runs, stopping and going on.
import { afterEach, describe, expect, it } from 'vitest';
import { msgpack } from '../../codecs/msgpack.ts';
import { pipeline } from '../../engine/pipeline.ts';
import { planOf } from '../../engine/plan.ts';
import type { FeedStatus } from '../../engine/ports.ts';
import { MillraceError } from '../../engine/errors.ts';
import { noHeaders } from '../../engine/record.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import { stream } from '../../engine/stream.ts';
import { type Codec, type Topic, topic } from '../../engine/topic.ts';
import { startWorker, type Worker, type WorkerOptions } from '../../engine/worker.ts';
import { type MemoryLog, memoryLog } from '../../log/memory/memoryLog.ts';
import { aggregate, count, map, rekey, tumbling } from '../../operators/index.ts';

const codec = resultCodec as Codec<any>;
const source = topic('in', codec);
const out = topic('out', codec);

const counts = (options = {}) =>
  pipeline(
    'p',
    [
      stream(source)
        .pipe(aggregate('c', tumbling({ ms: 10 }), { n: count() }))
        .to(out),
    ],
    { idleAfterMs: 50, commitEveryMs: 5, ...options },
  );

const running: Worker[] = [];
afterEach(async () => {
  for (const worker of running.splice(0)) await worker.stop().catch(() => {});
});

async function start(log: MemoryLog, p = counts(), options: Partial<WorkerOptions> = {}): Promise<Worker> {
  const plan = planOf(p);
  await log.ensureTopics(plan.topics.map((t) => t.spec));
  const worker = await startWorker({ log, plans: [plan], boxed: msgpack(), freeze: true, ...options });
  running.push(worker);
  return worker;
}

async function send(log: MemoryLog, values: readonly (readonly [key: string, at: number])[], to: Topic<any, any> = source): Promise<void> {
  const buffer = log.newBuffer();
  for (const [key, at] of values) buffer.add(to.name, 0, Buffer.from(key), to.codec.encode({}), at, noHeaders);
  await log.append(buffer);
}

/** What a topic holds once it holds at least `least` records. */
async function received(log: MemoryLog, least: number, from: Topic<any, any> = out): Promise<any[]> {
  for (;;) {
    const [fetched] = await log.fetch([{ topic: from.name, partition: 0, offset: 0 }], { waitMs: 0 });
    const found = (fetched?.batches ?? []).flatMap((b) =>
      Array.from({ length: b.count }, (_, i) => ({
        key: b.bytes.toString('utf8', b.keyStart[i], b.keyEnd[i]),
        ...codec.decode(b.bytes, b.valueStart[i] as number, b.valueEnd[i] as number),
      })),
    );
    if (found.length >= least) return found;
    await log.fetch([{ topic: from.name, partition: 0, offset: fetched?.nextOffset ?? 0 }], { waitMs: 1_000 });
  }
}

describe('worker', () => {
  it('processes, commits, and ends a bounded run with everything closed', async () => {
    const log = memoryLog();
    await log.ensureTopics(planOf(counts()).topics.map((t) => t.spec));
    await send(
      log,
      Array.from({ length: 1000 }, (_, i) => [`k${i % 3}`, i] as const),
    );
    const worker = await start(log);
    worker.endOfInput();
    await worker.finished;
    const found = await received(log, 300);
    expect(found).toHaveLength(300);
    expect(found.reduce((sum, r) => sum + r.n, 0)).toBe(1000);
    expect(worker.metrics().tasks[0]).toMatchObject({
      pipeline: 'p',
      counters: { in: 1000, out: 300 },
      stateRows: 0,
      lag: [{ topic: 'in', records: 0 }],
      streamTimeMs: [1000],
    });
  });

  it('goes on where it stopped, with its state', async () => {
    const log = memoryLog();
    const first = await start(log);
    await send(log, [
      ['k', 1],
      ['k', 2],
    ]);
    while ((first.metrics().tasks[0]?.counters.in ?? 0) < 2) await new Promise((r) => setImmediate(r));
    await first.stop();
    await send(log, [
      ['k', 3],
      ['k', 11],
    ]);
    await start(log);
    expect(await received(log, 1)).toMatchObject([{ key: 'k', startMs: 0, n: 3 }]);
  });

  it.each(['happened', 'did not happen'] as const)('an unknown outcome that %s: every record counts once', async (what) => {
    const log = memoryLog();
    const worker = await start(log);
    for (let i = 0; i < 20; i++) {
      if (i % 4 === 0) log.loseNextAnswer(what);
      await send(log, [
        ['k', i],
        ['j', i],
      ]);
      const before = log.commitCount;
      while (log.commitCount === before) await new Promise((r) => setImmediate(r));
    }
    worker.endOfInput();
    await worker.finished;
    const found = await received(log, 4);
    expect(found.map((r) => [r.key, r.startMs, r.n])).toEqual([
      ['j', 0, 10],
      ['k', 0, 10],
      ['j', 10, 10],
      ['k', 10, 10],
    ]);
  });

  it('ends when another process has taken its task over, and wrote nothing after that', async () => {
    const log = memoryLog();
    const worker = await start(log);
    await send(log, [['k', 1]]);
    while (log.commitCount === 0) await new Promise((r) => setImmediate(r));
    const commits = log.commitCount;
    log.fence('p.v1', 0);
    await send(log, [['k', 100]]);
    await expect(worker.failed).rejects.toThrow(/E_FENCED/);
    expect(log.commitCount).toBe(commits);
    expect((await log.bounds('out', 0)).endOffset).toBe(0);
  });

  it('goes on processing while a commit is under way, and keeps both undo generations apart', async () => {
    const log = memoryLog();
    const worker = await start(log);
    const release = log.holdCommits();
    await send(log, [['k', 1]]);
    while ((worker.metrics().tasks[0]?.counters.in ?? 0) < 1) await new Promise((r) => setImmediate(r));
    await send(log, [['k', 2]]);
    while ((worker.metrics().tasks[0]?.counters.in ?? 0) < 2) await new Promise((r) => setImmediate(r));
    log.loseNextAnswer('did not happen');
    release();
    await send(log, [['k', 12]]);
    expect(await received(log, 1)).toMatchObject([{ n: 2 }]);
  });

  it('lets silence pass at wall speed once the topic is idle and its feeder drained, and not before', async () => {
    const log = memoryLog();
    let drained: number | undefined;
    const feeds: FeedStatus = { drainedAtMs: () => drained };
    const worker = await start(log, counts(), { feeds });
    await send(log, [['k', 5]]);
    while ((worker.metrics().tasks[0]?.counters.in ?? 0) < 1) await new Promise((r) => setImmediate(r));
    await new Promise((r) => setTimeout(r, 300));
    expect((await log.bounds('out', 0)).endOffset).toBe(0);
    const ticking = setInterval(() => {
      drained = performance.now();
    }, 5);
    try {
      expect(await received(log, 1)).toMatchObject([{ key: 'k', startMs: 0, n: 1 }]);
    } finally {
      clearInterval(ticking);
    }
    // The tick is in the journal, with the run that came before it.
    const [journal] = await log.fetch([{ topic: 'p.v1.journal', partition: 0, offset: 0 }], { waitMs: 0 });
    const batch = journal?.batches[0];
    const entries = msgpack().decode(batch?.bytes as Buffer, batch?.valueStart[0] as number, batch?.valueEnd[0] as number);
    expect(entries).toMatchObject([
      [0, 0, 1],
      [2, 0, expect.any(Number)],
    ]);
  });

  it('carries silence across a rekey: the far side closes although nothing more comes', async () => {
    const log = memoryLog();
    const p = pipeline(
      'p',
      [
        stream(source)
          .pipe(
            map(() => ({ z: 1 })),
            rekey('z', () => 'all'),
            aggregate('c', tumbling({ ms: 10 }), { n: count() }),
          )
          .to(out),
      ],
      { idleAfterMs: 30, commitEveryMs: 5, partitions: 1 },
    );
    await start(log, p);
    await send(log, [
      ['a', 1],
      ['b', 2],
    ]);
    expect(await received(log, 1)).toMatchObject([{ key: 'all', n: 2 }]);
  });

  it('fails with the reason when its position is gone from the log', async () => {
    const log = memoryLog();
    const worker = await start(log);
    await send(log, [
      ['k', 1],
      ['k', 2],
    ]);
    while ((worker.metrics().tasks[0]?.counters.in ?? 0) < 2) await new Promise((r) => setImmediate(r));
    await worker.stop();
    await send(log, [
      ['k', 3],
      ['k', 4],
    ]);
    await log.trim('in', 0, 3);
    const again = await start(log);
    await expect(again.failed).rejects.toThrow(/E_OFFSET_OUT_OF_RANGE/);
  });

  it('reports commit times and a slow slice with its place', async () => {
    const log = memoryLog();
    const slow: string[] = [];
    const p = pipeline('p', [
      stream(source)
        .pipe(
          map(() => {
            const end = performance.now() + 1_050;
            while (performance.now() < end);
            return {};
          }),
        )
        .to(out),
    ]);
    const worker = await start(log, p, { onSlow: ({ at }) => slow.push(...at) });
    await send(log, [['k', 1]]);
    await received(log, 1);
    expect(slow).toEqual(['in/0@1']);
    expect(worker.metrics().commits.count).toBeGreaterThan(0);
  });
});

describe('a record that holds the worker up', () => {
  it('is named before it is tried, and left out, dead-lettered and journaled when told to', async () => {
    const log = memoryLog();
    const taken: string[] = [];
    const first = await start(log, counts(), {
      onTake: (topicName, partition, offset) => taken.push(`${topicName}/${partition}@${offset}`),
    });
    await send(log, [
      ['k', 1],
      ['k', 2],
    ]);
    while ((first.metrics().tasks[0]?.counters.in ?? 0) < 2) await new Promise((r) => setImmediate(r));
    expect(taken).toEqual(['in/0@0', 'in/0@1']);
    await first.stop();
    await send(log, [
      ['k', 3],
      ['k', 4],
    ]);
    const worker = await start(log, counts(), { skip: [{ topic: 'in', partition: 0, offset: 3 }] });
    worker.endOfInput();
    await worker.finished;
    expect(await received(log, 1)).toMatchObject([{ key: 'k', startMs: 0, n: 3 }]);
    expect(worker.metrics().tasks[0]?.counters['dead_lettered/E_CALLBACK']).toBe(1);
    expect((await log.bounds('millrace.dlq', 0)).endOffset).toBe(1);
  });
});

it('a full log delays a commit and loses nothing', async () => {
  const log = memoryLog();
  let full = 2;
  const told: string[] = [];
  const commit = log.commit.bind(log);
  log.commit = (...args) => (full-- > 0 ? Promise.reject(new MillraceError('E_LOG_FULL', 'no room')) : commit(...args));
  const worker = await start(log, counts(), { onFull: (message) => told.push(message) });
  await send(log, [
    ['k', 1],
    ['k', 2],
  ]);
  worker.endOfInput();
  await worker.finished;
  expect(await received(log, 1)).toMatchObject([{ key: 'k', n: 2 }]);
  expect(told).toEqual(['E_LOG_FULL: no room', 'E_LOG_FULL: no room']);
});
