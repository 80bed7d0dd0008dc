// How result rows and alerts are written to their topics: JSON that anybody can read and that loses nothing.
import { MillraceError, messageOf } from './errors.ts';
import { isPlainJson, parseTagged, taggedText } from './taggedJson.ts';
import type { Codec } from './topic.ts';

/**
 * JSON text; what JSON cannot say is tagged: see {@link taggedText}. Reads plain JSON of any origin as well.
 *
 * Errors  encode: E_RESULT naming the path · decode: E_DECODE
 */
export const resultCodec: Codec<unknown> = {
  contentType: 'application/json',
  encode(value) {
    return Buffer.from(isPlainJson(value) ? JSON.stringify(value) : taggedText(value, 'exact', 'result'), 'utf8');
  },
  decode(bytes, start, end) {
    try {
      return parseTagged(bytes.toString('utf8', start, end));
    } catch (error) {
      if (error instanceof MillraceError) throw error;
      // The parser's message quotes the payload; only where it stopped is ours to tell.
      const at = /position \d+/.exec(messageOf(error))?.[0];
      throw new MillraceError('E_DECODE', `${end - start} bytes are not JSON${at === undefined ? '' : ` at ${at}`}`);
    }
  },
};
