// One partition of the memory log: its batches in order, decoded when first fetched.
import type { Bounds, Fetched, RecordBatch } from '../../engine/ports.ts';
import { copyRecords, latestOffsets, stayingRecords } from '../compaction.ts';
import { decodeRecordBatch } from '../recordBatch.ts';
import { RecordBatchEncoder } from '../recordBatchEncoder.ts';
import { outOfRange } from '../topicSpecs.ts';

interface Stored {
  readonly bytes: Buffer;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly appendTimeMs: number;
  decoded: RecordBatch | undefined;
}

/** Batches never leave the process, so they carry no checksum. */
function decoded(stored: Stored): RecordBatch {
  return (stored.decoded ??= decodeRecordBatch(stored.bytes, { appendTimeMs: stored.appendTimeMs, checksum: false }));
}

export class MemoryPartition {
  byteCount = 0;
  readonly #topic: string;
  readonly #partition: number;
  #batches: Stored[] = [];
  #startOffset = 0;
  #endOffset = 0;

  constructor(topic: string, partition: number) {
    this.#topic = topic;
    this.#partition = partition;
  }

  bounds(): Bounds {
    return { startOffset: this.#startOffset, endOffset: this.#endOffset };
  }

  /** Takes the encoder's memory over: it must not be used again. */
  append(batch: RecordBatchEncoder, appendTimeMs: number): void {
    const baseOffset = this.#endOffset;
    const bytes = batch.seal({ baseOffset, checksum: false });
    this.#endOffset = baseOffset + batch.count;
    this.byteCount += bytes.length;
    this.#batches.push({ bytes, baseOffset, nextOffset: this.#endOffset, appendTimeMs, decoded: undefined });
  }

  fetch(offset: number, bytesMax: number): Fetched {
    if (!(offset >= this.#startOffset && offset <= this.#endOffset))
      throw outOfRange(this.#topic, this.#partition, offset, this.#startOffset, this.#endOffset);
    const batches: RecordBatch[] = [];
    let nextOffset = offset;
    let bytes = 0;
    for (let i = this.#indexOf(offset); i < this.#batches.length && (bytes === 0 || bytes < bytesMax); i++) {
      const stored = this.#batches[i] as Stored;
      batches.push(decoded(stored));
      bytes += stored.bytes.length;
      nextOffset = stored.nextOffset;
    }
    return {
      topic: this.#topic,
      partition: this.#partition,
      batches,
      nextOffset,
      endOffset: this.#endOffset,
      startOffset: this.#startOffset,
    };
  }

  /** Index of the first batch that ends after the offset. */
  #indexOf(offset: number): number {
    let low = 0;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#batches[middle] as Stored).nextOffset > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  offsetForTime(timeMs: number): number {
    for (let i = this.#indexOf(this.#startOffset); i < this.#batches.length; i++) {
      const batch = decoded(this.#batches[i] as Stored);
      for (let r = 0; r < batch.count; r++) {
        const offset = batch.baseOffset + (batch.offsetDelta[r] as number);
        if (offset >= this.#startOffset && (batch.timeMs[r] as number) >= timeMs) return offset;
      }
    }
    return this.#endOffset;
  }

  trim(beforeOffset: number): void {
    this.#startOffset = Math.max(this.#startOffset, Math.min(beforeOffset, this.#endOffset));
    this.#drop(this.#indexOf(this.#startOffset));
  }

  /** Deletes the batches that were appended before `timeMs`. */
  deleteBefore(timeMs: number): void {
    let count = 0;
    while (count < this.#batches.length && (this.#batches[count] as Stored).appendTimeMs < timeMs) count++;
    if (count > 0) this.#startOffset = Math.max(this.#startOffset, (this.#batches[count - 1] as Stored).nextOffset);
    this.#drop(count);
  }

  #drop(count: number): void {
    for (const stored of this.#batches.splice(0, count)) this.byteCount -= stored.bytes.length;
  }

  /** Keeps the latest record of each key, in place: offsets stay. */
  compact(nowMs: number): void {
    const latest = latestOffsets(this.#batches.map(decoded));
    this.#batches = this.#batches.map((stored) => {
      const batch = decoded(stored);
      const kept = stayingRecords(batch, latest, nowMs);
      if (kept.length === batch.count) return stored;
      const encoder = new RecordBatchEncoder();
      copyRecords(batch, kept, encoder, stored.baseOffset);
      const bytes = encoder.seal({
        baseOffset: stored.baseOffset,
        lastOffsetDelta: stored.nextOffset - stored.baseOffset - 1,
        checksum: false,
      });
      this.byteCount += bytes.length - stored.bytes.length;
      return { ...stored, bytes, decoded: undefined };
    });
  }
}
