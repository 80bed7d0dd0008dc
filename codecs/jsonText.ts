// Bytes of JSON into a value, or a clear refusal; hostile input costs an error, never the process.
import { isUtf8 } from 'node:buffer';
import { MillraceError } from '../engine/errors.ts';
import { jsonFault } from './jsonFault.ts';
import { shapeReader } from './shapeReader.ts';

/** Deeper values are refused: whoever walks one by recursion (validators, JSON.stringify) would overflow the stack. */
export const DEPTH_MAX = 256;

/** A decoder of JSON text that remembers what the texts it reads look like. Errors: E_DECODE with the position of the fault. */
export function jsonDecoder(): (bytes: Buffer, start: number, end: number) => unknown {
  const shapes = shapeReader();
  return (bytes, start, end) => {
    const read = shapes.read(bytes, start, end);
    if (read !== undefined) return read;
    const text = textIn(bytes, start, end);
    const value = parse(text);
    shapes.missed(text, value);
    return value;
  };
}

/** The text in bytes[start, end), if it is UTF-8 and not nested too deep. */
function textIn(bytes: Buffer, start: number, end: number): string {
  if (end - start > 2 * DEPTH_MAX && isTooDeep(bytes, start, end))
    throw new MillraceError('E_DECODE', `JSON nested deeper than ${DEPTH_MAX} levels`);
  const text = bytes.toString('utf8', start, end);
  // U+FFFD stands where bytes were no UTF-8, unless it was sent as such.
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) throw new MillraceError('E_DECODE', 'the bytes are not UTF-8');
  return text;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refusal(text, error);
  }
}

function refusal(text: string, cause: unknown): MillraceError {
  if (text === '') return new MillraceError('E_DECODE', 'empty; expected JSON', { cause });
  const fault = jsonFault(text);
  if (fault === undefined) return new MillraceError('E_DECODE', 'JSON that cannot be taken in', { cause });
  const found =
    fault.position >= text.length
      ? 'the text ends'
      : `found ${JSON.stringify(String.fromCodePoint(text.codePointAt(fault.position) as number))}`;
  return new MillraceError('E_DECODE', `not JSON at position ${fault.position}: expected ${fault.expected}, ${found}`, { cause });
}

const QUOTE = 34;
const BACKSLASH = 92;

/** Whether brackets outside of text nest deeper than DEPTH_MAX. Malformed JSON may be misjudged; it is refused anyway. */
function isTooDeep(bytes: Buffer, start: number, end: number): boolean {
  let depth = 0;
  let inText = false;
  for (let i = start; i < end; i++) {
    const c = bytes[i] as number;
    if (inText) {
      if (c === BACKSLASH) i++;
      else if (c === QUOTE) inText = false;
    } else if (c === QUOTE) inText = true;
    // '[' and '{' differ from ']' and '}' as 91, 123 from 93, 125: setting bit 5 makes them 123 and 125.
    else if ((c | 32) === 123) {
      if (++depth > DEPTH_MAX) return true;
    } else if ((c | 32) === 125) depth--;
  }
  return false;
}
