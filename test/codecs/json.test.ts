// json(schema): what is read, what is refused and how it is said; nothing a device sends may crash the line.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { jsonFault } from '../../codecs/jsonFault.ts';
import { DEPTH_MAX } from '../../codecs/jsonText.ts';
import type { StandardSchema } from '../../codecs/standardSchema.ts';
import { json } from '../../index.ts';

const decode = (codec: { decode(bytes: Buffer, start: number, end: number): unknown }, text: string | Uint8Array) => {
  const bytes = Buffer.from(text as string);
  const padded = Buffer.concat([Buffer.from('[['), bytes, Buffer.from(']]')]);
  return codec.decode(padded, 2, 2 + bytes.length);
};
const written = <V>(codec: { encode(value: V): Uint8Array }, value: V) => Buffer.from(codec.encode(value)).toString('utf8');

/** A schema from a function. */
function schemaOf<V>(validate: StandardSchema<V>['~standard']['validate']): StandardSchema<V> {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}
const anyValue = json(schemaOf((value) => ({ value })));
const Air = z.object({ pm25: z.number(), zone: z.string(), samples: z.array(z.number()).optional() });
const air = json(Air);

describe('decode', () => {
  it('parses, then validates; the value is the schema’s', () => {
    expect(decode(air, '{"pm25":1.5,"zone":"n","extra":1}')).toEqual({ pm25: 1.5, zone: 'n' });
    expect(decode(json(z.object({ at: z.string().transform((s) => s.length) })), '{"at":"abc"}')).toEqual({ at: 3 });
    expect(decode(json(z.number()), '7')).toBe(7);
  });

  it('says path and reason when the schema refuses, five at most', () => {
    expect(() => decode(air, '{"pm25":"1","zone":"n","samples":[1,"x"]}')).toThrow(
      /^E_SCHEMA: at 'pm25': .*number.*; at 'samples\[1\]': .*number/,
    );
    const many = json(schemaOf(() => ({ issues: Array.from({ length: 7 }, (_, i) => ({ message: 'no', path: [{ key: 'a' }, i] })) })));
    expect(() => decode(many, '1')).toThrow(
      "E_SCHEMA: at 'a[0]': no; at 'a[1]': no; at 'a[2]': no; at 'a[3]': no; at 'a[4]': no; and 2 more",
    );
  });

  it('a schema that throws refuses the value', () => {
    const throwing = json(
      schemaOf((value) => {
        if (value === 1) throw new TypeError('broken schema');
        return { value };
      }),
    );
    expect(() => decode(throwing, '1')).toThrow('E_SCHEMA: the schema threw: broken schema');
    expect(decode(throwing, '2')).toBe(2);
  });

  it.each([
    ['', 'empty; expected JSON'],
    ['  ', 'not JSON at position 2: expected a value, the text ends'],
    ['nope', 'not JSON at position 0: expected a value, found "n"'],
    ['{"a":}', 'not JSON at position 5: expected a value, found "}"'],
    ['{"a":1', "not JSON at position 6: expected ',' or '}', the text ends"],
    ['{a:1}', 'not JSON at position 1: expected a name in double quotes and a colon, or \'}\', found "a"'],
    ['{"a":1,}', 'not JSON at position 7: expected a name in double quotes and a colon, found "}"'],
    ['[1,2', "not JSON at position 4: expected ',' or ']', the text ends"],
    ['[1 2]', "not JSON at position 3: expected ',' or ']', found \"2\""],
    ['1 x', 'not JSON at position 2: expected the end, found "x"'],
    ['01', 'not JSON at position 1: expected the end, found "1"'],
    ['"\u0001"', 'not JSON at position 0: expected a value, found "\\""'],
    ['😀', 'not JSON at position 0: expected a value, found "😀"'],
  ])('E_DECODE names the position: %s', (text, message) => {
    expect(() => decode(anyValue, text)).toThrow(`E_DECODE: ${message}`);
  });

  it('never says what the payload holds beyond one character', () => {
    try {
      decode(anyValue, `{"secret":"hunter2"${'x'.repeat(50)}`);
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).not.toContain('hunter2');
    }
  });

  it('names that reach for a prototype are plain fields, and nothing is polluted', () => {
    const value = decode(anyValue, '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}') as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(decode(air, '{"__proto__":{"pm25":1},"pm25":2,"zone":"n"}')).toEqual({ pm25: 2, zone: 'n' });
  });

  it('deep nesting is refused, whatever its form; what is allowed can be walked', () => {
    for (const depth of [DEPTH_MAX + 1, 100_000]) {
      expect(() => decode(anyValue, '['.repeat(depth) + ']'.repeat(depth))).toThrow(/E_DECODE: JSON nested deeper than 256/);
      expect(() => decode(anyValue, `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)).toThrow(/E_DECODE: JSON nested deeper/);
      expect(() => decode(anyValue, '['.repeat(depth))).toThrow(/E_DECODE/);
    }
    const allowed = '['.repeat(DEPTH_MAX) + ']'.repeat(DEPTH_MAX);
    expect(JSON.stringify(decode(anyValue, allowed))).toBe(allowed);
    const brackets = JSON.stringify({ text: '[{'.repeat(600), quote: `"\\"${'['.repeat(600)}` });
    expect(decode(anyValue, brackets)).toEqual(JSON.parse(brackets));
  });

  it('bytes that are no UTF-8 are refused; a replacement character that was sent is not', () => {
    for (const bytes of [
      [0x22, 0xff, 0x22],
      [0x22, 0xc3, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
    ])
      expect(() => decode(anyValue, Uint8Array.from(bytes))).toThrow('E_DECODE: the bytes are not UTF-8');
    expect(decode(anyValue, '"\ufffd"')).toBe('\ufffd');
  });

  it('256 KB is no trouble', () => {
    const large = JSON.stringify(Array.from({ length: 20_000 }, (_, i) => ({ i })));
    expect(decode(anyValue, large)).toHaveLength(20_000);
    expect(() => decode(anyValue, large.slice(0, -1))).toThrow(/E_DECODE: not JSON at position/);
  });
});

describe('encode', () => {
  it('writes what the schema gives, and checks first', () => {
    expect(written(air, { pm25: 1, zone: 'n' })).toBe('{"pm25":1,"zone":"n"}');
    expect(written(air, { pm25: 1, zone: 'n', extra: 7 } as never)).toBe('{"pm25":1,"zone":"n"}');
    expect(() => written(air, { pm25: '1', zone: 'n' } as never)).toThrow(/E_SCHEMA: at 'pm25'/);
  });

  it('refuses what JSON would change without a word', () => {
    expect(() => written(anyValue, { a: [1, Number.NaN] })).toThrow("E_RESULT: JSON cannot express NaN at 'a.1'");
    expect(() => written(anyValue, Number.POSITIVE_INFINITY)).toThrow('E_RESULT: JSON cannot express Infinity;');
    expect(() => written(anyValue, 1n)).toThrow(/E_RESULT: JSON cannot express this value/);
    expect(() => written(anyValue, undefined)).toThrow('E_RESULT: JSON cannot express undefined');
    expect(() => written(anyValue, () => 1)).toThrow('E_RESULT: JSON cannot express function');
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    expect(() => written(anyValue, circular)).toThrow(/E_RESULT/);
    expect(written(anyValue, { a: null, b: 'null' })).toBe('{"a":null,"b":"null"}');
  });

  it('a schema that changes what it reads is E_SCHEMA_ONE_WAY at the first write', () => {
    expect(() => written(json(z.string().transform((s) => `${s}!`)), 'a')).toThrow(/E_SCHEMA_ONE_WAY: .*reads back as something else/);
    expect(() =>
      written(json(z.object({ at: z.preprocess((s) => (typeof s === 'number' ? { s } : s), z.looseObject({})) })), { at: 5 } as never),
    ).not.toThrow();
    expect(() => written(json(z.union([z.string().transform(Number), z.null()])), '5' as never)).toThrow(
      /E_SCHEMA_ONE_WAY: .*does not read back \(E_SCHEMA/,
    );
    expect(() => written(json(z.map(z.string(), z.number())), new Map([['a', 1]]))).toThrow(/E_SCHEMA_ONE_WAY/);
  });

  it('a schema that cleans up, fills in or reads dates in can be written with', () => {
    expect(written(json(z.string().trim()), ' a ')).toBe('"a"');
    expect(written(json(z.object({ a: z.number().default(1) })), {} as never)).toBe('{"a":1}');
    expect(written(json(z.object({ at: z.coerce.date() })), { at: new Date(0) })).toBe('{"at":"1970-01-01T00:00:00.000Z"}');
  });

  it('the check goes on, now and then', () => {
    let reads = 0;
    const counting = json(schemaOf((value) => ({ value: (reads++, value) })));
    const before = reads;
    for (let i = 0; i < 5_000; i++) counting.encode(i);
    expect(reads - before).toBe(5_000 + 64 + 4);
  });
});

describe('schemas that wait', () => {
  it('are refused when the file is read, if any value makes them wait', () => {
    expect(() => json(schemaOf(async (value) => ({ value })))).toThrow('E_SCHEMA_ASYNC: the test schema validates asynchronously');
  });

  it('are refused at the first value otherwise, also when the promise fails', () => {
    const sometimes = json(z.object({ a: z.number().refine(async (a) => a > 0) }));
    expect(() => decode(sometimes, '{"a":1}')).toThrow(/E_SCHEMA_ASYNC: the zod schema/);
    const failing = json(schemaOf((value) => (value === 1 ? Promise.reject(new Error('later')) : { value })));
    expect(() => decode(failing, '1')).toThrow(/E_SCHEMA_ASYNC/);
    expect(() => failing.encode(1)).toThrow(/E_SCHEMA_ASYNC/);
  });

  it('what is no schema says so', () => {
    for (const wrong of [undefined, null, 7, {}, { '~standard': {} }])
      expect(() => json(wrong as never)).toThrow(/E_CONFIG: json: expects a Standard Schema/);
  });
});

describe('for any input', () => {
  it('bytes give a value or an error of ours', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decode(anyValue, bytes);
        } catch (error) {
          expect((error as { code: string }).code).toBe('E_DECODE');
        }
      }),
    );
  });

  it('what is written reads back the same, through parser and shape reader', () => {
    const codec = json(schemaOf((value) => ({ value })));
    fc.assert(
      fc.property(fc.json(), (text) => {
        const value = JSON.parse(text);
        const bytes = Buffer.from(codec.encode(value));
        for (let i = 0; i < 3; i++) expect(codec.decode(bytes, 0, bytes.length)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 500 },
    );
  });

  it('a fault is found exactly where JSON.parse refuses', () => {
    const almost = fc
      .tuple(fc.json(), fc.nat(50), fc.constantFrom('', ',', '"', '}', ']', '0', '.', 'e', '\\', ' ', '\n', 'null'))
      .map(([text, at, put]) => text.slice(0, at) + put + text.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(almost, fc.json(), fc.string()), (text) => {
        let refused = false;
        try {
          JSON.parse(text);
        } catch {
          refused = true;
        }
        expect(jsonFault(text) !== undefined).toBe(refused);
      }),
      { numRuns: 3_000 },
    );
  });
});
