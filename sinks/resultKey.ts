// Keys of result topics: text stays text, anything else is written as JSON.
import { resultCodec } from '../engine/resultCodec.ts';
import { internUtf8 } from '../engine/stringKey.ts';
import type { Codec } from '../engine/topic.ts';

/**
 * The key codec of result topics. It reads every key as text, for that is what the column `key` holds;
 * a stream has one type of key, so two keys that differ never read the same.
 */
export const resultKey: Codec<unknown> = {
  contentType: 'text/plain; charset=utf-8',
  encode: (key) => (typeof key === 'string' ? Buffer.from(key, 'utf8') : resultCodec.encode(key)),
  decode: internUtf8,
};
