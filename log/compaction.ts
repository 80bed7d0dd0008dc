// Compaction: the latest record of each key stays, with its offset; what it replaced goes.
import type { RecordBatch } from '../engine/ports.ts';
import type { RecordBatchEncoder } from './recordBatchEncoder.ts';

/** How long a tombstone (a null value) stays after it was appended, so that every reader meets it. As Kafka's delete.retention.ms. */
export const TOMBSTONE_KEEP_MS = 86_400_000;

/** Offset of the latest record of each key, by the key's bytes as latin1 text. Records without a key are nobody's latest. */
export type LatestOffsets = Map<string, number>;

/** Adds what a batch says. Batches come in offset order. */
export function noteLatest(latest: LatestOffsets, batch: RecordBatch): void {
  for (let i = 0; i < batch.count; i++) {
    const start = batch.keyStart[i] as number;
    if (start >= 0) latest.set(batch.bytes.toString('latin1', start, batch.keyEnd[i]), batch.baseOffset + (batch.offsetDelta[i] as number));
  }
}

export function latestOffsets(batches: Iterable<RecordBatch>): LatestOffsets {
  const latest: LatestOffsets = new Map();
  for (const batch of batches) noteLatest(latest, batch);
  return latest;
}

/** True for a record that stays: the latest of its key, and no tombstone past its time. */
function stays(batch: RecordBatch, i: number, latest: LatestOffsets, tombstonesGone: boolean): boolean {
  const start = batch.keyStart[i] as number;
  if (start < 0) return false;
  if (tombstonesGone && (batch.valueStart[i] as number) < 0) return false;
  const last = latest.get(batch.bytes.toString('latin1', start, batch.keyEnd[i]));
  return last === undefined || last <= batch.baseOffset + (batch.offsetDelta[i] as number);
}

/** Indexes of the records that compaction keeps. */
export function stayingRecords(batch: RecordBatch, latest: LatestOffsets, nowMs: number): number[] {
  const tombstonesGone = nowMs - batch.appendTimeMs >= TOMBSTONE_KEEP_MS;
  const kept: number[] = [];
  for (let i = 0; i < batch.count; i++) if (stays(batch, i, latest, tombstonesGone)) kept.push(i);
  return kept;
}

/** Copies records into another batch that begins at `baseOffset`. They keep their offsets. */
export function copyRecords(batch: RecordBatch, kept: readonly number[], encoder: RecordBatchEncoder, baseOffset: number): void {
  for (const i of kept) {
    const key = batch.bytes.subarray(batch.keyStart[i], batch.keyEnd[i]);
    const value = (batch.valueStart[i] as number) < 0 ? null : batch.bytes.subarray(batch.valueStart[i], batch.valueEnd[i]);
    encoder.addAt(
      batch.baseOffset - baseOffset + (batch.offsetDelta[i] as number),
      key,
      value,
      batch.timeMs[i] as number,
      batch.headers(i),
    );
  }
}
