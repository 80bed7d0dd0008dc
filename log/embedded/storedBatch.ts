// One record batch as LMDB holds it: a small prefix, then the batch.
import { MillraceError } from '../../engine/errors.ts';
import type { RecordBatch } from '../../engine/ports.ts';
import { crc32c } from '../crc32c.ts';
import { decodeRecordBatch, FIELD, setBaseOffset } from '../recordBatch.ts';

/** Checksum of the head, commit sequence, append time, batch. The head ends after the batch's last offset; the batch's own checksum covers the rest. */
const AT = { crc: 0, sequence: 4, appendTime: 12, batch: 20 } as const;
const CHECKED_END = AT.batch + FIELD.baseTimestamp;

/** Makes room for the prefix. `place` fills it in when the batch is committed. */
export function storedBatch(sealed: Buffer): Buffer {
  const value = Buffer.allocUnsafe(AT.batch + sealed.length);
  value.set(sealed, AT.batch);
  return value;
}

export function place(value: Buffer, baseOffset: number, sequence: number, appendTimeMs: number): void {
  setBaseOffset(value, baseOffset, AT.batch);
  value.writeDoubleBE(sequence, AT.sequence);
  value.writeDoubleBE(appendTimeMs, AT.appendTime);
  value.writeUInt32BE(crc32c(value, AT.sequence, CHECKED_END), AT.crc);
}

export interface StoredHead {
  /** The commit that wrote the batch. */
  readonly sequence: number;
  readonly appendTimeMs: number;
  readonly nextOffset: number;
}

/** Reads what lies before the records. Errors: E_CORRUPT */
export function readHead(value: Uint8Array, size: number, baseOffset: number): StoredHead {
  const bytes = Buffer.from(value.buffer, value.byteOffset, size);
  if (size < AT.batch + FIELD.records || bytes.readUInt32BE(AT.crc) !== crc32c(bytes, AT.sequence, CHECKED_END))
    throw new MillraceError('E_CORRUPT', 'the head of a stored batch fails its checksum');
  return {
    sequence: bytes.readDoubleBE(AT.sequence),
    appendTimeMs: bytes.readDoubleBE(AT.appendTime),
    nextOffset: baseOffset + bytes.readInt32BE(AT.batch + FIELD.lastOffsetDelta) + 1,
  };
}

/** Decodes a stored batch. Both checksums are verified. Errors: E_CORRUPT, E_DECODE */
export function decodeStored(value: Buffer, baseOffset: number): { readonly batch: RecordBatch; readonly sequence: number } {
  const { sequence, appendTimeMs } = readHead(value, value.length, baseOffset);
  const batch = decodeRecordBatch(value, { start: AT.batch, appendTimeMs });
  if (batch.baseOffset !== baseOffset)
    throw new MillraceError('E_CORRUPT', `the batch says offset ${batch.baseOffset}, it is stored at ${baseOffset}`);
  return { batch, sequence };
}
