// Deletes what topics no longer keep and compacts the compacted ones, a piece at a time between other commits.
import type { LatestOffsets } from '../compaction.ts';
import { copyRecords, noteLatest, stayingRecords } from '../compaction.ts';
import { RecordBatchEncoder } from '../recordBatchEncoder.ts';
import type { RecordBatch } from '../../engine/ports.ts';
import type { CommitQueue } from './commitQueue.ts';
import type { Environment } from './environment.ts';
import { batchAt, breathe, headAt, keyAtOrAfter, type PartitionView, readPartition, SCAN_BYTES } from './partitionReader.ts';
import { isSamePartition, offsetOfKey, recordKey } from './rows.ts';
import { place, storedBatch } from './storedBatch.ts';
import type { Partition, PartitionDrafts, TopicTable } from './topicTable.ts';

/** Batches deleted in one transaction. */
const DELETE_BATCHES = 256;
/** A compacted topic is compacted when this part of it was appended since the last time, as Kafka's min.cleanable.dirty.ratio. */
const DIRTY_SHARE = 0.5;
/** …and at least this much, so that a small table is not rewritten all the time. Unit: bytes. */
const DIRTY_BYTES_LEAST = 256 * 1024;
/** Size at which a compacted batch is closed. Unit: bytes. */
const COMPACTED_BYTES = 512 * 1024;
/** Longest run of offsets one batch may cover: deltas are 32-bit. */
const COMPACTED_SPAN = 2 ** 30;
/** Batches with tombstones are joined only with others of about their age, or the tombstones would never grow old enough to go. */
const TOMBSTONE_SPREAD_MS = 3_600_000;

export interface CleanerOptions {
  readonly environment: Environment;
  readonly queue: CommitQueue;
  readonly topics: TopicTable;
  readonly drafts: PartitionDrafts;
  readonly nowMs: () => number;
  readonly everyMs: number;
}

interface Source {
  readonly baseOffset: number;
  readonly size: number;
}

/** Adjacent batches on their way to become one. */
interface Run {
  readonly sources: Source[];
  readonly encoder: RecordBatchEncoder;
  readonly baseOffset: number;
  nextOffset: number;
  sequence: number;
  appendTimeMs: number;
  oldestMs: number;
  hasTombstone: boolean;
  isChanged: boolean;
}

