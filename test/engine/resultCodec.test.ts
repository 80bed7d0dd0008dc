// resultCodec: whatever a row may hold comes back the same, and what it may not hold is named.
import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import { resultCodec } from '../../engine/resultCodec.ts';

const text = (value: unknown) => Buffer.from(resultCodec.encode(value)).toString('utf8');
const read = (json: string) => {
  const bytes = Buffer.from(`xx${json}yy`);
  return resultCodec.decode(bytes, 2, bytes.length - 2);
};
const around = (value: unknown) => read(text(value));

const key = fc.oneof(
  fc.string(),
  fc.constantFrom('$', '$$', '$bigint', '$date', '$number', '$$date', '__proto__', 'constructor', 'toString'),
);
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.integer(),
    fc.constantFrom(NaN, Infinity, -Infinity, -0, 0),
    fc.bigInt(),
    fc.boolean(),
    fc.constant(null),
    fc.date({ noInvalidDate: true }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((fields) => Object.fromEntries(fields)),
  ),
}));

describe('resultCodec', () => {
  it('brings back any value', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        // Node's comparison: vitest's looks at a field named `constructor` as if it were a class.
        deepStrictEqual(around(value), value);
      }),
      { numRuns: 2_000 },
    );
  });

  it('writes what needs no tag exactly as JSON.stringify does, by either path', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        fc.pre(
          !JSON.stringify(value).includes('"$') &&
            !JSON.stringify(value, (_, v) => (Object.is(v, -0) ? 'minus zero' : v)).includes('minus zero'),
        );
        expect(text(value)).toBe(JSON.stringify(value));
        expect(text([value, 1n])).toBe(`[${JSON.stringify(value)},{"$bigint":"1"}]`);
      }),
      { numRuns: 1_000 },
    );
  });

  it('reads any JSON of others as it is unless it holds our tags', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const json = JSON.stringify(value);
        fc.pre(!json.includes('"$'));
        expect(read(` ${json} `)).toStrictEqual(JSON.parse(json));
      }),
    );
    for (const json of [
      '{"$ref":"#/a"}',
      '{"$date":"yesterday"}',
      '{"$date":5}',
      '{"$bigint":"1.5"}',
      '{"$number":"5"}',
      '{"$bigint":"-0"}',
      '{"$date":"x","b":1}',
    ])
      expect(read(json)).toStrictEqual(JSON.parse(json));
  });

  it.each([
    [{ n: 1n }, '{"n":{"$bigint":"1"}}'],
    [{ at: new Date(0) }, '{"at":{"$date":"1970-01-01T00:00:00.000Z"}}'],
    [[NaN, Infinity, -Infinity, -0], '[{"$number":"NaN"},{"$number":"Infinity"},{"$number":"-Infinity"},{"$number":"-0"}]'],
    [{ a: undefined, b: 1 }, '{"b":1}'],
    [{ $a: 1 }, '{"$$a":1}'],
    [{ $a: 1, b: undefined }, '{"$$a":1}'],
    [{ $a: 1, b: 2 }, '{"$a":1,"b":2}'],
    [{ $$a: { $b: 1 } }, '{"$$$a":{"$$b":1}}'],
    [[undefined, 1], '[null,1]'],
    ['\ud800', '"\\ud800"'],
    [Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
  ])('writes %o as %s', (value, json) => {
    expect(text(value)).toBe(json);
  });

  it('keeps a field named __proto__ a field', () => {
    const value = read('{"__proto__":{"n":{"$bigint":"1"}},"b":1}') as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.getOwnPropertyDescriptor(value, '__proto__')?.value).toStrictEqual({ n: 1n });
    expect(text(value)).toBe('{"__proto__":{"n":{"$bigint":"1"}},"b":1}');
  });

  const circular: Record<string, unknown> = { a: [{}] };
  (circular['a'] as Record<string, unknown>[])[0]!['up'] = circular;
  let deep: unknown = 1;
  for (let i = 0; i < 5_000; i++) deep = [deep];
  it.each([
    ['a function', { a: { f: () => 1 } }, 'result.a.f is a function'],
    ['a symbol', [1, Symbol('s')], 'result[1] is a symbol'],
    ['a promise', { p: Promise.resolve(1) }, 'result.p is a Promise'],
    ['a map', { m: new Map() }, 'result.m is a Map'],
    ['bytes', { b: new Uint8Array(2) }, 'result.b is a Uint8Array'],
    ['a class instance', { e: new (class Reading {})() }, 'result.e is a Reading'],
    ['an invalid date', { d: new Date(NaN) }, 'result.d is an invalid Date'],
    ['a circle', circular, 'result.a[0].up is a reference to an object that holds it (circular)'],
    ['undefined', undefined, 'result is undefined'],
    ['a very deep value', deep, 'nested deeper than 500 levels'],
  ])('refuses %s by its path', (_, value, message) => {
    expect(() => resultCodec.encode(value)).toThrow(
      expect.objectContaining({ code: 'E_RESULT', message: expect.stringContaining(message) }),
    );
  });

  it('writes one object twice when it stands in two places', () => {
    const shared = { n: 1n };
    expect(text({ a: shared, b: shared })).toBe('{"a":{"n":{"$bigint":"1"}},"b":{"n":{"$bigint":"1"}}}');
  });

  it.each(['', '{', '{"secret":tru', 'undefined', '\xff'])('says E_DECODE for %j and does not quote it', (json) => {
    try {
      read(json);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(MillraceError);
      expect((error as MillraceError).code).toBe('E_DECODE');
      expect((error as MillraceError).message).not.toContain('secret');
    }
  });

  it('says E_DECODE for tags nested without end', () => {
    expect(() => read(`${'{"$$a":'.repeat(5_000)}1${'}'.repeat(5_000)}`)).toThrow(expect.objectContaining({ code: 'E_DECODE' }));
  });
});
