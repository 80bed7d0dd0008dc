// Logs for tests of ingest: the memory log with an append that can be held, delayed or refused, and a reader.
import { DEAD_LETTER_TOPIC } from '../../engine/deadLetter.ts';
import type { LogPort, OutputBuffer } from '../../engine/ports.ts';
import type { RoutedTopic } from '../../ingest/routes.ts';
import { memoryLog } from '../../log/memory/memoryLog.ts';

/** What stands between ingest and the log: called with the append, which it lets happen or not. */
export type Gate = (append: () => Promise<void>) => Promise<void>;

/** A memory log that holds these topics, and the dead letters; every append goes through the gate. */
export async function gatedLog(topics: readonly RoutedTopic[], gate: Gate = (append) => append()): Promise<LogPort> {
  const log = memoryLog();
  await log.ensureTopics([
    ...topics.map(({ topic, partitions }) => ({
      name: topic.name,
      partitions,
      cleanup: topic.compact ? ('compact' as const) : ('delete' as const),
      keepMs: Infinity,
    })),
    { name: DEAD_LETTER_TOPIC, partitions: 1, cleanup: 'delete', keepMs: Infinity },
  ]);
  const append = log.append.bind(log);
  log.append = (buffer: OutputBuffer) => gate(() => append(buffer));
  return log;
}

/** A record as bytes. */
export interface Stored {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timeMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

/** All records of a partition. */
export async function readAll(log: LogPort, topic: string, partition = 0): Promise<readonly Stored[]> {
  const records: Stored[] = [];
  for (let offset = 0; ; ) {
    const [fetched] = await log.fetch([{ topic, partition, offset }], { waitMs: 0 });
    if (fetched === undefined || fetched.batches.length === 0) return records;
    for (const batch of fetched.batches)
      for (let i = 0; i < batch.count; i++) {
        const part = (start: number, end: number) => (start < 0 ? null : Buffer.from(batch.bytes.subarray(start, end)));
        records.push({
          key: part(batch.keyStart[i] as number, batch.keyEnd[i] as number),
          value: part(batch.valueStart[i] as number, batch.valueEnd[i] as number),
          timeMs: batch.timeMs[i] as number,
          headers: Object.fromEntries(Object.entries(batch.headers(i)).map(([name, bytes]) => [name, Buffer.from(bytes).toString('utf8')])),
        });
      }
    offset = fetched.nextOffset;
  }
}
