// A fixed bug: silence moved stream time by fractions of a millisecond, and the mark after a restart could not be written.
import { afterEach, expect, it } from 'vitest';
import { msgpack } from '../../codecs/msgpack.ts';
import { pipeline } from '../../engine/pipeline.ts';
import { planOf } from '../../engine/plan.ts';
import { noHeaders } from '../../engine/record.ts';
import { resultCodec } from '../../engine/resultCodec.ts';
import { stream } from '../../engine/stream.ts';
import { topic } from '../../engine/topic.ts';
import { startWorker, type Worker } from '../../engine/worker.ts';
import { type MemoryLog, memoryLog } from '../../log/memory/memoryLog.ts';
import { aggregate, count, rekey, tumbling } from '../../operators/index.ts';

const source = topic('in', resultCodec);
const direct = topic('direct', resultCodec);
const rekeyed = topic('rekeyed', resultCodec);
const windows = tumbling({ ms: 10 });
const plan = planOf(
  pipeline(
    'p',
    [
      stream(source)
        .pipe(aggregate('a', windows, { n: count() }))
        .to(direct),
      stream(source)
        .pipe(
          rekey('one', () => 'all'),
          aggregate('b', windows, { n: count() }),
        )
        .to(rekeyed),
    ],
    { idleAfterMs: 20, commitEveryMs: 5 },
  ),
);

const running: Worker[] = [];
afterEach(async () => {
  for (const worker of running.splice(0)) await worker.stop().catch(() => {});
});

async function start(log: MemoryLog): Promise<Worker> {
  const worker = await startWorker({ log, plans: [plan], boxed: msgpack() });
  running.push(worker);
  return worker;
}

async function send(log: MemoryLog, at: number): Promise<void> {
  const buffer = log.newBuffer();
  buffer.add('in', 0, Buffer.from('k'), source.codec.encode({}), at, noHeaders);
  await log.append(buffer);
}

/** Waits until a topic has so many records; fails with what ended the worker, if something did. */
async function written(log: MemoryLog, worker: Worker, name: string, least: number): Promise<void> {
  while ((await log.bounds(name, 0)).endOffset < least) {
    const { endOffset } = await log.bounds(name, 0);
    await Promise.race([worker.failed, log.fetch([{ topic: name, partition: 0, offset: endOffset }], { waitMs: 200 })]);
  }
}

it('goes on after a restart that followed silence, and keeps stream time in whole milliseconds', async () => {
  const log = memoryLog();
  await log.ensureTopics(plan.topics.map(({ spec }) => spec));
  for (let round = 1; round <= 3; round++) {
    const worker = await start(log);
    await send(log, round * 1_000);
    await written(log, worker, 'direct', round);
    await written(log, worker, 'rekeyed', round);
    for (const timeMs of worker.metrics().tasks.flatMap((task) => task.streamTimeMs)) expect(timeMs).toSatisfy(Number.isInteger);
    await worker.stop();
  }
});
