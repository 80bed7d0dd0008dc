// What travels through a rekey topic: records under their new key, and marks that carry time across.
import { MillraceError } from './errors.ts';
import type { RecordBatch } from './ports.ts';
import { internUtf8 } from './stringKey.ts';
import { parseTagged, taggedText } from './taggedJson.ts';
import type { Codec } from './topic.ts';

/** How the record's key is written: text and bytes as they are, so that they meet other topics' keys; the rest as JSON. */
const TEXT = 0;
const BYTES = 1;
const JSON_TEXT = 2;
const MARK = 3;

/**
 * A mark says: upstream task `from` sends nothing older than timeMs from here on. null: it is idle and holds nobody up.
 * Unit: epoch ms.
 */
export interface Mark {
  readonly from: number;
  readonly timeMs: number | null;
}

/** The bytes a key is partitioned by behind a rekey. */
export function encodeRekeyKey(key: unknown): Uint8Array {
  if (typeof key === 'string') return Buffer.from(key, 'utf8');
  if (key instanceof Uint8Array) return key;
  if (key === null || key === undefined) throw new MillraceError('E_NULL_KEY', 'the key callback returned no key');
  // Canonical, so that equal objects meet in one partition whatever the order of their fields, and bigints and dates survive.
  return Buffer.from(taggedText(key, 'canonical', 'key'), 'utf8');
}

/** The value of a record on its way through: [how the key is written, upstream task, value]. */
export function encodeRekeyed(boxed: Codec<unknown>, key: unknown, from: number, value: unknown): Uint8Array {
  const how = typeof key === 'string' ? TEXT : key instanceof Uint8Array ? BYTES : JSON_TEXT;
  return boxed.encode([how, from, value]);
}

/** The value of a mark; it has no key. */
export function encodeMark(boxed: Codec<unknown>, mark: Mark): Uint8Array {
  return boxed.encode([MARK, mark.from, mark.timeMs]);
}

/** What a rekey topic holds: a mark, or a record on its way through. */
export type Rekeyed =
  | { readonly mark: Mark }
  | { readonly mark: undefined; readonly from: number; readonly key: unknown; readonly value: unknown };

/** Reads record `at` of a batch of a rekey topic. */
export function rekeyedAt(boxed: Codec<unknown>, batch: RecordBatch, at: number): Rekeyed {
  const { bytes, keyStart, keyEnd, valueStart, valueEnd } = batch;
  return decodeRekeyed(boxed, bytes, keyStart[at] as number, keyEnd[at] as number, valueStart[at] as number, valueEnd[at] as number);
}

/** Reads either back. */
export function decodeRekeyed(
  boxed: Codec<unknown>,
  bytes: Buffer,
  keyStart: number,
  keyEnd: number,
  valueStart: number,
  valueEnd: number,
): Rekeyed {
  const [how, from, rest] = boxed.decode(bytes, valueStart, valueEnd) as [number, number, unknown];
  if (how === MARK) return { mark: { from, timeMs: rest as number | null } };
  if (keyStart < 0) throw new MillraceError('E_CORRUPT', 'a rekeyed record has no key');
  if (how === TEXT) return { mark: undefined, from, key: internUtf8(bytes, keyStart, keyEnd), value: rest };
  if (how === BYTES) return { mark: undefined, from, key: Uint8Array.prototype.slice.call(bytes, keyStart, keyEnd), value: rest };
  return { mark: undefined, from, key: parseTagged(bytes.toString('utf8', keyStart, keyEnd)), value: rest };
}
