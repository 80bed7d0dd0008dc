// Reads batches of one partition out of LMDB, for the writer and for readers elsewhere.
import { MillraceError, messageOf } from '../../engine/errors.ts';
import type { Fetched, RecordBatch } from '../../engine/ports.ts';
import { outOfRange } from '../topicSpecs.ts';
import type { Environment } from './environment.ts';
import { isSamePartition, offsetOfKey, recordKey } from './rows.ts';
import { decodeStored, readHead, type StoredHead } from './storedBatch.ts';

/** Bytes a fetch takes from a partition unless told. */
export const PARTITION_BYTES_MAX = 4 << 20;

/** A partition as its reader sees it now. */
export interface PartitionView {
  readonly topic: string;
  readonly topicId: number;
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
}

/** Key of the last batch that begins at or before the offset. */
export function keyAtOrBefore({ records }: Environment, view: PartitionView, offset: number): Buffer | undefined {
  const from = recordKey(view.topicId, view.partition, offset);
  for (const key of records.getKeys({ start: from, reverse: true, limit: 1 })) return isSamePartition(key, from) ? key : undefined;
  return undefined;
}

/** Key of the first batch that begins at or after the offset. */
export function keyAtOrAfter({ records }: Environment, view: PartitionView, offset: number): Buffer | undefined {
  const from = recordKey(view.topicId, view.partition, offset);
  for (const key of records.getKeys({ start: from, limit: 1 })) return isSamePartition(key, from) ? key : undefined;
  return undefined;
}

/** The stored bytes under a key, in a buffer of their own. LMDB's larger ones have a length of their own, which slows every access. */
function ownBytes({ records }: Environment, key: Buffer): Buffer | undefined {
  const value = records.getBinary(key);
  return value === undefined ? undefined : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

/** The same error with the place in front, and E_CORRUPT when it was the bytes' fault. */
function located(error: unknown, environment: Environment, view: PartitionView, baseOffset: number): unknown {
  if (!(error instanceof MillraceError)) return error;
  const next = keyAtOrAfter(environment, view, baseOffset + 1);
  const last = (next === undefined ? view.endOffset : offsetOfKey(next)) - 1;
  return new MillraceError(
    'E_CORRUPT',
    `topic '${view.topic}' partition ${view.partition} offsets ${baseOffset} to ${last}: ${messageOf(error)}`,
    { cause: error },
  );
}

/** The batch at `baseOffset`; undefined when none begins there. Errors: E_CORRUPT, naming topic, partition and offsets */
export function batchAt(
  environment: Environment,
  view: PartitionView,
  baseOffset: number,
): { batch: RecordBatch; sequence: number; size: number } | undefined {
  const value = ownBytes(environment, recordKey(view.topicId, view.partition, baseOffset));
  if (value === undefined) return undefined;
  try {
    return { ...decodeStored(value, baseOffset), size: value.length };
  } catch (error) {
    throw located(error, environment, view, baseOffset);
  }
}

/** The head of the batch under a key, without decoding its records. Errors: E_CORRUPT */
export function headAt(environment: Environment, view: PartitionView, key: Buffer): StoredHead & { readonly size: number } {
  const value = environment.records.getBinaryFast(key);
  if (value === undefined) throw missing(view, offsetOfKey(key));
  const size = value.length;
  try {
    return { ...readHead(value, size, offsetOfKey(key)), size };
  } catch (error) {
    throw located(error, environment, view, offsetOfKey(key));
  }
}

function missing(view: PartitionView, offset: number): MillraceError {
  return new MillraceError(
    'E_CORRUPT',
    `topic '${view.topic}' partition ${view.partition}: the records from offset ${offset} on are missing, the log ends at ${view.endOffset}`,
  );
}

/** The batch that holds the offset, or ends the gap it fell into. */
function firstBatch(environment: Environment, view: PartitionView, offset: number): ReturnType<typeof batchAt> {
  const exact = batchAt(environment, view, offset);
  if (exact !== undefined) return exact;
  const key = keyAtOrBefore(environment, view, offset);
  return key === undefined ? undefined : batchAt(environment, view, offsetOfKey(key));
}

/** Batches from `offset` on, each checked and decoded. A batch always begins where the one before it ends. */
export function readPartition(environment: Environment, view: PartitionView, offset: number, bytesMax: number): Fetched {
  const { topic, partition, startOffset, endOffset } = view;
  if (!(offset >= startOffset && offset <= endOffset)) throw outOfRange(topic, partition, offset, startOffset, endOffset);
  const batches: RecordBatch[] = [];
  let nextOffset = offset;
  let bytes = 0;
  while (nextOffset < endOffset && (bytes === 0 || bytes < bytesMax)) {
    const found = bytes === 0 ? firstBatch(environment, view, nextOffset) : batchAt(environment, view, nextOffset);
    if (found === undefined || found.batch.nextOffset <= nextOffset) throw missing(view, nextOffset);
    batches.push(found.batch);
    bytes += found.size;
    nextOffset = found.batch.nextOffset;
  }
  return { topic, partition, batches, nextOffset, endOffset, startOffset };
}

/** Lets other work run between pieces of a long scan. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Bytes scanned before others get a turn. */
export const SCAN_BYTES = 8 << 20;

/** The first offset in the view whose record has an event time of at least `timeMs`; its end when there is none. */
export async function findTime(environment: Environment, view: PartitionView, timeMs: number, checkOpen: () => void): Promise<number> {
  let offset = view.startOffset;
  while (offset < view.endOffset) {
    const { batches, nextOffset } = readPartition(environment, view, offset, SCAN_BYTES);
    for (const batch of batches)
      for (let i = 0; i < batch.count; i++) {
        const at = batch.baseOffset + (batch.offsetDelta[i] as number);
        if (at >= view.startOffset && (batch.timeMs[i] as number) >= timeMs) return at;
      }
    offset = nextOffset;
    await breathe();
    checkOpen();
  }
  return view.endOffset;
}
