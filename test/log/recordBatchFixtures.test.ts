// Batches written by a real broker, by Java's producer and by kafkajs, against what those who wrote them say is in them.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { RecordBatch } from '../../engine/ports.ts';
import { decodeRecordBatch, readBatchHeader } from '../../log/recordBatch.ts';
import { RecordBatchEncoder } from '../../log/recordBatchEncoder.ts';

interface ExpectedRecord {
  offset: number;
  timeMs: number;
  key: string | null;
  value: string | null;
  headers: [name: string, value: string | null][];
}
interface ExpectedBatch {
  baseOffset: number;
  lastOffset: number;
  count: number;
  codec: string;
  isControl: boolean;
  producerId: string;
  maxTimeMs: number;
  records: ExpectedRecord[];
}

const folder = new URL('../fixtures/record-batch/', import.meta.url);
const file = (name: string) => readFileSync(fileURLToPath(new URL(name, folder)));
const expected = (name: string) => (JSON.parse(file(`${name}.json`).toString('utf8')) as { batches: ExpectedBatch[] }).batches;

/** Where each batch of a fixture begins. */
function starts(bytes: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += readBatchHeader(bytes, at).byteCount) found.push(at);
  return found;
}

const hex = (bytes: Buffer, start: number, end: number) => (start < 0 ? null : bytes.toString('hex', start, end));

function recordsOf(batch: RecordBatch): ExpectedRecord[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    offset: batch.baseOffset + (batch.offsetDelta[i] as number),
    timeMs: batch.timeMs[i] as number,
    key: hex(batch.bytes, batch.keyStart[i] as number, batch.keyEnd[i] as number),
    value: hex(batch.bytes, batch.valueStart[i] as number, batch.valueEnd[i] as number),
    headers: Object.entries(batch.headers(i)).map(([name, value]) => [
      Buffer.from(name).toString('hex'),
      Buffer.from(value).toString('hex'),
    ]),
  }));
}

/** As we show headers: of equal names the last, null as empty. */
function shownHeaders(headers: ExpectedRecord['headers']): ExpectedRecord['headers'] {
  return Object.entries(Object.fromEntries(headers.map(([name, value]) => [name, value ?? ''])));
}

describe.each(['plain', 'append-time', 'transactions', 'compacted', 'kafkajs'])('batches of others: %s', (name) => {
  const bytes = file(`${name}.bin`);

  it('reads what its writer wrote', () => {
    const batches = starts(bytes).map((start) => ({
      header: readBatchHeader(bytes, start),
      batch: decodeRecordBatch(bytes, { start, appendTimeMs: 0 }),
    }));
    expect(batches.length).toBe(expected(name).length);
    for (const [i, wanted] of expected(name).entries()) {
      const { header, batch } = batches[i] as (typeof batches)[number];
      const { records, lastOffset, producerId, ...fields } = wanted;
      expect(header).toMatchObject({ ...fields, producerId: BigInt(producerId) });
      expect(batch).toMatchObject({
        baseOffset: wanted.baseOffset,
        nextOffset: lastOffset + 1,
        isControl: wanted.isControl,
        count: wanted.isControl ? 0 : wanted.count,
      });
      if (!wanted.isControl)
        expect(recordsOf(batch)).toEqual(records.map((record) => ({ ...record, headers: shownHeaders(record.headers) })));
    }
  });

  it('finds a flip of any byte in it', () => {
    for (const start of starts(bytes)) {
      const { byteCount } = readBatchHeader(bytes, start);
      for (let at = start + 17; at < start + byteCount; at += Math.max(1, byteCount >> 7)) {
        const flipped = Buffer.from(bytes);
        flipped[at] = (flipped[at] as number) ^ 1;
        expect(() => decodeRecordBatch(flipped, { start, appendTimeMs: 0 })).toThrow(/E_CORRUPT/);
      }
    }
  });
});

describe('batches of others', () => {
  it('hold the cases they were made for', () => {
    expect(expected('transactions').filter(({ isControl }) => isControl).length).toBe(3);
    expect(expected('compacted').some(({ count }) => count === 0)).toBe(true);
    expect(expected('compacted').some(({ count, baseOffset, lastOffset }) => count > 0 && count <= lastOffset - baseOffset)).toBe(true);
  });

  it('are refused by name when compressed', () => {
    expect(() => decodeRecordBatch(file('gzip.bin'), { appendTimeMs: 0 })).toThrow(/E_DECODE: .*gzip/);
  });

  it('are what we would have written: Java’s bytes from the same records', () => {
    const bytes = file('plain.bin');
    for (const [i, start] of starts(bytes).entries()) {
      const { byteCount, partitionLeaderEpoch, producerId, producerEpoch, baseSequence } = readBatchHeader(bytes, start);
      const batch = decodeRecordBatch(bytes, { start, appendTimeMs: 0 });
      // A header of null value or of a repeated name has no counterpart of ours: the first batch has them.
      if (i === 0) continue;
      const encoder = new RecordBatchEncoder();
      for (let r = 0; r < batch.count; r++) {
        const key = (batch.keyStart[r] as number) < 0 ? null : batch.bytes.subarray(batch.keyStart[r], batch.keyEnd[r]);
        encoder.add(key, batch.bytes.subarray(batch.valueStart[r], batch.valueEnd[r]), batch.timeMs[r] as number, batch.headers(r));
      }
      const ours = Buffer.from(encoder.seal({ baseOffset: batch.baseOffset, producerId, producerEpoch, baseSequence }));
      ours.writeInt32BE(partitionLeaderEpoch, 12);
      expect(ours.equals(bytes.subarray(start, start + byteCount))).toBe(true);
    }
  });
});
