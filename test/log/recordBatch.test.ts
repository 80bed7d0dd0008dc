// The record batch codec: round trips, hostile bytes, control and compacted batches.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import type { RecordBatch } from '../../engine/ports.ts';
import { type Headers, noHeaders } from '../../engine/record.ts';
import { crc32c, crc32cTable } from '../../log/crc32c.ts';
import { decodeRecordBatch, FIELD, readBatchHeader, setBaseOffset } from '../../log/recordBatch.ts';
import { RecordBatchEncoder } from '../../log/recordBatchEncoder.ts';

interface Plain {
  key: Uint8Array | null;
  value: Uint8Array | null;
  timeMs: number;
  headers: Headers;
}

const bytes = (max: number) => fc.uint8Array({ maxLength: max });
const headerNames = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom('__proto__', 'constructor', '', 'mqtt.topic'));
const headers = fc
  .array(fc.tuple(headerNames, bytes(40)), { maxLength: 5 })
  .map((entries) =>
    entries.length === 0
      ? noHeaders
      : (Object.assign(
          Object.create(null),
          ...entries.map(([n, v]) => Object.defineProperty(Object.create(null), n, { value: v, enumerable: true })),
        ) as Headers),
  );
const times = fc.oneof(
  fc.integer({ min: 0, max: 4_102_444_800_000 }),
  fc.integer({ min: -(2 ** 51), max: 2 ** 51 }),
  fc.integer({ min: 1_700_000_000_000, max: 1_700_000_060_000 }),
);
const plain: fc.Arbitrary<Plain> = fc.record({ key: fc.option(bytes(300)), value: fc.option(bytes(2_000)), timeMs: times, headers });

function encode(records: readonly Plain[], options = {}): Buffer {
  const encoder = new RecordBatchEncoder();
  for (const { key, value, timeMs, headers: h } of records) encoder.add(key, value, timeMs, h);
  return Buffer.from(encoder.seal(options));
}

function cell(batch: RecordBatch, start: Int32Array, end: Int32Array, i: number): Uint8Array | null {
  return (start[i] as number) < 0 ? null : new Uint8Array(batch.bytes.subarray(start[i], end[i]));
}

function plainOf(batch: RecordBatch): (Omit<Plain, 'headers'> & { headers: [string, number[]][]; offset: number })[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    offset: batch.baseOffset + (batch.offsetDelta[i] as number),
    key: cell(batch, batch.keyStart, batch.keyEnd, i),
    value: cell(batch, batch.valueStart, batch.valueEnd, i),
    timeMs: batch.timeMs[i] as number,
    headers: Object.entries(batch.headers(i)).map(([n, v]) => [n, [...v]]),
  }));
}

function errorOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('crc32c', () => {
  it('gives the check value of the standard, natively and by table', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    const long = Buffer.alloc(1_000, '123456789');
    expect(crc32c(long)).toBe(crc32cTable(long, 0, long.length));
    expect(crc32c(long, 3, 777)).toBe(crc32cTable(long, 3, 777));
    expect(crc32c(Buffer.alloc(0))).toBe(0);
  });
});

