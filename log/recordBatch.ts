// Kafka's record batch, format v2: the layout of its bytes, and its decoder into columns.
import { MillraceError } from '../engine/errors.ts';
import type { RecordBatch } from '../engine/ports.ts';
import { type Headers, noHeaders } from '../engine/record.ts';
import { crc32c } from './crc32c.ts';

/**
 * Where the fields of a batch lie. Everything from `attributes` on is under the checksum, so the base offset
 * can be set when the batch is committed.
 *
 * Source  kafka.apache.org/documentation/#recordbatch
 */
export const FIELD = {
  baseOffset: 0,
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
  records: 61,
} as const;

/** Bits of `attributes`. */
export const ATTRIBUTE = { codec: 0b111, logAppendTime: 1 << 3, transactional: 1 << 4, control: 1 << 5 } as const;

/** What `batchLength` does not count: itself and the base offset. Unit: bytes. */
export const LENGTH_OVERHEAD = FIELD.batchLength + 4;

/** The least a record takes: its length, attributes, time, offset, two null lengths, no headers. Unit: bytes. */
const RECORD_BYTES_MIN = 7;

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

/** The fixed part of a batch. Times: epoch ms, -1 when the producer set none. */
export interface BatchHeader {
  readonly baseOffset: number;
  /** Bytes of the whole batch, this header included. */
  readonly byteCount: number;
  readonly partitionLeaderEpoch: number;
  readonly crc: number;
  readonly codec: string;
  readonly isLogAppendTime: boolean;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly lastOffsetDelta: number;
  readonly baseTimeMs: number;
  readonly maxTimeMs: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly count: number;
}

function corrupt(what: string): MillraceError {
  return new MillraceError('E_CORRUPT', `record batch: ${what}`);
}

function malformed(what: string): MillraceError {
  return new MillraceError('E_DECODE', `record batch: ${what}`);
}

function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 4_294_967_296 + bytes.readUInt32BE(at + 4);
}

/** Writes a safe integer as a signed 64-bit one. */
export function writeInt64(bytes: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 4_294_967_296);
  bytes.writeInt32BE(high, at);
  bytes.writeUInt32BE(value - high * 4_294_967_296, at + 4);
}

/** Gives the batch at `start` its place in the log. Its checksum stays valid. */
export function setBaseOffset(bytes: Buffer, baseOffset: number, start = 0): void {
  writeInt64(bytes, baseOffset, start + FIELD.baseOffset);
}

/**
 * Reads the header of the batch at `start` and checks that the whole batch is there. Not its checksum.
 *
 * Errors  E_CORRUPT when it is cut off or its length cannot be; E_DECODE for an older message format
 */
export function readBatchHeader(bytes: Buffer, start = 0): BatchHeader {
  const left = bytes.length - start;
  if (left < FIELD.records) throw corrupt(`cut off: ${left} of at least ${FIELD.records} bytes`);
  const magic = bytes.readInt8(start + FIELD.magic);
  if (magic !== 2) throw malformed(`message format ${magic}; only format 2 (Kafka 0.11 and later) is read`);
  const byteCount = bytes.readInt32BE(start + FIELD.batchLength) + LENGTH_OVERHEAD;
  if (byteCount < FIELD.records || byteCount > left) throw corrupt(`says ${byteCount} bytes, ${left} are there`);
  const attributes = bytes.readInt16BE(start + FIELD.attributes);
  return {
    baseOffset: readInt64(bytes, start + FIELD.baseOffset),
    byteCount,
    partitionLeaderEpoch: bytes.readInt32BE(start + FIELD.partitionLeaderEpoch),
    crc: bytes.readUInt32BE(start + FIELD.crc),
    codec: CODECS[attributes & ATTRIBUTE.codec] ?? `codec ${attributes & ATTRIBUTE.codec}`,
    isLogAppendTime: (attributes & ATTRIBUTE.logAppendTime) !== 0,
    isTransactional: (attributes & ATTRIBUTE.transactional) !== 0,
    isControl: (attributes & ATTRIBUTE.control) !== 0,
    lastOffsetDelta: bytes.readInt32BE(start + FIELD.lastOffsetDelta),
    baseTimeMs: readInt64(bytes, start + FIELD.baseTimestamp),
    maxTimeMs: readInt64(bytes, start + FIELD.maxTimestamp),
    producerId: bytes.readBigInt64BE(start + FIELD.producerId),
    producerEpoch: bytes.readInt16BE(start + FIELD.producerEpoch),
    baseSequence: bytes.readInt32BE(start + FIELD.baseSequence),
    count: bytes.readInt32BE(start + FIELD.count),
  };
}

