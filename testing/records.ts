// Reads a memory log record by record, as a test wants to see it.
import type { Plan } from '../engine/plan.ts';
import type { Headers } from '../engine/record.ts';
import type { MemoryLog } from '../log/memory/memoryLog.ts';

/** A record as its bytes lie in the log. */
export interface RawRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly eventTimeMs: number;
  readonly headers: Headers;
}

/** Every record a partition still holds from an offset on. */
export function recordsOf(log: MemoryLog, topic: string, partition: number, from: number): RawRecord[] {
  const found: RawRecord[] = [];
  const offset = Math.max(from, log.boundsNow(topic, partition).startOffset);
  for (const { batches } of log.fetchNow([{ topic, partition, offset }], Number.POSITIVE_INFINITY))
    for (const batch of batches)
      for (let i = 0; i < batch.count; i++) {
        const bytes = (start: number, end: number) => (start < 0 ? null : Buffer.from(batch.bytes.subarray(start, end)));
        found.push({
          partition,
          offset: batch.baseOffset + (batch.offsetDelta[i] as number),
          key: bytes(batch.keyStart[i] as number, batch.keyEnd[i] as number),
          value: bytes(batch.valueStart[i] as number, batch.valueEnd[i] as number),
          eventTimeMs: batch.timeMs[i] as number,
          headers: batch.headers(i),
        });
      }
  return found.filter((r) => r.offset >= offset);
}

/** Appends all the sources of a plan hold to another log, which has the topics. */
export function copySources(plan: Plan, from: MemoryLog, to: MemoryLog): void {
  for (const { spec, role } of plan.topics) {
    if (role !== 'source' && role !== 'table') continue;
    for (let partition = 0; partition < spec.partitions; partition++) {
      const buffer = to.newBuffer();
      for (const { key, value, eventTimeMs, headers } of recordsOf(from, spec.name, partition, 0))
        buffer.add(spec.name, partition, key, value, eventTimeMs, headers);
      to.appendNow(buffer);
    }
  }
}
