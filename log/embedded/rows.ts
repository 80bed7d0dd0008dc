// Keys and small rows of the embedded log. Every row carries a checksum over its key and itself.
import { createHash } from 'node:crypto';
import { MillraceError } from '../../engine/errors.ts';
import type { StateRow, TopicSpec } from '../../engine/ports.ts';
import { crc32c } from '../crc32c.ts';

const CRC = 4;

function checksum(key: Buffer, payload: Uint8Array): number {
  return (crc32c(key) ^ Math.imul(crc32c(payload), 0x9e3779b1)) >>> 0;
}

/** The payload as it is stored under `key`. */
export function sealRow(key: Buffer, payload: Uint8Array): Buffer {
  const row = Buffer.allocUnsafe(CRC + payload.length);
  row.writeUInt32BE(checksum(key, payload), 0);
  row.set(payload, CRC);
  return row;
}

/** The payload stored under `key`. Throws E_CORRUPT, naming `what`, when it is not what was written. */
export function openRow(key: Buffer, row: Buffer, what: () => string): Buffer {
  const payload = row.subarray(CRC);
  if (row.length < CRC || row.readUInt32BE(0) !== checksum(key, payload))
    throw new MillraceError('E_CORRUPT', `${what()} fails its checksum`);
  return payload;
}

/** Key of a record batch: sorts by topic, partition, base offset. */
export function recordKey(topicId: number, partition: number, offset: number): Buffer {
  const key = Buffer.allocUnsafe(16);
  key.writeUInt32BE(topicId, 0);
  key.writeUInt32BE(partition, 4);
  const high = Math.floor(offset / 4_294_967_296);
  key.writeUInt32BE(high, 8);
  key.writeUInt32BE(offset - high * 4_294_967_296, 12);
  return key;
}

export function offsetOfKey(key: Buffer): number {
  return key.readUInt32BE(8) * 4_294_967_296 + key.readUInt32BE(12);
}

/** True when the key is of the same topic and partition as `other`. */
export function isSamePartition(key: Buffer, other: Buffer): boolean {
  return key.compare(other, 0, 8, 0, 8) === 0;
}

export interface TopicRow {
  readonly id: number;
  readonly spec: TopicSpec;
}

/** Infinity has no JSON. */
export function topicPayload({ id, spec }: TopicRow): Buffer {
  return Buffer.from(JSON.stringify({ id, ...spec, keepMs: spec.keepMs === Infinity ? null : spec.keepMs }));
}

export function readTopic(payload: Buffer): TopicRow {
  const { id, keepMs, ...spec } = JSON.parse(payload.toString('utf8')) as { id: number; keepMs: number | null } & Omit<TopicSpec, 'keepMs'>;
  return { id, spec: { ...spec, keepMs: keepMs ?? Infinity } };
}

/** What the log knows of a partition besides its batches. Unit: offsets; bytes as stored. */
export interface PartitionRow {
  startOffset: number;
  endOffset: number;
  bytes: number;
  /** Bytes appended since the partition was last compacted. */
  dirtyBytes: number;
}

export function partitionKey(topicId: number, partition: number): Buffer {
  return recordKey(topicId, partition, 0).subarray(0, 8);
}

export function partitionPayload(row: PartitionRow): Buffer {
  const payload = Buffer.allocUnsafe(32);
  payload.writeDoubleBE(row.startOffset, 0);
  payload.writeDoubleBE(row.endOffset, 8);
  payload.writeDoubleBE(row.bytes, 16);
  payload.writeDoubleBE(row.dirtyBytes, 24);
  return payload;
}

export function readPartition(payload: Buffer): PartitionRow {
  return {
    startOffset: payload.readDoubleBE(0),
    endOffset: payload.readDoubleBE(8),
    bytes: payload.readDoubleBE(16),
    dirtyBytes: payload.readDoubleBE(24),
  };
}

