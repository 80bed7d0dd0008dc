// What an open window weighs in a running task: the row, its key, and all that finds it again.
import { msgpack } from '../codecs/msgpack.ts';
import { planOf } from '../engine/plan.ts';
import { pipeline } from '../engine/pipeline.ts';
import type { LogPort, TaskCommit } from '../engine/ports.ts';
import { noHeaders } from '../engine/record.ts';
import { resultCodec } from '../engine/resultCodec.ts';
import { stream } from '../engine/stream.ts';
import { topic } from '../engine/topic.ts';
import { startWorker } from '../engine/worker.ts';
import { type MemoryLog, memoryLog } from '../log/memory/memoryLog.ts';
import { aggregate, count, max, mean, min, sum, tumbling } from '../operators/index.ts';
import { type BenchResult, figure } from './result.ts';

export const name = 'memory';

const RUNS = 5;
const WINDOWS = 200_000;
const BATCH = 2_000;
const TARGET_BYTES = 250;

/** The log in memory, but for the state it would keep: what is weighed is the task, not its log. */
function withoutState(log: MemoryLog): LogPort {
  return new Proxy(log, {
    get(target, property) {
      if (property === 'commit')
        return (tasks: readonly TaskCommit[], outputs: Parameters<LogPort['commit']>[1]) =>
          target.commit(
            tasks.map((task) => ({ ...task, state: [] })),
            outputs,
          );
      const member = Reflect.get(target, property, target) as unknown;
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

/** Heap and buffers after a full collection. Unit: bytes. */
function weight(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Opens one window for each of so many keys and weighs the task with them. Unit: bytes a window. */
async function weigh(run: number): Promise<number> {
  const log = memoryLog();
  const source = topic('readings', resultCodec);
  const windows = stream(source).pipe(
    aggregate('per-day', tumbling({ days: 1 }), {
      count: count(),
      sum: sum((value) => value as number),
      min: min((value) => value as number),
      max: max((value) => value as number),
      mean: mean((value) => value as number),
    }),
  );
  const plan = planOf(pipeline('memory', [windows.to(topic('results', resultCodec))]));
  await log.ensureTopics(plan.topics.map(({ spec }) => spec));
  const worker = await startWorker({ log: withoutState(log), plans: [plan], boxed: msgpack() });
  const fill = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i += BATCH) {
      const buffer = log.newBuffer();
      for (let k = i; k < Math.min(i + BATCH, to); k++)
        buffer.add(
          source.name,
          0,
          Buffer.from(`run${run}-device-${String(k).padStart(6, '0')}`),
          Buffer.from('21.5'),
          1_700_000_000_000,
          noHeaders,
        );
      await log.append(buffer);
      await drained(worker, i + BATCH > to ? to : i + BATCH);
      await log.trim(source.name, 0, Math.min(i + BATCH, to));
    }
  };
  await fill(0, BATCH);
  const before = weight();
  await fill(BATCH, BATCH + WINDOWS);
  const bytes = (weight() - before) / WINDOWS;
  await worker.stop();
  return bytes;
}

/** Waits until the task holds so many windows and has committed them. */
async function drained(worker: Awaited<ReturnType<typeof startWorker>>, rows: number): Promise<void> {
  const committed = (): number => worker.metrics().commits.count;
  while ((worker.metrics().tasks[0]?.stateRows ?? 0) < rows)
    await Promise.race([worker.failed, new Promise((done) => setTimeout(done, 1))]);
  const before = committed();
  while (committed() === before && (worker.metrics().tasks[0]?.lag.some(({ records }) => records > 0) ?? true))
    await Promise.race([worker.failed, new Promise((done) => setTimeout(done, 1))]);
}

/** Weighs several times, each in a task of its own. */
export async function run(): Promise<BenchResult> {
  const runs: number[] = [];
  for (let i = 0; i < RUNS; i++) runs.push(await weigh(i));
  return {
    name,
    figures: { 'open (key, window)': figure(runs, 'bytes', TARGET_BYTES) },
    notes: `count, sum, min, max and mean; ${WINDOWS} keys of 18 characters, one open window each, heap and buffers of the whole task after a full collection.`,
  };
}
