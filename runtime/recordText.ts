// A record as one line of JSON, as `millrace read` prints it.
import type { RecordBatch } from '../engine/ports.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Record i of a batch as NDJSON: topic, partition, offset, key, value, eventTimeMs, headers. */
export function recordLine(topic: string, partition: number, batch: RecordBatch, i: number): string {
  const head = { topic, partition, offset: batch.baseOffset + (batch.offsetDelta[i] as number) };
  const key = textOf(bytesOf(batch, batch.keyStart[i] as number, batch.keyEnd[i] as number));
  const value = valueText(bytesOf(batch, batch.valueStart[i] as number, batch.valueEnd[i] as number));
  const headers = JSON.stringify(Object.fromEntries(Object.entries(batch.headers(i)).map(([name, bytes]) => [name, textOf(bytes)])));
  return `${JSON.stringify(head).slice(0, -1)},"key":${JSON.stringify(key)},"value":${value},"eventTimeMs":${batch.timeMs[i]},"headers":${headers}}\n`;
}

function bytesOf({ bytes }: RecordBatch, start: number, end: number): Uint8Array | null {
  return start < 0 ? null : bytes.subarray(start, end);
}

/** Text when it is UTF-8, else the bytes in base64. */
function textOf(bytes: Uint8Array | null): string | null | { $base64: string } {
  if (bytes === null) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    return { $base64: Buffer.from(bytes).toString('base64') };
  }
}

/** JSON stays as it was written, digit by digit; other text becomes a JSON string, other bytes base64. */
function valueText(bytes: Uint8Array | null): string {
  const text = textOf(bytes);
  if (typeof text !== 'string') return JSON.stringify(text);
  try {
    const parsed = JSON.parse(text) as unknown;
    return /[\r\n]/.test(text) ? JSON.stringify(parsed) : text.trim();
  } catch {
    return JSON.stringify(text);
  }
}
