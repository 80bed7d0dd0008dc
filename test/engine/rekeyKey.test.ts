// Keys on their way through a rekey topic: equal keys have equal bytes, and every key comes back.
import { deepStrictEqual } from 'node:assert/strict';
import { describe, expect, it } from 'vitest';
import { msgpack } from '../../codecs/msgpack.ts';
import { decodeRekeyed, encodeRekeyed, encodeRekeyKey } from '../../engine/rekey.ts';

function around(key: unknown): unknown {
  const keyBytes = encodeRekeyKey(key);
  const value = encodeRekeyed(msgpack(), key, 0, 'v');
  const bytes = Buffer.concat([keyBytes, value]);
  const found = decodeRekeyed(msgpack(), bytes, 0, keyBytes.length, keyBytes.length, bytes.length);
  return found.mark === undefined ? found.key : expect.unreachable();
}

describe('keys of a rekey', () => {
  it.each<[unknown]>([
    ['d1'],
    [''],
    [7],
    [-1.5],
    [true],
    [12n],
    [new Date(5)],
    [Buffer.from([0, 255])],
    [{ site: 'a', room: 1n }],
    [['a', 1]],
  ])('brings back %o', (key) => {
    deepStrictEqual(around(key), key);
  });

  it('writes text as it is, to meet other topics’ keys, and equal objects alike whatever the order of their fields', () => {
    expect(Buffer.from(encodeRekeyKey('é')).toString()).toBe('é');
    expect(encodeRekeyKey({ a: 1, b: [-0] })).toStrictEqual(encodeRekeyKey({ b: [0], a: 1, c: undefined }));
  });

  it('refuses what cannot be a key', () => {
    for (const key of [null, undefined]) expect(() => encodeRekeyKey(key)).toThrow('E_NULL_KEY');
    for (const key of [NaN, () => 1, Symbol('s'), { m: new Map() }]) expect(() => encodeRekeyKey(key)).toThrow('E_RESULT');
  });
});