export class Cleaner {
  readonly #environment: Environment;
  readonly #queue: CommitQueue;
  readonly #topics: TopicTable;
  readonly #drafts: PartitionDrafts;
  readonly #nowMs: () => number;
  readonly #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor({ environment, queue, topics, drafts, nowMs, everyMs }: CleanerOptions) {
    this.#environment = environment;
    this.#queue = queue;
    this.#topics = topics;
    this.#drafts = drafts;
    this.#nowMs = nowMs;
    if (everyMs === Infinity) return;
    // What fails here fails again where it is read or written, and is reported there.
    this.#timer = setInterval(() => void this.clean('due').catch(() => {}), everyMs);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.#working.catch(() => {});
  }

  /** One cleaning at a time; this one begins when those before are over. */
  clean(which: 'due' | 'all'): Promise<void> {
    const work = this.#working.catch(() => {}).then(() => this.#clean(which));
    this.#working = work;
    return work;
  }

  async #clean(which: 'due' | 'all'): Promise<void> {
    // A reader that was killed would hold back what was deleted since, for ever: freed pages are not used again while one may see them.
    this.#environment.root.readerCheck();
    for (const partition of this.#topics.all()) {
      if (this.#isStopped) return;
      const { cleanup, keepMs } = partition.spec();
      if (cleanup === 'delete') {
        if (keepMs !== Infinity) await this.#deleteBefore(partition, this.#nowMs() - keepMs);
      } else if (which === 'all' || (partition.dirtyBytes >= DIRTY_BYTES_LEAST && partition.dirtyBytes >= partition.bytes * DIRTY_SHARE))
        await this.#compact(partition);
      await this.#deleteBelowStart(partition);
    }
  }

  /** Moves the start; whole batches below it are deleted, a batch across it stays. */
  async trim(partition: Partition, beforeOffset: number): Promise<void> {
    if (beforeOffset <= partition.startOffset) return;
    await this.#queue.run((scope) => {
      const row = this.#drafts.of(partition, scope);
      row.startOffset = Math.max(row.startOffset, Math.min(beforeOffset, row.endOffset));
    });
    await this.#deleteBelowStart(partition);
  }

  /** Moves the start past the batches appended before `timeMs`. */
  async #deleteBefore(partition: Partition, timeMs: number): Promise<void> {
    const view = { ...partition };
    let startOffset = partition.startOffset;
    let key = keyAtOrAfter(this.#environment, view, 0);
    for (let scanned = 0; key !== undefined; scanned++) {
      const head = headAt(this.#environment, view, key);
      if (head.appendTimeMs >= timeMs) break;
      startOffset = Math.max(startOffset, head.nextOffset);
      key = keyAtOrAfter(this.#environment, view, head.nextOffset);
      if (scanned % DELETE_BATCHES === DELETE_BATCHES - 1) await breathe();
    }
    await this.trim(partition, startOffset);
  }

  async #deleteBelowStart(partition: Partition): Promise<void> {
    while (!this.#isStopped) {
      const doomed = this.#belowStart(partition);
      if (doomed.length === 0) return;
      await this.#queue.run((scope) => {
        const row = this.#drafts.of(partition, scope);
        for (const { key, size } of doomed) {
          void this.#environment.records.remove(key);
          row.bytes -= size;
          row.dirtyBytes = Math.max(0, row.dirtyBytes - size);
        }
      });
      if (doomed.length < DELETE_BATCHES) return;
      await breathe();
    }
  }

  /** The first batches that end at or below the start. */
  #belowStart(partition: Partition): { key: Buffer; size: number }[] {
    const { records } = this.#environment;
    const first = recordKey(partition.topicId, partition.partition, 0);
    const keys: Buffer[] = [];
    for (const key of records.getKeys({ start: first, limit: DELETE_BATCHES + 1 })) if (isSamePartition(key, first)) keys.push(key);
    const doomed: { key: Buffer; size: number }[] = [];
    for (let i = 0; i < keys.length && doomed.length < DELETE_BATCHES; i++) {
      const next = keys[i + 1];
      const nextOffset = next === undefined ? partition.endOffset : offsetOfKey(next);
      if (nextOffset > partition.startOffset) break;
      doomed.push({ key: keys[i] as Buffer, size: records.getBinaryFast(keys[i] as Buffer)?.length ?? 0 });
    }
    return doomed;
  }

  /**
   * Two passes over what the partition held at the start: the first learns the latest offset of every key, the second writes
   * adjacent batches anew without what is stale. Only the keys are in memory, and one batch. What is appended meanwhile waits for
   * the next time.
   */
  async #compact(partition: Partition): Promise<void> {
    const view: PartitionView = { ...partition };
    const { dirtyBytes } = partition;
    const latest: LatestOffsets = new Map();
    for (let offset = view.startOffset; offset < view.endOffset; await breathe()) {
      if (this.#isStopped) return;
      const { batches, nextOffset } = readPartition(this.#environment, view, offset, SCAN_BYTES);
      for (const batch of batches) noteLatest(latest, batch);
      offset = nextOffset;
    }
    await this.#rewrite(partition, view, latest);
    await this.#queue.run((scope) => {
      const row = this.#drafts.of(partition, scope);
      row.dirtyBytes = Math.max(0, row.dirtyBytes - dirtyBytes);
    });
  }

  async #rewrite(partition: Partition, view: PartitionView, latest: LatestOffsets): Promise<void> {
    const nowMs = this.#nowMs();
    let run: Run | undefined;
    let offset = keyAtOrAfter(this.#environment, view, 0);
    while (offset !== undefined && offsetOfKey(offset) < view.endOffset && !this.#isStopped) {
      const baseOffset = offsetOfKey(offset);
      const found = batchAt(this.#environment, view, baseOffset);
      if (found === undefined) break;
      const { batch, sequence, size } = found;
      const kept = stayingRecords(batch, latest, nowMs);
      if (run !== undefined && !fits(run, batch, size, kept)) {
        await this.#replace(partition, run);
        run = undefined;
      }
      run ??= newRun(batch);
      addTo(run, batch, { baseOffset, size }, sequence, kept);
      offset = keyAtOrAfter(this.#environment, view, batch.nextOffset);
    }
    if (run !== undefined && !this.#isStopped) await this.#replace(partition, run);
  }

  /** Puts one batch in the place of a run of them, unless it is one batch that stays as it is. */
  async #replace(partition: Partition, run: Run): Promise<void> {
    if (run.sources.length === 1 && !run.isChanged) return;
    const { baseOffset, nextOffset, sequence, appendTimeMs, sources } = run;
    const value = storedBatch(run.encoder.seal({ lastOffsetDelta: nextOffset - baseOffset - 1 }));
    place(value, baseOffset, sequence, appendTimeMs);
    await this.#queue.run((scope) => {
      const { records } = this.#environment;
      // A trim may have deleted the first of them meanwhile: then they stay until the next time.
      if (records.getBinaryFast(recordKey(partition.topicId, partition.partition, baseOffset)) === undefined) return;
      const row = this.#drafts.of(partition, scope);
      for (const source of sources) {
        void records.remove(recordKey(partition.topicId, partition.partition, source.baseOffset));
        row.bytes -= source.size;
      }
      void records.put(recordKey(partition.topicId, partition.partition, baseOffset), value);
      row.bytes += value.length;
    });
  }
}

function newRun(batch: RecordBatch): Run {
  return {
    sources: [],
    encoder: new RecordBatchEncoder(),
    baseOffset: batch.baseOffset,
    nextOffset: batch.baseOffset,
    sequence: 0,
    appendTimeMs: batch.appendTimeMs,
    oldestMs: batch.appendTimeMs,
    hasTombstone: false,
    isChanged: false,
  };
}

function hasTombstone(batch: RecordBatch, kept: readonly number[]): boolean {
  return kept.some((i) => (batch.valueStart[i] as number) < 0);
}

function fits(run: Run, batch: RecordBatch, size: number, kept: readonly number[]): boolean {
  if (run.encoder.byteCount + size > COMPACTED_BYTES || batch.nextOffset - run.baseOffset > COMPACTED_SPAN) return false;
  if (batch.baseOffset !== run.nextOffset) return false;
  const youngest = Math.max(run.appendTimeMs, batch.appendTimeMs);
  const oldest = Math.min(run.oldestMs, batch.appendTimeMs);
  return youngest - oldest <= TOMBSTONE_SPREAD_MS || !(run.hasTombstone || hasTombstone(batch, kept));
}

function addTo(run: Run, batch: RecordBatch, source: Source, sequence: number, kept: readonly number[]): void {
  copyRecords(batch, kept, run.encoder, run.baseOffset);
  run.sources.push(source);
  run.nextOffset = batch.nextOffset;
  run.sequence = Math.max(run.sequence, sequence);
  run.appendTimeMs = Math.max(run.appendTimeMs, batch.appendTimeMs);
  run.oldestMs = Math.min(run.oldestMs, batch.appendTimeMs);
  run.hasTombstone ||= hasTombstone(batch, kept);
  run.isChanged ||= kept.length < batch.count;
}