/** A task as the log holds it. */
export interface TaskRow {
  readonly id: number;
  /** How often it was claimed; the holder of the latest claim owns it. */
  readonly epoch: number;
  /** The epoch that wrote the checkpoint. */
  readonly writerEpoch: number;
  /** Ordinal of the checkpoint; 0 when there is none. */
  readonly commitNumber: number;
  readonly checkpoint: Buffer;
}

const TASK_FIXED = 28;

export function taskKey(pipeline: string, partition: number): Buffer {
  const name = Buffer.from(pipeline, 'utf8');
  const key = Buffer.alloc(name.length + 5);
  key.set(name);
  key.writeUInt32BE(partition, name.length + 1);
  return key;
}

/** The range of a pipeline's tasks. */
export function taskRange(pipeline: string): { start: Buffer; end: Buffer } {
  const start = taskKey(pipeline, 0);
  const end = Buffer.from(start.subarray(0, start.length - 4));
  end[end.length - 1] = 1;
  return { start, end };
}

export function partitionOfTaskKey(key: Buffer): number {
  return key.readUInt32BE(key.length - 4);
}

export function taskPayload(task: Omit<TaskRow, 'checkpoint'> & { readonly checkpoint: Uint8Array }): Buffer {
  const payload = Buffer.allocUnsafe(TASK_FIXED + task.checkpoint.length);
  payload.writeUInt32BE(task.id, 0);
  payload.writeDoubleBE(task.epoch, 4);
  payload.writeDoubleBE(task.writerEpoch, 12);
  payload.writeDoubleBE(task.commitNumber, 20);
  payload.set(task.checkpoint, TASK_FIXED);
  return payload;
}

export function readTask(payload: Buffer): TaskRow {
  return {
    id: payload.readUInt32BE(0),
    epoch: payload.readDoubleBE(4),
    writerEpoch: payload.readDoubleBE(12),
    commitNumber: payload.readDoubleBE(20),
    checkpoint: payload.subarray(TASK_FIXED),
  };
}

/** Longest row key that is its own LMDB key; LMDB takes 1978 bytes. */
const KEY_BYTES_MAX = 1_900;
const STATE_PREFIX = 9;
export const SHORT_KEY = 0;
export const LONG_KEY = 1;

/** Beginning of the keys of a store: task, store, and whether the key itself follows or its hash. */
export function statePrefix(taskId: number, storeId: number, kind: number): Buffer {
  const key = Buffer.allocUnsafe(STATE_PREFIX);
  key.writeUInt32BE(taskId, 0);
  key.writeUInt32BE(storeId, 4);
  key[8] = kind;
  return key;
}

/** The LMDB key of a state row. A key too long for LMDB is replaced by its hash, and the row carries the key itself. */
export function stateKey(taskId: number, storeId: number, key: Uint8Array): Buffer {
  const isLong = key.length > KEY_BYTES_MAX;
  const tail = isLong ? createHash('sha256').update(key).digest() : key;
  const full = Buffer.allocUnsafe(STATE_PREFIX + tail.length);
  full.writeUInt32BE(taskId, 0);
  full.writeUInt32BE(storeId, 4);
  full[8] = isLong ? LONG_KEY : SHORT_KEY;
  full.set(tail, STATE_PREFIX);
  return full;
}

export function statePayload(key: Uint8Array, value: Uint8Array): Uint8Array {
  if (key.length <= KEY_BYTES_MAX) return value;
  const payload = Buffer.allocUnsafe(4 + key.length + value.length);
  payload.writeUInt32BE(key.length, 0);
  payload.set(key, 4);
  payload.set(value, 4 + key.length);
  return payload;
}

export function readState(store: string, key: Buffer, payload: Buffer): StateRow {
  if (key[8] === SHORT_KEY) return { store, key: key.subarray(STATE_PREFIX), value: payload };
  const keyEnd = 4 + payload.readUInt32BE(0);
  return { store, key: payload.subarray(4, keyEnd), value: payload.subarray(keyEnd) };
}