export interface DecodeOptions {
  /** Where the batch begins in the bytes. Default 0. */
  readonly start?: number;
  /** When the log took it; a batch that carries its own log append time overrides this. Unit: epoch ms. */
  readonly appendTimeMs: number;
  /** False only for bytes that never left this process. Default true. */
  readonly checksum?: boolean;
}

/**
 * Decodes the one batch at `start` into columns over the same bytes. They must stay as they are while the batch is in use.
 *
 * Errors  E_CORRUPT: cut off, or its checksum fails · E_DECODE: compressed, an older format, or contradicting itself
 * Cost    O(bytes); a handful of typed arrays a batch, nothing a record
 */
export function decodeRecordBatch(bytes: Buffer, { start = 0, appendTimeMs, checksum = true }: DecodeOptions): RecordBatch {
  const header = readBatchHeader(bytes, start);
  const end = start + header.byteCount;
  if (checksum) {
    const crc = crc32c(bytes, start + FIELD.attributes, end);
    if (crc !== header.crc) throw corrupt(`checksum ${crc.toString(16)}, stored ${header.crc.toString(16)}`);
  }
  if (header.codec !== 'none')
    throw malformed(`compressed with ${header.codec}, which is not read; let the producer use compression.type=none`);
  const { count, lastOffsetDelta } = header;
  if (count < 0 || count > (end - start - FIELD.records) / RECORD_BYTES_MIN)
    throw malformed(`says ${count} records in ${header.byteCount} bytes`);
  if (lastOffsetDelta < 0 || header.baseOffset < 0) throw malformed(`offset ${header.baseOffset} + ${lastOffsetDelta}`);
  const batch = new Columns(bytes, header, header.isLogAppendTime ? header.maxTimeMs : appendTimeMs);
  if (!header.isControl) batch.fill(start + FIELD.records, end, header);
  return batch;
}

/** Position after the last number read; the readers below return the number itself. */
let after = 0;

/** A zigzag varint of at most 5 bytes. Past the end of the bytes it reads zeros: the caller compares positions. */
function readVarint(bytes: Buffer, at: number): number {
  let byte = bytes[at++] as number;
  let raw = byte & 0x7f;
  for (let shift = 7; byte > 0x7f; shift += 7) {
    if (shift > 28) throw malformed(`a varint of more than 5 bytes at ${at}`);
    byte = bytes[at++] as number;
    raw |= (byte & 0x7f) << shift;
  }
  after = at;
  return (raw >>> 1) ^ -(raw & 1);
}

/** A zigzag varlong: in 32-bit integers while it is short, in doubles while they are exact, else in BigInt. */
function readVarlong(bytes: Buffer, at: number): number {
  let byte = bytes[at++] as number;
  let low = byte & 0x7f;
  for (let shift = 7; byte > 0x7f && shift < 28; shift += 7) {
    byte = bytes[at++] as number;
    low |= (byte & 0x7f) << shift;
  }
  if (!(byte > 0x7f)) {
    after = at;
    return (low >>> 1) ^ -(low & 1);
  }
  let raw = low;
  let factor = 2 ** 28;
  for (let n = 5; byte > 0x7f && n <= 7; n++, factor *= 128) {
    byte = bytes[at++] as number;
    raw += (byte & 0x7f) * factor;
  }
  if (!(byte > 0x7f)) {
    after = at;
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
  }
  let big = BigInt(raw);
  for (let shift = 49n; byte > 0x7f; shift += 7n) {
    if (shift > 63n) throw malformed(`a varlong of more than 10 bytes at ${at}`);
    byte = bytes[at++] as number;
    big |= BigInt(byte & 0x7f) << shift;
  }
  after = at;
  return Number(BigInt.asIntN(64, (big >> 1n) ^ -(big & 1n)));
}

/** A decoded batch: seven typed arrays over one allocation. */
class Columns implements RecordBatch {
  readonly bytes: Buffer;
  readonly count: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly appendTimeMs: number;
  readonly isControl: boolean;
  readonly timeMs: Float64Array;
  readonly offsetDelta: Int32Array;
  readonly keyStart: Int32Array;
  readonly keyEnd: Int32Array;
  readonly valueStart: Int32Array;
  readonly valueEnd: Int32Array;
  /** Where a record's headers begin, at their count; -1 when it has none. */
  readonly #headersStart: Int32Array;

