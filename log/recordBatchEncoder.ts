// Encodes records into Kafka's record batch, format v2, as they come.
import { MillraceError } from '../engine/errors.ts';
import { type Headers, noHeaders } from '../engine/record.ts';
import { crc32c } from './crc32c.ts';
import { ATTRIBUTE, FIELD, LENGTH_OVERHEAD, setBaseOffset, writeInt64 } from './recordBatch.ts';

/** First size of an encoder's memory; it doubles as needed. Unit: bytes. */
const START_BYTES = 1024;
/** Latest time taken, in the year 73,326: up to there the zigzag of any two times' difference is exact in a double. Unit: epoch ms. */
const TIME_MS_MAX = 2 ** 51;
/** Header names met so far as UTF-8: there are few, and they repeat. A full table is begun anew. */
const NAMES_MAX = 1024;
const names = new Map<string, Buffer>();

function nameBytes(name: string): Buffer {
  let bytes = names.get(name);
  if (bytes === undefined) {
    bytes = Buffer.from(name, 'utf8');
    if (names.size >= NAMES_MAX) names.clear();
    names.set(name, bytes);
  }
  return bytes;
}

/** Bytes of an unsigned varint below 2^32. */
function sizeOf(raw: number): number {
  return raw < 0x80 ? 1 : raw < 0x4000 ? 2 : raw < 0x20_0000 ? 3 : raw < 0x1000_0000 ? 4 : 5;
}

/** Bytes of an unsigned varlong up to 2^53. */
function longSizeOf(raw: number): number {
  if (raw < 0x1000_0000) return sizeOf(raw);
  let size = 5;
  for (let rest = raw / 2 ** 35; rest >= 1; rest /= 128) size++;
  return size;
}

/** Writes an unsigned varint below 2^32 and returns the position after it. */
function writeVarint(bytes: Buffer, raw: number, at: number): number {
  while (raw > 0x7f) {
    bytes[at++] = (raw & 0x7f) | 0x80;
    raw >>>= 7;
  }
  bytes[at++] = raw;
  return at;
}

