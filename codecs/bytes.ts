// bytes: values as they are.
import { MillraceError } from '../engine/errors.ts';
import type { Codec } from '../engine/topic.ts';

/**
 * A codec that changes nothing: the value is the bytes. Reading copies them, so a value may be kept.
 *
 * Errors  encode: E_RESULT when the value is no Uint8Array
 * @example topic('camera.frames', bytes)
 */
export const bytes: Codec<Uint8Array> = Object.freeze({
  contentType: 'application/octet-stream',
  encode(value: Uint8Array) {
    if (!(value instanceof Uint8Array))
      throw new MillraceError('E_RESULT', `bytes: expects a Uint8Array, got ${value === null ? 'null' : typeof value}`);
    return value;
  },
  decode: (from: Buffer, start: number, end: number) => new Uint8Array(from.subarray(start, end)),
});
