// Fixed: at the end of a bounded run the worker spun on fetches that answered at once, and the commit under way never ended.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { msgpack } from '../../codecs/msgpack.ts';
import { planOf } from '../../engine/plan.ts';
import type { LogPort } from '../../engine/ports.ts';
import { startWorker } from '../../engine/worker.ts';
import { memoryLog } from '../../log/memory/memoryLog.ts';
import { aggregate, bytes, count, duckdb, pipeline, stream, topic, tumbling } from '../../index.ts';

it('ends although a commit takes longer than a fetch', async () => {
  const input = topic('end.in', bytes);
  const counted = stream(input).pipe(aggregate('count', tumbling({ minutes: 1 }), { n: count() }));
  const plan = planOf(pipeline('end', [counted.to(duckdb('counts'))]));
  const memory = memoryLog();
  let fetches = 0;
  const log: LogPort = new Proxy(memory, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== 'function') return value;
      if (name === 'commit')
        return async (...args: Parameters<LogPort['commit']>) => {
          await sleep(20);
          return target.commit(...args);
        };
      if (name === 'fetch')
        return (...args: Parameters<LogPort['fetch']>) => {
          if (++fetches > 100_000) throw new Error('the worker spins');
          return target.fetch(...args);
        };
      return value.bind(target);
    },
  });
  await log.ensureTopics(plan.topics.map(({ spec }) => spec));
  const buffer = log.newBuffer();
  buffer.add('end.in', 0, Buffer.from('k'), Buffer.from('v'), 1_000, {});
  await log.append(buffer);
  const worker = await startWorker({ log, plans: [plan], boxed: msgpack() });
  worker.endOfInput();
  await Promise.race([worker.finished, worker.failed]);
  await worker.stop();
  expect(memory.boundsNow('end.counts', 0).endOffset).toBe(1);
});
