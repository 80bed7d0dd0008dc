// Keys that are text: UTF-8 bytes in the log, one shared string per key in memory.
import type { Codec } from './topic.ts';

/** Slots of the intern table, in pairs; a new key takes the older one's place, so memory stays bounded. */
const SLOTS = 1 << 18;
/** Longer keys are made anew each time: they are rare and would fill the table. */
const BYTES_MAX = 96;

const table: (string | undefined)[] = new Array(SLOTS);

/** The string in `bytes[start, end)`: ASCII ones are looked up by their bytes, so a known key costs no new string. */
export function internUtf8(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length > BYTES_MAX) return bytes.toString('utf8', start, end);
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) {
    const c = bytes[i] as number;
    if (c > 126) return bytes.toString('utf8', start, end);
    hash = Math.imul(hash ^ c, 0x01000193);
  }
  // Two places a key may be in: with one, a tenth of 100,000 keys would push each other out for ever.
  const first = (hash ^ (hash >>> 15)) & (SLOTS - 1) & ~1;
  const known = table[first];
  if (known !== undefined && isAt(known, bytes, start, length)) return known;
  const other = table[first + 1];
  if (other !== undefined && isAt(other, bytes, start, length)) return other;
  const made = bytes.toString('latin1', start, end);
  table[first + 1] = known;
  table[first] = made;
  return made;
}

function isAt(text: string, bytes: Buffer, start: number, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}

/** The default key codec: UTF-8 text. */
export const stringKey: Codec<string> = {
  contentType: 'text/plain; charset=utf-8',
  encode: (key) => Buffer.from(key, 'utf8'),
  decode: internUtf8,
};
