// CRC32C (Castagnoli), the checksum of Kafka's record batches.
import { createRequire } from 'node:module';

type Crc32c = (input: Uint8Array) => number;

/** Below this the call into native code costs more than it saves (bench/recordBatch.ts). Unit: bytes. */
const NATIVE_FROM_BYTES = 256;

/** Slicing by eight: table k advances a byte by k more bytes. Source: Kounavis and Berry, Intel 2005. */
const tables = new Int32Array(8 * 256);
for (let i = 0; i < 256; i++) {
  let c = i;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  tables[i] = c;
}
for (let i = 0; i < 256; i++)
  for (let k = 1; k < 8; k++) {
    const before = tables[(k - 1) * 256 + i] as number;
    tables[k * 256 + i] = (before >>> 8) ^ (tables[before & 255] as number);
  }

/** The checksum of `bytes[start, end)` in JavaScript alone, about 1 GB/s. */
export function crc32cTable(bytes: Uint8Array, start: number, end: number): number {
  const t = tables;
  let c = -1;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    c ^= (bytes[i] as number) | ((bytes[i + 1] as number) << 8) | ((bytes[i + 2] as number) << 16) | ((bytes[i + 3] as number) << 24);
    c =
      (t[1792 + (c & 255)] as number) ^
      (t[1536 + ((c >>> 8) & 255)] as number) ^
      (t[1280 + ((c >>> 16) & 255)] as number) ^
      (t[1024 + (c >>> 24)] as number) ^
      (t[768 + (bytes[i + 4] as number)] as number) ^
      (t[512 + (bytes[i + 5] as number)] as number) ^
      (t[256 + (bytes[i + 6] as number)] as number) ^
      (t[bytes[i + 7] as number] as number);
  }
  for (; i < end; i++) c = (t[(c ^ (bytes[i] as number)) & 255] as number) ^ (c >>> 8);
  return (c ^ -1) >>> 0;
}

let native: Crc32c | null | undefined;

/** The processor's own instruction, about 6 GB/s; null on a platform without a prebuilt binary. Loaded when first needed. */
function nativeCrc32c(): Crc32c | null {
  if (native === undefined) {
    try {
      native = (createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: Crc32c }).crc32c;
    } catch {
      native = null;
    }
  }
  return native;
}

/** The checksum of `bytes[start, end)`, as an unsigned 32-bit integer. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  if (end - start < NATIVE_FROM_BYTES) return crc32cTable(bytes, start, end);
  const fast = nativeCrc32c();
  return fast === null ? crc32cTable(bytes, start, end) : fast(bytes.subarray(start, end));
}