describe('record batch', () => {
  it('gives back whatever was put in', () => {
    fc.assert(
      fc.property(fc.array(plain, { maxLength: 40 }), fc.nat({ max: 2 ** 40 }), fc.nat({ max: 50 }), (records, baseOffset, start) => {
        const padded = Buffer.concat([Buffer.alloc(start, 0xee), encode(records, { baseOffset })]);
        const batch = decodeRecordBatch(padded, { start, appendTimeMs: 77 });
        expect(batch).toMatchObject({
          count: records.length,
          baseOffset,
          nextOffset: baseOffset + Math.max(1, records.length),
          appendTimeMs: 77,
          isControl: false,
        });
        expect(plainOf(batch)).toEqual(
          records.map((record, i) => ({
            ...record,
            offset: baseOffset + i,
            headers: Object.entries(record.headers).map(([n, v]) => [Buffer.from(n).toString(), [...v]]),
          })),
        );
      }),
      { verbose: 1 },
    );
  });

  it('carries the producer and its flags', () => {
    const header = readBatchHeader(
      encode([{ key: null, value: null, timeMs: 5, headers: noHeaders }], {
        producerId: 2n ** 62n,
        producerEpoch: 7,
        baseSequence: 9,
        isTransactional: true,
      }),
    );
    expect(header).toMatchObject({
      producerId: 2n ** 62n,
      producerEpoch: 7,
      baseSequence: 9,
      isTransactional: true,
      isControl: false,
      baseTimeMs: 5,
      maxTimeMs: 5,
      codec: 'none',
      count: 1,
    });
  });

  it('keeps its checksum when its base offset is set', () => {
    const sealed = encode([{ key: Buffer.from('k'), value: null, timeMs: 0, headers: noHeaders }]);
    setBaseOffset(sealed, 2 ** 41 + 3);
    expect(decodeRecordBatch(sealed, { appendTimeMs: 0 }).baseOffset).toBe(2 ** 41 + 3);
  });

  it('reads the largest time of the batch for every record when the broker stamps it', () => {
    const sealed = encode([1, 2, 3].map((timeMs) => ({ key: null, value: null, timeMs, headers: noHeaders })));
    sealed.writeInt16BE(1 << 3, FIELD.attributes);
    sealed.writeBigInt64BE(1_800_000_000_000n, FIELD.maxTimestamp);
    sealed.writeUInt32BE(crc32c(sealed, FIELD.attributes), FIELD.crc);
    const batch = decodeRecordBatch(sealed, { appendTimeMs: 5 });
    expect([...batch.timeMs]).toEqual([1_800_000_000_000, 1_800_000_000_000, 1_800_000_000_000]);
    expect(batch.appendTimeMs).toBe(1_800_000_000_000);
  });

  it('moves past a control batch without showing a record', () => {
    const batch = decodeRecordBatch(
      encode([{ key: Buffer.from([0, 0, 0, 1]), value: Buffer.alloc(6), timeMs: 1, headers: noHeaders }], {
        baseOffset: 41,
        isControl: true,
        isTransactional: true,
      }),
      { appendTimeMs: 0 },
    );
    expect(batch).toMatchObject({ count: 0, isControl: true, baseOffset: 41, nextOffset: 42 });
  });

  it('keeps offsets and the end of a compacted batch, also of an empty one', () => {
    const encoder = new RecordBatchEncoder();
    encoder.addAt(3, Buffer.from('a'), null, 10, noHeaders);
    encoder.addAt(900, Buffer.from('b'), Buffer.from('x'), 5, noHeaders);
    const batch = decodeRecordBatch(encoder.seal({ baseOffset: 100, lastOffsetDelta: 1_000 }), { appendTimeMs: 0 });
    expect(plainOf(batch).map(({ offset, timeMs }) => [offset, timeMs])).toEqual([
      [103, 10],
      [1_000, 5],
    ]);
    expect(batch.nextOffset).toBe(1_101);
    expect(decodeRecordBatch(new RecordBatchEncoder().seal({ baseOffset: 7, lastOffsetDelta: 9 }), { appendTimeMs: 0 })).toMatchObject({
      count: 0,
      baseOffset: 7,
      nextOffset: 17,
    });
  });

  it('refuses a time that is not whole milliseconds and adds nothing', () => {
    const encoder = new RecordBatchEncoder();
    for (const time of [1.5, Number.NaN, Infinity, -(2 ** 51) - 1, 2 ** 60])
      expect(() => encoder.add(null, null, time)).toThrow(/E_EVENT_TIME/);
    expect(encoder.count).toBe(0);
  });

  it('names the codec of a compressed batch and the format of an old one', () => {
    const sealed = encode([{ key: null, value: Buffer.from('v'), timeMs: 0, headers: noHeaders }]);
    for (const [codec, name] of [
      [1, 'gzip'],
      [2, 'snappy'],
      [3, 'lz4'],
      [4, 'zstd'],
      [7, 'codec 7'],
    ] as const) {
      sealed.writeInt16BE(codec, FIELD.attributes);
      sealed.writeUInt32BE(crc32c(sealed, FIELD.attributes), FIELD.crc);
      expect(() => decodeRecordBatch(sealed, { appendTimeMs: 0 })).toThrow(new RegExp(`E_DECODE.*${name}`));
    }
    sealed[FIELD.magic] = 1;
    expect(() => decodeRecordBatch(sealed, { appendTimeMs: 0 })).toThrow(/E_DECODE.*format 1/);
  });
});

