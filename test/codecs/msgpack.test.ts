// msgpack and bytes: exactly the same value comes back, and what cannot be kept is refused by name.
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { msgpack } from '../../codecs/msgpack.ts';
import { bytes as rawBytes } from '../../index.ts';

const codec = msgpack();
const back = (value: unknown) => {
  const bytes = Buffer.from(codec.encode(value));
  const padded = Buffer.concat([Buffer.from([1, 2, 3]), bytes, Buffer.from([4])]);
  return codec.decode(padded, 3, 3 + bytes.length);
};

describe('keeps', () => {
  it.each([
    0,
    -0,
    1,
    -1,
    31,
    -32,
    -33,
    127,
    128,
    255,
    256,
    2 ** 31 - 1,
    2 ** 31,
    -(2 ** 31),
    -(2 ** 31) - 1,
    2 ** 53,
    0.1,
    5e-324,
    1.7e308,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    0n,
    -1n,
    2n ** 63n - 1n,
    -(2n ** 63n),
    2n ** 63n,
    -(2n ** 200n),
    null,
    undefined,
    true,
    false,
    '',
    'a',
    'ü',
    '😀',
    '\ud800',
    'a\udfff',
    'x'.repeat(31),
    'x'.repeat(32),
    'ü'.repeat(40),
    'x'.repeat(100_000),
    '\u0000',
  ])('%s', (value) => expect(Object.is(back(value), value)).toBe(true));

  it('dates, bytes, arrays, objects', () => {
    for (const value of [
      new Date(0),
      new Date(-1.5),
      new Date(8.64e15),
      [],
      [1, [2, [3]]],
      Array.from({ length: 70_000 }, (_, i) => i),
      {},
      { a: { b: [null, undefined] } },
    ])
      expect(back(value)).toEqual(value);
    expect(back(new Date(Number.NaN))).toEqual(new Date(Number.NaN));
    const kept = back(Uint8Array.from([1, 2, 255]));
    expect(kept).toEqual(Uint8Array.from([1, 2, 255]));
    expect(back(Buffer.from('abc'))).toEqual(Uint8Array.from(Buffer.from('abc')));
  });

  it('fields that are undefined, the order of fields, and a field named __proto__', () => {
    expect(Object.keys(back({ b: undefined, a: 1 }) as object)).toEqual(['b', 'a']);
    const hostile = back(JSON.parse('{"__proto__":{"polluted":1},"constructor":2}')) as Record<string, unknown>;
    expect(Object.keys(hostile)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(hostile)).toBe(Object.prototype);
    expect((hostile as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it('bytes of its own: what was decoded does not change with the buffer', () => {
    const encoded = Buffer.from(codec.encode({ b: Uint8Array.from([1]), t: 'text' }));
    const value = codec.decode(encoded, 0, encoded.length) as { b: Uint8Array; t: string };
    encoded.fill(0);
    expect(value).toEqual({ b: Uint8Array.from([1]), t: 'text' });
    const first = codec.encode('first');
    codec.encode('second');
    expect(codec.decode(Buffer.from(first), 0, first.length)).toBe('first');
  });

  it('anything, exactly', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withNullPrototype: false, withUnicodeString: true, maxDepth: 4 }),
        (value) => {
          const found = back(value);
          expect(found).toStrictEqual(value);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('in a form that other MessagePack readers understand', () => {
    const other = new Packr({ useRecords: false });
    fc.assert(
      // msgpackr itself renames a field called __proto__ as it reads; ours keeps it, which the test above shows.
      fc.property(
        fc.jsonValue().filter((value) => !JSON.stringify(value).includes('"__proto__"')),
        (value) => {
          expect(JSON.stringify(other.unpack(Buffer.from(codec.encode(value))))).toBe(JSON.stringify(value));
        },
      ),
      { numRuns: 2_000 },
    );
    expect(other.unpack(Buffer.from(codec.encode({ u: undefined, n: Number.NaN })))).toEqual({ u: undefined, n: Number.NaN });
  });
});

describe('refuses', () => {
  class Reading {}
  const circular: unknown[] = [];
  circular.push(circular);
  let deep: unknown = 1;
  for (let i = 0; i < 20_000; i++) deep = { deep };
  it.each([
    ['a function', () => 1, 'a function cannot be stored'],
    ['a symbol', Symbol('s'), 'a symbol cannot be stored'],
    ['a function inside', { a: [() => 1] }, 'a function cannot be stored'],
    ['a Map', new Map(), 'an object of class Map cannot be stored'],
    ['a class', new Reading(), 'an object of class Reading cannot be stored'],
    ['a circle', circular, 'containing itself'],
    ['depth', deep, 'nested deeper than 1000 levels'],
  ])('%s', (_name, value, message) => {
    expect(() => codec.encode(value)).toThrow(message);
    expect(() => codec.encode(value)).toThrow(/E_RESULT/);
    expect(back('still works')).toBe('still works');
  });

  it('any bytes: a value or E_DECODE, and no memory for what is only claimed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (made) => {
        try {
          codec.decode(Buffer.from(made), 0, made.length);
        } catch (error) {
          expect((error as { code?: string }).code).toBe('E_DECODE');
        }
      }),
      { numRuns: 3_000 },
    );
    for (const lie of ['ddffffffff', 'dfffffffff', 'dbffffffff', 'c6ffffffff', 'c9ffffffff02']) {
      const made = Buffer.from(lie, 'hex');
      expect(() => codec.decode(made, 0, made.length)).toThrow(/E_DECODE/);
    }
    const nested = Buffer.alloc(200_000, 0x91);
    expect(() => codec.decode(nested, 0, nested.length)).toThrow(/E_DECODE/);
  });
});

describe('bytes', () => {
  it('gives a copy of exactly its part', () => {
    const from = Buffer.from('abcdef');
    const value = rawBytes.decode(from, 1, 4);
    from.fill(0);
    expect(Buffer.from(value).toString()).toBe('bcd');
    expect(rawBytes.decode(Buffer.alloc(0), 0, 0)).toHaveLength(0);
  });

  it('writes Uint8Arrays alone', () => {
    expect(rawBytes.encode(Uint8Array.from([1]))).toEqual(Uint8Array.from([1]));
    for (const wrong of [null, 'x', [1], {}])
      expect(() => rawBytes.encode(wrong as never)).toThrow(/E_RESULT: bytes: expects a Uint8Array/);
  });
});
