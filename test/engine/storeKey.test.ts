// Keys of any type: equal ones are one key, their bytes give them back, and their order is total.
import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RowWriter } from '../../engine/rowWriter.ts';
import { checkNewKey, compareKeys, decodeLookup, keyOfLookup, lookupKey, writeLookup } from '../../engine/storeKey.ts';

function around(key: unknown): unknown {
  const out = new RowWriter();
  writeLookup(out, lookupKey(key), 3);
  out.at += 3;
  const bytes = Buffer.from(out.end());
  return keyOfLookup(decodeLookup(bytes, 0, bytes.length - 3));
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary' }),
  fc.string().map((s) => `\0${s}`),
  fc.constantFrom('\0t', '\0b', '\0j{}', ''),
);
const number = fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer()).map((n) => (n === 0 ? 0 : n));
const simple = fc.oneof(text, number, fc.bigInt(), fc.boolean(), fc.date({ noInvalidDate: true }));
const { object } = fc.letrec((tie) => ({
  object: fc.oneof(
    { maxDepth: 3 },
    simple,
    fc.constant(null),
    fc.array(tie('object'), { maxLength: 3 }),
    fc
      .array(fc.tuple(fc.oneof(fc.string(), fc.constantFrom('$date', '__proto__', '$')), tie('object')), { maxLength: 3 })
      .map((f) => Object.fromEntries(f)),
  ),
}));
const bytes = fc.uint8Array({ maxLength: 8 }).map((b) => Buffer.from(b));
const anyKey: fc.Arbitrary<unknown> = fc.oneof(
  simple,
  bytes,
  object.filter((key) => key !== null),
);

/** The same key made anew, its fields in another order, with a field that is not there. */
function twin(key: unknown): unknown {
  if (key instanceof Uint8Array) return new Uint8Array(key);
  if (key instanceof Date) return new Date(key);
  if (Array.isArray(key)) return key.map(twin);
  if (typeof key !== 'object' || key === null) return key;
  return Object.fromEntries([
    ...Object.entries(key)
      .reverse()
      .map(([name, field]) => [name, twin(field)]),
    ['absent', undefined],
  ]);
}

describe('storeKey', () => {
  it('gives every key back from its bytes', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        deepStrictEqual(around(key), key);
        deepStrictEqual(keyOfLookup(lookupKey(key)), key);
      }),
      { numRuns: 2_000 },
    );
  });

  it('knows equal keys, whatever the order of their fields', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        expect(lookupKey(twin(key))).toBe(lookupKey(key));
        expect(compareKeys(twin(key), key)).toBe(0);
      }),
      { numRuns: 1_000 },
    );
  });

  it('keeps different keys apart, in memory, in bytes and in order', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (a, b) => {
        let same = true;
        try {
          deepStrictEqual(a, b);
        } catch {
          same = false;
        }
        expect(lookupKey(a) === lookupKey(b)).toBe(same);
        expect(compareKeys(a, b) === 0).toBe(same);
        expect(Math.sign(compareKeys(a, b))).toBe(-Math.sign(compareKeys(b, a)) + 0);
      }),
      { numRuns: 2_000 },
    );
    const alike: unknown[] = [
      '1',
      1,
      1n,
      true,
      'true',
      [1],
      ['1'],
      { 1: 1 },
      '{"1":1}',
      '[1]',
      Buffer.from('1'),
      '\0b1',
      '\0j[1]',
      '\0t1',
      '\0\0t1',
    ];
    expect(new Set(alike.map(lookupKey)).size).toBe(alike.length);
    expect(new Set(alike.map((key) => around(key)).map(lookupKey)).size).toBe(alike.length);
  });

  it('orders keys totally', () => {
    fc.assert(
      fc.property(anyKey, anyKey, anyKey, (a, b, c) => {
        const [x, y, z] = [a, b, c].sort(compareKeys);
        expect(compareKeys(x, y)).toBeLessThanOrEqual(0);
        expect(compareKeys(y, z)).toBeLessThanOrEqual(0);
        expect(compareKeys(x, z)).toBeLessThanOrEqual(0);
      }),
      { numRuns: 2_000 },
    );
    const order: unknown[] = [false, true, -5, 0, 0.5, 7, -3n, 2n, 10n, '', '\0a', 'A', 'a', 'aa', 'b', 'é', '😀', '\uffff'];
    order.push(Buffer.from([]), Buffer.from([0]), Buffer.from([0, 1]), Buffer.from([200]), { a: 1 }, { a: 2 }, { b: 0 });
    expect([...order].reverse().sort(compareKeys)).toStrictEqual(order);
  });

  it('takes 0 and -0 for one key, also inside an object', () => {
    expect(Object.is(around(-0), 0)).toBe(true);
    expect(new Map([[lookupKey(-0), 1]]).get(lookupKey(0))).toBe(1);
    expect(lookupKey({ x: -0 })).toBe(lookupKey({ x: 0 }));
  });

  it.each([null, undefined])('says E_NULL_KEY for %s', (key) => {
    expect(() => lookupKey(key)).toThrow('E_NULL_KEY');
  });

  it.each([
    [NaN, 'a key cannot be NaN'],
    [Infinity, 'a key cannot be Infinity'],
    [{ at: { x: NaN } }, 'key.at.x is NaN'],
    [Symbol('s'), 'a key cannot be a symbol'],
    [() => 1, 'a key cannot be a function'],
    [[new Map()], 'key[0] is a Map'],
    [new Date(NaN), 'key is an invalid Date'],
  ])('refuses %s', (key, message) => {
    expect(() => lookupKey(key)).toThrow(expect.objectContaining({ code: 'E_RESULT', message: expect.stringContaining(message) }));
  });

  it('refuses half a surrogate pair, which two keys would share the bytes of', () => {
    for (const key of ['\ud800', 'a\udc00b', '\0\ud800']) expect(() => checkNewKey(lookupKey(key))).toThrow('E_RESULT');
    checkNewKey(lookupKey('😀'));
    checkNewKey(5);
    checkNewKey(lookupKey({ a: '\ud800' }));
    deepStrictEqual(around({ a: '\ud800' }), { a: '\ud800' });
  });

  it.each(['', '00', '02', '0200000000', '0341', '04', '0402aa', '09aa'])('says E_CORRUPT for the bytes %s', (hex) => {
    const stored = Buffer.from(hex, 'hex');
    expect(() => decodeLookup(stored, 0, stored.length)).toThrow('E_CORRUPT');
  });
});