describe('hostile bytes', () => {
  const sample = encode([
    {
      key: Buffer.from('dev-1'),
      value: Buffer.alloc(200, 'v'),
      timeMs: 1_700_000_000_000,
      headers: { a: Buffer.from('1'), b: Buffer.alloc(0) },
    },
    { key: null, value: null, timeMs: 1_600_000_000_000, headers: noHeaders },
    { key: Buffer.from('dev-2'), value: Buffer.from('{}'), timeMs: 1_700_000_000_001, headers: { c: Buffer.from('xyz') } },
  ]);

  it('finds every flipped byte under the checksum, and every cut', () => {
    for (let at = FIELD.crc; at < sample.length; at++) {
      const flipped = Buffer.from(sample);
      flipped[at] = (flipped[at] as number) ^ 0x40;
      expect(
        errorOf(() => decodeRecordBatch(flipped, { appendTimeMs: 0 })),
        `byte ${at}`,
      ).toMatchObject({ code: 'E_CORRUPT' });
    }
    for (let length = 0; length < sample.length; length++)
      expect(
        errorOf(() => decodeRecordBatch(sample.subarray(0, length), { appendTimeMs: 0 })),
        `length ${length}`,
      ).toMatchObject({ code: 'E_CORRUPT' });
  });

  /** Either a batch whose columns all lie inside the bytes, or one of our errors. Nothing else. */
  function mustBehave(input: Buffer): void {
    const thrown = errorOf(() => {
      const batch = decodeRecordBatch(input, { appendTimeMs: 0 });
      for (let i = 0; i < batch.count; i++) {
        batch.headers(i);
        for (const [start, end] of [
          [batch.keyStart[i], batch.keyEnd[i]],
          [batch.valueStart[i], batch.valueEnd[i]],
        ] as [number, number][])
          if (start !== -1 || end !== -1) expect(start >= FIELD.records && end >= start && end <= input.length).toBe(true);
      }
    });
    if (thrown !== undefined && !(thrown instanceof MillraceError && (thrown.code === 'E_CORRUPT' || thrown.code === 'E_DECODE')))
      throw thrown;
  }

  it('gives one of our errors for lies that carry a right checksum', () => {
    const mutation = fc.array(fc.tuple(fc.nat({ max: sample.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(mutation, (changes) => {
        const lie = Buffer.from(sample);
        for (const [at, value] of changes) lie[at] = value;
        const end = Math.min(lie.length, Math.max(FIELD.records, lie.readInt32BE(FIELD.batchLength) + 12));
        lie.writeUInt32BE(crc32c(lie, FIELD.attributes, end), FIELD.crc);
        mustBehave(lie);
      }),
      { numRuns: 5_000, verbose: 1 },
    );
  });

  it('gives one of our errors for any records section', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer(), fc.integer(), (section, count, last) => {
        const lie = Buffer.concat([encode([]), section]);
        lie.writeInt32BE(lie.length - 12, FIELD.batchLength);
        lie.writeInt32BE(count % 30, FIELD.count);
        lie.writeInt32BE(last, FIELD.lastOffsetDelta);
        lie.writeUInt32BE(crc32c(lie, FIELD.attributes), FIELD.crc);
        mustBehave(lie);
      }),
      { numRuns: 5_000, verbose: 1 },
    );
  });

  it('does not allocate what a count claims', () => {
    const lie = Buffer.from(sample);
    lie.writeInt32BE(0x7fffffff, FIELD.count);
    lie.writeUInt32BE(crc32c(lie, FIELD.attributes), FIELD.crc);
    expect(errorOf(() => decodeRecordBatch(lie, { appendTimeMs: 0 }))).toMatchObject({ code: 'E_DECODE' });
  });
});
