// Keys of any type: what a store looks them up by, in which order they fall due, and their bytes in the log.
import { MillraceError } from './errors.ts';
import type { RowWriter } from './rowWriter.ts';
import { internUtf8 } from './stringKey.ts';
import { parseTagged, taggedText } from './taggedJson.ts';

/**
 * A key as a Map can hold it: equal keys are the same value. Text, numbers, bigints and booleans are themselves; bytes and
 * objects become text that begins with NUL, and so does text that begins with NUL itself, to stay apart from them.
 */
export type LookupKey = string | number | bigint | boolean;

/** First byte of a key's bytes: what it is. Never renumber: they are in the log. */
const TEXT = 1;
const NUMBER = 2;
const BIGINT = 3;
const BOOLEAN = 4;
const BYTES = 5;
const JSON_TEXT = 6;

const NUL_TEXT = '\0t';
const NUL_BYTES = '\0b';
const NUL_JSON = '\0j';

/**
 * The key as its store's Map knows it. Objects are equal when their fields are, in any order; 0 and -0 are one key.
 *
 * Errors  E_NULL_KEY for null and undefined · E_RESULT for what cannot be a key, naming the path
 */
export function lookupKey(key: unknown): LookupKey {
  switch (typeof key) {
    case 'string':
      return key.charCodeAt(0) === 0 ? NUL_TEXT + key : key;
    case 'number':
      if (key - key !== 0) throw new MillraceError('E_RESULT', `a key cannot be ${key}; use a finite number`);
      return key;
    case 'bigint':
    case 'boolean':
      return key;
    case 'object':
      if (key !== null) return key instanceof Uint8Array ? NUL_BYTES + latin1(key) : NUL_JSON + taggedText(key, 'canonical', 'key');
  }
  if (key === null || key === undefined)
    throw new MillraceError('E_NULL_KEY', 'a record without a key reached a step that keeps state by key');
  throw new MillraceError('E_RESULT', `a key cannot be a ${typeof key}; use a string, number, bigint, boolean, bytes or a plain object`);
}

/**
 * Checks what only a key that is new to a store need be checked for: text with half a surrogate pair has no UTF-8 bytes.
 *
 * Errors  E_RESULT
 */
export function checkNewKey(key: LookupKey): void {
  // toWellFormed would cost as much; V8 answers at once for Latin-1 text. The method is younger than our lib setting.
  if (typeof key === 'string' && !(key as string & { isWellFormed(): boolean }).isWellFormed())
    throw new MillraceError(
      'E_RESULT',
      `a key holds half a surrogate pair and cannot be written as UTF-8: ${JSON.stringify(key.slice(0, 100))}`,
    );
}

/** The key a lookup key stands for. Objects and bytes are made anew: nobody can change a store's key from outside. */
export function keyOfLookup(lookup: LookupKey): unknown {
  if (typeof lookup !== 'string' || lookup.charCodeAt(0) !== 0) return lookup;
  const rest = lookup.slice(2);
  switch (lookup.slice(0, 2)) {
    case NUL_TEXT:
      return rest;
    case NUL_BYTES:
      return Buffer.from(rest, 'latin1');
    default:
      return parseTagged(rest);
  }
}

/**
 * The order in which keys with the same due time are called: total, the same on every machine and at every replay.
 *
 * Order   booleans, numbers, bigints, text, bytes, objects; within a kind by value, text by UTF-16 code units as `<` does,
 *         bytes by byte, objects by their canonical text
 */
export function compareKeys(a: unknown, b: unknown): number {
  return compareLookups(lookupKey(a), lookupKey(b));
}

/** As {@link compareKeys}, for keys already looked up. */
export function compareLookups(a: LookupKey, b: LookupKey): number {
  if (a === b) return 0;
  if (typeof a === 'string' && typeof b === 'string' && a.charCodeAt(0) !== 0 && b.charCodeAt(0) !== 0) return a < b ? -1 : 1;
  const ranks = rank(a) - rank(b);
  return ranks !== 0 ? ranks : a < b ? -1 : a > b ? 1 : 0;
}

function rank(key: LookupKey): number {
  switch (typeof key) {
    case 'boolean':
      return 0;
    case 'number':
      return 1;
    case 'bigint':
      return 2;
    default:
      return key.charCodeAt(0) !== 0 ? 3 : key.startsWith(NUL_TEXT) ? 3 : key.startsWith(NUL_BYTES) ? 4 : 5;
  }
}

/** Begins a row's key with the bytes of `key`; `tailMax` bytes may follow. */
export function writeLookup(out: RowWriter, key: LookupKey, tailMax: number): void {
  switch (typeof key) {
    case 'string':
      out.begin(1 + 3 * key.length + tailMax);
      if (key.charCodeAt(0) === 0) return writeNul(out, key);
      out.bytes[out.at++] = TEXT;
      return out.utf8(key);
    case 'number':
      out.begin(9 + tailMax);
      out.bytes[out.at++] = NUMBER;
      return out.float64(key === 0 ? 0 : key);
    case 'bigint': {
      const digits = String(key);
      out.begin(1 + digits.length + tailMax);
      out.bytes[out.at++] = BIGINT;
      return out.latin1(digits);
    }
    case 'boolean':
      out.begin(2 + tailMax);
      out.bytes[out.at++] = BOOLEAN;
      out.bytes[out.at++] = key ? 1 : 0;
  }
}

/** The key in `bytes[start, end)`, as it is looked up. Errors: E_CORRUPT */
export function decodeLookup(bytes: Buffer, start: number, end: number): LookupKey {
  const from = start + 1;
  const length = end - from;
  switch (length < 0 ? 0 : bytes[start]) {
    case TEXT: {
      const text = internUtf8(bytes, from, end);
      return text.charCodeAt(0) === 0 ? NUL_TEXT + text : text;
    }
    case NUMBER:
      if (length === 8) return bytes.readDoubleLE(from);
      break;
    case BIGINT: {
      const digits = bytes.toString('latin1', from, end);
      if (/^-?\d+$/.test(digits)) return BigInt(digits);
      break;
    }
    case BOOLEAN:
      if (length === 1) return bytes[from] === 1;
      break;
    case BYTES:
      return NUL_BYTES + bytes.toString('latin1', from, end);
    case JSON_TEXT:
      return NUL_JSON + bytes.toString('utf8', from, end);
  }
  throw new MillraceError('E_CORRUPT', `a stored key cannot be read: ${bytes.toString('hex', start, Math.min(end, start + 32))}`);
}

function writeNul(out: RowWriter, key: string): void {
  const rest = key.slice(2);
  switch (key.slice(0, 2)) {
    case NUL_TEXT:
      out.bytes[out.at++] = TEXT;
      return out.utf8(rest);
    case NUL_BYTES:
      out.bytes[out.at++] = BYTES;
      return out.latin1(rest);
    default:
      out.bytes[out.at++] = JSON_TEXT;
      return out.utf8(rest);
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
