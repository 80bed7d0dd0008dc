// The bytes of a window's row, and how rows of an older shape become rows of the present one.
import { MillraceError } from './errors.ts';
import type { RowWriter } from './rowWriter.ts';
import { checkShape, shapeHash } from './shape.ts';
import { decodeLookup, type LookupKey, writeLookup } from './storeKey.ts';
import type { CellSpec, StoreShape } from './stores.ts';

/** First byte of a stored row. A later layout takes the next number and reads both. */
const FORMAT = 1;
/** Format byte, shape hash, end, due; then the cells, then the boxed values as one list. Unit: bytes. */
const HEAD = 1 + 4 + 8 + 8;
/** The window's start behind the key's bytes. Unit: bytes. */
const START = 8;
const TWO_32 = 0x1_0000_0000;

/** The key's bytes, then the start as a big-endian 64-bit integer. */
export function windowKeyBytes(out: RowWriter, lookup: LookupKey, startMs: number): Uint8Array {
  writeLookup(out, lookup, START);
  const high = Math.floor(startMs / TWO_32);
  out.uint32(high >>> 0);
  out.uint32(startMs - high * TWO_32);
  return out.end();
}

/** A row with `width` numbers from numbers[i], and its boxed values if it has any. */
export function windowRowBytes(
  out: RowWriter,
  hash: number,
  endMs: number,
  dueMs: number,
  numbers: Float64Array,
  i: number,
  width: number,
  boxes: Uint8Array | undefined,
): Uint8Array {
  out.begin(HEAD + 8 * width + (boxes?.length ?? 0));
  out.bytes[out.at++] = FORMAT;
  out.uint32(hash);
  out.float64(endMs);
  out.float64(dueMs);
  for (let at = i; at < i + width; at++) out.float64(numbers[at] as number);
  if (boxes !== undefined) out.copy(boxes);
  return out.end();
}

/** How rows of a stored shape become rows of ours. */
export interface Takeover {
  readonly stored: StoreShape;
  readonly hash: number;
  readonly width: number;
  readonly boxWidth: number;
  /** By cell of ours: where it stands in a stored row; undefined when the stored row does not have it. */
  readonly from: readonly ({ readonly i: number; readonly k: number } | undefined)[];
}

/** Errors: E_STATE_SHAPE */
export function takeoverOf(stored: StoreShape, cells: readonly CellSpec[], current: StoreShape, stepId: string, store: string): Takeover {
  checkShape(stored, current, stepId, store);
  const places = new Map<string, { i: number; k: number }>();
  let width = 0;
  let boxWidth = 0;
  for (const cell of stored.cells) {
    places.set(cell.name, { i: width, k: boxWidth });
    width += cell.width;
    boxWidth += cell.boxes;
  }
  return { stored, hash: shapeHash(stored), width, boxWidth, from: cells.map(({ name }) => places.get(name)) };
}

/** A stored row, read but for its cells: these begin at bytes[cellsAt], the boxed values at bytes[boxesAt]. */
export interface StoredWindow {
  readonly lookup: LookupKey;
  readonly startMs: number;
  readonly endMs: number;
  readonly dueMs: number;
  readonly bytes: Buffer;
  readonly cellsAt: number;
  readonly boxesAt: number;
}

/** Errors: E_CORRUPT */
export function readWindow(key: Uint8Array, value: Uint8Array, plan: Takeover, where: string): StoredWindow {
  const inKey = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (bytes[0] !== FORMAT) throw new MillraceError('E_CORRUPT', `${where}: a row of format ${bytes[0] ?? 'none'}, expected ${FORMAT}`);
  const boxesAt = HEAD + 8 * plan.width;
  const split = inKey.length - START;
  if (split < 1 || (plan.boxWidth === 0 ? bytes.length !== boxesAt : bytes.length <= boxesAt))
    throw new MillraceError('E_CORRUPT', `${where}: a row of ${inKey.length} and ${bytes.length} bytes, expected ${boxesAt}`);
  if (bytes.readUInt32BE(1) !== plan.hash)
    throw new MillraceError('E_CORRUPT', `${where}: a row was written under another shape than its checkpoint names`);
  return {
    lookup: decodeLookup(inKey, 0, split),
    startMs: inKey.readInt32BE(split) * TWO_32 + inKey.readUInt32BE(split + 4),
    endMs: bytes.readDoubleLE(5),
    dueMs: bytes.readDoubleLE(13),
    bytes,
    cellsAt: HEAD,
    boxesAt,
  };
}
