// The shape reader never gives a value that JSON.parse would not give, whatever the bytes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shapeReader } from '../../codecs/shapeReader.ts';

/** Reads `text` in the middle of other bytes, as a batch holds it, after learning `sample`. */
function readAfter(sample: string, text: string | Buffer) {
  const reader = shapeReader();
  reader.missed(sample, JSON.parse(sample));
  const bytes = Buffer.isBuffer(text) ? text : Buffer.from(text, 'utf8');
  const around = Buffer.concat([Buffer.from('9"'), bytes, Buffer.from('9,"}')]);
  return reader.read(around, 2, 2 + bytes.length);
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** The same names in the same order, the same values to the sign of zero, and a plain object. */
function expectSame(found: Record<string, unknown>, text: string): void {
  const wanted = parsed(text) as Record<string, unknown>;
  expect(wanted, `${text} is not JSON`).toBeDefined();
  expect(Object.keys(found)).toEqual(Object.keys(wanted));
  for (const [name, value] of Object.entries(wanted)) expect([name, Object.is(found[name], value)]).toEqual([name, true]);
  expect(Object.getPrototypeOf(found)).toBe(Object.prototype);
}

const SAMPLE = '{"device":"dev-1","ts":1,"value":1.5,"ok":true}';

describe('reads', () => {
  it.each([
    '{"device":"dev-2","ts":1700000000000,"value":21.37,"ok":false}',
    '{"device":"","ts":0,"value":-0,"ok":null}',
    '{"device":null,"ts":"x","value":-0.001,"ok":123456789012345}',
    '{"device":7,"ts":0.1,"value":0.123456789012345,"ok":-7}'.replace('0.123456789012345', '0.12345678901234'),
    '{"device":1e3,"ts":1234567890123456,"value":10.290000000000001,"ok":-1.7976931348623157e+308}',
    '{"device":1E-400,"ts":1e400,"value":-0.0e1,"ok":123456789012345678901234567890}',
    `{"device":"${'x'.repeat(300)}","ts":1,"value":2,"ok":true}`,
  ])('%s', (text) => {
    const found = readAfter(SAMPLE, text);
    expect(found).toBeDefined();
    expectSame(found as Record<string, unknown>, text);
  });

  it('the spaces that the sample has', () => {
    const python = '{"device": "dev-1", "ts": 1}';
    expectSame(readAfter(python, '{"device": "b", "ts": 2}') as Record<string, unknown>, '{"device": "b", "ts": 2}');
    expect(readAfter(python, '{"device":"b","ts":2}')).toBeUndefined();
    expect(readAfter('{ "a" : 1 , "b" : 2 } ', '{ "a" : 3 , "b" : 4 } ')).toEqual({ a: 3, b: 4 });
  });

  it('names that are escaped, not ASCII, or the names of Object’s own', () => {
    for (const sample of ['{"a\\"b":1,"ü":2}', '{"constructor":1,"toString":2,"hasOwnProperty":3}', '{"1":1,"2":2}']) {
      const text = sample.replaceAll('1', '1').replace(/:\d/g, ':8');
      expectSame(readAfter(sample, text) as Record<string, unknown>, text);
    }
  });
});

describe('leaves to JSON.parse', () => {
  it.each([
    ['an exponent without digits', '{"device":"a","ts":1e,"value":1,"ok":true}'],
    ['an exponent with a sign only', '{"device":"a","ts":1.5e+,"value":1,"ok":true}'],
    ['many digits behind a zero', '{"device":"a","ts":01234567890123456,"value":1,"ok":true}'],
    ['many digits and a bare point', '{"device":"a","ts":1234567890123456.,"value":1,"ok":true}'],
    ['a number that the text ends in', '{"device":"a","ts":1234567890123456'],
    ['an escape', '{"device":"a\\n","ts":1,"value":1,"ok":true}'],
    ['other than ASCII', '{"device":"ü","ts":1,"value":1,"ok":true}'],
    ['an object inside', '{"device":{},"ts":1,"value":1,"ok":true}'],
    ['an array inside', '{"device":[],"ts":1,"value":1,"ok":true}'],
    ['another order', '{"ts":1,"device":"a","value":1,"ok":true}'],
    ['one name less', '{"device":"a","ts":1,"value":1}'],
    ['one name more', '{"device":"a","ts":1,"value":1,"ok":true,"x":1}'],
    ['a leading zero', '{"device":"a","ts":01,"value":1,"ok":true}'],
    ['a bare minus', '{"device":"a","ts":-,"value":1,"ok":true}'],
    ['a leading zero behind a minus', '{"device":"a","ts":-01,"value":1,"ok":true}'],
    ['a point without digits', '{"device":"a","ts":1.,"value":1,"ok":true}'],
    ['a point first', '{"device":"a","ts":.5,"value":1,"ok":true}'],
    ['a plus', '{"device":"a","ts":+5,"value":1,"ok":true}'],
    ['half a word', '{"device":"a","ts":tru,"value":1,"ok":true}'],
    ['a control character', '{"device":"a\u0001","ts":1,"value":1,"ok":true}'],
    ['an open text', '{"device":"a'],
    ['a missing brace', '{"device":"a","ts":1,"value":1,"ok":true'],
    ['a space behind', '{"device":"a","ts":1,"value":1,"ok":true} '],
    ['nothing', ''],
    ['one byte', '{'],
  ])('%s', (_name, text) => expect(readAfter(SAMPLE, text)).toBeUndefined());

  it('samples it cannot take a shape from', () => {
    for (const sample of [
      '1',
      '"x"',
      'null',
      '[1]',
      '{}',
      '{"a":{"b":1}}',
      '{"a":[1]}',
      '{"a":1,"a":2}',
      '{"b":1,"1":2}',
      '{"__proto__":1}',
    ])
      expect(readAfter(sample, sample)).toBeUndefined();
  });
});

describe('learning', () => {
  it('takes another shape over when its texts come often enough, and mixed input does no harm', () => {
    const reader = shapeReader();
    const texts = ['{"a":1}', '{"b":2,"c":"x"}'];
    let hits = 0;
    for (let i = 0; i < 3_000; i++) {
      const text = texts[i < 1_000 ? 0 : i < 2_000 ? 1 : i % 2] as string;
      const bytes = Buffer.from(text);
      const found = reader.read(bytes, 0, bytes.length);
      if (found === undefined) reader.missed(text, JSON.parse(text));
      else {
        hits++;
        expect(found).toEqual(JSON.parse(text));
      }
    }
    expect(hits).toBeGreaterThan(2_300);
  });

  it('objects do not share what is in them', () => {
    const reader = shapeReader();
    const bytes = Buffer.from('{"a":1,"b":"x"}');
    reader.missed(bytes.toString(), JSON.parse(bytes.toString()));
    const first = reader.read(bytes, 0, bytes.length) as Record<string, unknown>;
    first.a = 99;
    expect(reader.read(bytes, 0, bytes.length)).toEqual({ a: 1, b: 'x' });
  });
});

describe('fuzz', () => {
  const scalar = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((x) => Number(x.toFixed(2))),
    fc.constantFrom(0, -0, 5e-324, 0.1, 1e21, 123456789012345, 1234567890123456, null, true, false),
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('hall-3', 'a"b', 'a\\b', 'line\n', '\u007f', '😀', '\ud800', 'x'.repeat(70)),
  );
  const shapeOf = fc.uniqueArray(fc.oneof(fc.constantFrom('device', 'ts', 'value', 'unit', '__proto__', 'constructor', '1'), fc.string()), {
    minLength: 1,
    maxLength: 6,
  });
  const textOf = (names: readonly string[], values: readonly unknown[]) =>
    `{${names.map((name, i) => `${JSON.stringify(name)}:${JSON.stringify(values[i]) ?? 'null'}`).join(',')}}`;

  it('any values under the names of the sample: what is read is what JSON.parse gives', () => {
    let read = 0;
    fc.assert(
      fc.property(
        shapeOf,
        fc.array(scalar, { minLength: 6, maxLength: 6 }),
        fc.array(scalar, { minLength: 6, maxLength: 6 }),
        (names, before, after) => {
          const text = textOf(names, after);
          const found = readAfter(textOf(names, before), text);
          if (found === undefined) return;
          read++;
          expectSame(found, text);
        },
      ),
      { numRuns: 3_000 },
    );
    expect(read).toBeGreaterThan(300);
  });

  it('texts with bytes changed, cut out and put in: still only what JSON.parse gives', () => {
    const edits = fc.array(
      fc.tuple(
        fc.nat(200),
        fc.constantFrom('cut', 'put', 'set'),
        fc.oneof(fc.constantFrom(...Buffer.from('0123456789.-+eE"\\,:{}[] truefalsn')), fc.nat(255)),
      ),
      { minLength: 1, maxLength: 3 },
    );
    fc.assert(
      fc.property(fc.array(scalar, { minLength: 4, maxLength: 4 }), edits, (values, changes) => {
        const names = ['device', 'ts', 'value', 'ok'];
        const bytes = [...Buffer.from(textOf(names, values))];
        for (const [place, how, byte] of changes) {
          const at = place % (bytes.length + 1);
          if (how === 'cut') bytes.splice(at, 1);
          else if (how === 'put') bytes.splice(at, 0, byte);
          else bytes[at] = byte;
        }
        const text = Buffer.from(bytes);
        const found = readAfter(SAMPLE, text);
        if (found !== undefined) expectSame(found, text.toString('utf8'));
      }),
      { numRuns: 5_000 },
    );
  });
});
