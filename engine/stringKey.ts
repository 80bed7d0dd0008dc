// Keys that are text: UTF-8 bytes in the log, one shared string per key in memory.
import type { Codec } from './topic.ts';

/** Slots of the intern table; a colliding key takes the slot over, so memory stays bounded. */
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
  const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
  const known = table[slot];
  if (known !== undefined && known.length === length) {
    let i = 0;
    while (i < length && known.charCodeAt(i) === bytes[start + i]) i++;
    if (i === length) return known;
  }
  const made = bytes.toString('latin1', start, end);
  table[slot] = made;
  return made;
}

/** The default key codec: UTF-8 text. */
export const stringKey: Codec<string> = {
  contentType: 'text/plain; charset=utf-8',
  encode: (key) => Buffer.from(key, 'utf8'),
  decode: internUtf8,
};