/** Writes an unsigned varlong up to 2^53, in doubles: they are exact there. */
function writeVarlong(bytes: Buffer, raw: number, at: number): number {
  let rest = raw;
  while (rest >= 0x1000_0000) {
    bytes[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  return writeVarint(bytes, rest, at);
}

/** Below this a loop copies faster than the call that copies any length. Unit: bytes. */
const COPY_CALL_FROM = 24;

function copy(source: Uint8Array, bytes: Buffer, at: number): void {
  const { length } = source;
  if (length >= COPY_CALL_FROM) bytes.set(source, at);
  else for (let i = 0; i < length; i++) bytes[at + i] = source[i] as number;
}

/** The headers measured last: names as UTF-8, values, how many. Reused, so that a record's headers are walked once. */
const measured = { names: [] as Buffer[], values: [] as Uint8Array[], count: 0 };

/** Bytes the headers of a record take in a batch, their count included. They are what `add` writes if it is told so. */
export function measureHeaders(headers: Headers): number {
  if (headers === noHeaders) return 1;
  const { names: encoded, values } = measured;
  let count = 0;
  let size = 0;
  for (const name in headers) {
    const bytes = nameBytes(name);
    const value = headers[name] as Uint8Array;
    encoded[count] = bytes;
    values[count++] = value;
    size += sizeOf(bytes.length * 2) + bytes.length + sizeOf(value.length * 2) + value.length;
  }
  measured.count = count;
  return size + sizeOf(count * 2);
}

/** Writes the headers measured last. */
function writeHeaders(bytes: Buffer, at: number): number {
  const { names: encoded, values, count } = measured;
  at = writeVarint(bytes, count * 2, at);
  for (let i = 0; i < count; i++) {
    const name = encoded[i] as Buffer;
    const value = values[i] as Uint8Array;
    at = writeVarint(bytes, name.length * 2, at);
    copy(name, bytes, at);
    at = writeVarint(bytes, value.length * 2, at + name.length);
    copy(value, bytes, at);
    at += value.length;
  }
  return at;
}

export interface SealOptions {
  readonly baseOffset?: number;
  /** Default: the last record's. Higher when compaction removed the records after it. */
  readonly lastOffsetDelta?: number;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly isTransactional?: boolean;
  readonly isControl?: boolean;
  /** False leaves the checksum 0, for bytes that never leave this process. Default true. */
  readonly checksum?: boolean;
}

/**
 * One growing record batch. Offsets count up from 0, times are kept as differences from the first record's.
 *
 * Errors  E_EVENT_TIME for a time that is not whole milliseconds, or nonsense; nothing is added then
 */
export class RecordBatchEncoder {
  count = 0;
  /** Offset delta of the last record; -1 while there is none. */
  lastOffsetDelta = -1;
  maxTimeMs = -1;
  #baseTimeMs = -1;
  #bytes: Buffer;
  #end: number = FIELD.records;

  constructor(startBytes = START_BYTES) {
    this.#bytes = Buffer.allocUnsafe(Math.max(startBytes, FIELD.records));
  }

  /** Bytes of the batch so far, its header included. */
  get byteCount(): number {
    return this.#end;
  }

  /** `headersSize`: what {@link measureHeaders} has just said about these headers, by a caller that asked already. */
  add(
    key: Uint8Array | null,
    value: Uint8Array | null,
    timeMs: number,
    headers: Headers = noHeaders,
    headersSize = measureHeaders(headers),
  ): void {
    this.addAt(this.lastOffsetDelta + 1, key, value, timeMs, headers, headersSize);
  }

  /** Adds a record that keeps its offset; it must be above the last one's. For compaction. */
  addAt(
    offsetDelta: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    timeMs: number,
    headers: Headers,
    headersSize = measureHeaders(headers),
  ): void {
    if (!(Math.abs(timeMs) <= TIME_MS_MAX && Number.isInteger(timeMs)))
      throw new MillraceError('E_EVENT_TIME', `record batch: time ${timeMs} is not whole epoch milliseconds within ±${TIME_MS_MAX}`);
    const keyLength = key === null ? 0 : key.length;
    const valueLength = value === null ? 0 : value.length;
    const delta = this.count === 0 ? 0 : timeMs - this.#baseTimeMs;
    const rawTime = delta >= 0 ? delta * 2 : -delta * 2 - 1;
    // A null length is -1, which zigzag makes 1.
    const rawKey = key === null ? 1 : keyLength * 2;
    const rawValue = value === null ? 1 : valueLength * 2;
    const bodyLength =
      1 + longSizeOf(rawTime) + sizeOf(offsetDelta * 2) + sizeOf(rawKey) + keyLength + sizeOf(rawValue) + valueLength + headersSize;
    const bytes = this.#room(bodyLength + 5);
    let at = writeVarint(bytes, bodyLength * 2, this.#end);
    bytes[at++] = 0;
    at = writeVarlong(bytes, rawTime, at);
    at = writeVarint(bytes, offsetDelta * 2, at);
    at = writeVarint(bytes, rawKey, at);
    if (key !== null) copy(key, bytes, at);
    at = writeVarint(bytes, rawValue, at + keyLength);
    if (value !== null) copy(value, bytes, at);
    at += valueLength;
    if (headers === noHeaders) bytes[at++] = 0;
    else at = writeHeaders(bytes, at);
    this.#end = at;
    this.lastOffsetDelta = offsetDelta;
    if (this.count++ === 0) this.#baseTimeMs = this.maxTimeMs = timeMs;
    else if (timeMs > this.maxTimeMs) this.maxTimeMs = timeMs;
  }

  /** Memory with room for `length` more bytes. */
  #room(length: number): Buffer {
    const needed = this.#end + length;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, needed));
      this.#bytes.copy(grown, 0, 0, this.#end);
      this.#bytes = grown;
    }
    return this.#bytes;
  }

  /**
   * Writes the header and gives the batch's bytes: a view of the encoder's memory, valid until `reset`.
   * May be called again with other options; records may be added in between.
   */
  seal(options: SealOptions = {}): Buffer {
    const { isTransactional = false, isControl = false } = options;
    const bytes = this.#bytes;
    const end = this.#end;
    setBaseOffset(bytes, options.baseOffset ?? 0);
    bytes.writeInt32BE(end - LENGTH_OVERHEAD, FIELD.batchLength);
    bytes.writeInt32BE(-1, FIELD.partitionLeaderEpoch);
    bytes[FIELD.magic] = 2;
    bytes.writeInt16BE((isTransactional ? ATTRIBUTE.transactional : 0) | (isControl ? ATTRIBUTE.control : 0), FIELD.attributes);
    bytes.writeInt32BE(options.lastOffsetDelta ?? Math.max(0, this.lastOffsetDelta), FIELD.lastOffsetDelta);
    writeInt64(bytes, this.#baseTimeMs, FIELD.baseTimestamp);
    writeInt64(bytes, this.maxTimeMs, FIELD.maxTimestamp);
    bytes.writeBigInt64BE(options.producerId ?? -1n, FIELD.producerId);
    bytes.writeInt16BE(options.producerEpoch ?? -1, FIELD.producerEpoch);
    bytes.writeInt32BE(options.baseSequence ?? -1, FIELD.baseSequence);
    bytes.writeInt32BE(this.count, FIELD.count);
    bytes.writeUInt32BE(options.checksum === false ? 0 : crc32c(bytes, FIELD.attributes, end), FIELD.crc);
    return bytes.subarray(0, end);
  }

  /** Begins an empty batch in the same memory. Bytes sealed before are overwritten from now on. */
  reset(): void {
    this.count = 0;
    this.lastOffsetDelta = -1;
    this.maxTimeMs = -1;
    this.#baseTimeMs = -1;
    this.#end = FIELD.records;
  }
}