  constructor(bytes: Buffer, header: BatchHeader, appendTimeMs: number) {
    const count = header.isControl ? 0 : header.count;
    this.bytes = bytes;
    this.count = count;
    this.baseOffset = header.baseOffset;
    this.nextOffset = header.baseOffset + header.lastOffsetDelta + 1;
    this.appendTimeMs = appendTimeMs;
    this.isControl = header.isControl;
    const memory = new ArrayBuffer(count * 32);
    this.timeMs = new Float64Array(memory, 0, count);
    this.offsetDelta = new Int32Array(memory, count * 8, count);
    this.keyStart = new Int32Array(memory, count * 12, count);
    this.keyEnd = new Int32Array(memory, count * 16, count);
    this.valueStart = new Int32Array(memory, count * 20, count);
    this.valueEnd = new Int32Array(memory, count * 24, count);
    this.#headersStart = new Int32Array(memory, count * 28, count);
  }

  /** Walks the records in `[at, end)` once. Every length is checked against its record's end before it is believed. */
  fill(at: number, end: number, header: BatchHeader): void {
    const { bytes, count, timeMs, offsetDelta, keyStart, keyEnd, valueStart, valueEnd } = this;
    const headersStart = this.#headersStart;
    const { baseTimeMs, lastOffsetDelta, isLogAppendTime } = header;
    let previous = -1;
    for (let i = 0; i < count; i++) {
      const length = readVarint(bytes, at);
      const recordEnd = after + length;
      if (length < RECORD_BYTES_MIN - 1 || recordEnd > end) throw malformed(`record ${i} says ${length} bytes`);
      const delta = readVarlong(bytes, after + 1);
      timeMs[i] = isLogAppendTime ? header.maxTimeMs : baseTimeMs + delta;
      const offset = readVarint(bytes, after);
      if (offset <= previous || offset > lastOffsetDelta)
        throw malformed(`record ${i} has offset ${offset} after ${previous}, last ${lastOffsetDelta}`);
      offsetDelta[i] = previous = offset;
      const keyLength = readVarint(bytes, after);
      at = after;
      if (keyLength < -1 || at + keyLength > recordEnd) throw malformed(`record ${i} says a key of ${keyLength} bytes`);
      keyStart[i] = keyLength < 0 ? -1 : at;
      if (keyLength > 0) at += keyLength;
      keyEnd[i] = keyLength < 0 ? -1 : at;
      const valueLength = readVarint(bytes, at);
      at = after;
      if (valueLength < -1 || at + valueLength > recordEnd) throw malformed(`record ${i} says a value of ${valueLength} bytes`);
      valueStart[i] = valueLength < 0 ? -1 : at;
      if (valueLength > 0) at += valueLength;
      valueEnd[i] = valueLength < 0 ? -1 : at;
      headersStart[i] = bytes[at] === 0 ? -1 : at;
      at = bytes[at] === 0 ? at + 1 : skipHeaders(bytes, at, recordEnd, i);
      if (at !== recordEnd) throw malformed(`record ${i} ends at ${at}, not at ${recordEnd} as it says`);
    }
    if (at !== end) throw malformed(`${end - at} bytes after its last record`);
  }

  headers(i: number): Headers {
    const at = this.#headersStart[i];
    if (at === undefined) throw new MillraceError('E_ASSERT', `record batch: headers of record ${i} of ${this.count}`);
    return at < 0 ? noHeaders : readHeaders(this.bytes, at);
  }
}

/** Checks the headers at `at` against the record's end and returns where they end. */
function skipHeaders(bytes: Buffer, at: number, recordEnd: number, record: number): number {
  const count = readVarint(bytes, at);
  if (count < 0 || count > (recordEnd - after) / 2) throw malformed(`record ${record} says ${count} headers`);
  at = after;
  for (let h = 0; h < count; h++) {
    const nameLength = readVarint(bytes, at);
    if (nameLength < 0 || after + nameLength > recordEnd) throw malformed(`record ${record} says a header name of ${nameLength} bytes`);
    const valueLength = readVarint(bytes, after + nameLength);
    at = after + (valueLength > 0 ? valueLength : 0);
    if (valueLength < -1 || at > recordEnd) throw malformed(`record ${record} says a header value of ${valueLength} bytes`);
  }
  return at;
}

/** The headers at `at`, which were checked when the batch was decoded. Of equal names the last counts; null reads as empty. */
function readHeaders(bytes: Buffer, at: number): Headers {
  const headers: Record<string, Uint8Array> = Object.create(null);
  const count = readVarint(bytes, at);
  at = after;
  for (let h = 0; h < count; h++) {
    const nameEnd = readVarint(bytes, at) + after;
    const name = bytes.toString('utf8', after, nameEnd);
    const valueLength = readVarint(bytes, nameEnd);
    at = after + (valueLength > 0 ? valueLength : 0);
    headers[name] = bytes.subarray(after, at);
  }
  return headers;
}
