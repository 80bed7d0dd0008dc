// From a publish to what is appended: the topic's record, or a dead letter that says why not.
import { DEAD_LETTER_TOPIC, deadLetterHeaders } from '../engine/deadLetter.ts';
import { type ErrorCode, MillraceError, messageOf } from '../engine/errors.ts';
import type { OutputBuffer } from '../engine/ports.ts';
import type { Headers } from '../engine/record.ts';
import { eventTimeMs } from './eventTime.ts';
import type { Match, RoutedPublish } from './routes.ts';

/** Largest record the log takes: key, value and headers together. Unit: bytes. */
export const RECORD_BYTES_MAX = 900_000;

/** Room that a dead letter's own headers may need. Unit: bytes. */
const LETTER_BYTES = 8_192;

/** A publish as the listener received it; `bytes[start, end)` is its payload and is read at once. */
export interface Publish {
  readonly to: RoutedPublish;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly qos: number;
  readonly isRetained: boolean;
  /** Unit: epoch ms. */
  readonly arrivedMs: number;
}

const QOS = [Buffer.from('0'), Buffer.from('1'), Buffer.from('2')] as const;
const NO = Buffer.from('false');
const YES = Buffer.from('true');

let lastMs = Number.NaN;
let lastMsText: Buffer = Buffer.alloc(0);

function msText(ms: number): Buffer {
  if (ms !== lastMs) {
    lastMs = ms;
    lastMsText = Buffer.from(String(ms));
  }
  return lastMsText;
}

/** The headers every record of ingest carries, as UTF-8 text. */
export function ingestHeaders({ to, qos, isRetained, arrivedMs }: Publish): Headers {
  const headers: Record<string, Uint8Array> = Object.create(null);
  headers['mqtt.topic'] = to.mqttTopicBytes;
  headers['mqtt.qos'] = QOS[qos] as Buffer;
  headers['mqtt.retain'] = isRetained ? YES : NO;
  headers['ingestTimeMs'] = msText(arrivedMs);
  return headers;
}

/**
 * Puts one publish into one of the topics it matches: checked with the topic's codec, stored as the device sent it.
 * Returns undefined, or the code under which it went to the dead letters instead.
 *
 * Errors  none: E_DECODE, E_SCHEMA, E_CALLBACK, E_EVENT_TIME, E_CLOCK_SKEW, E_TOO_LARGE, E_ROUTE → dead letter
 */
export function accept(publish: Publish, match: Match, skewMs: number, into: OutputBuffer): ErrorCode | undefined {
  const headers = ingestHeaders(publish);
  let timeMs: number | undefined;
  try {
    if (match.key === null) throw new MillraceError('E_ROUTE', match.problem ?? 'no key');
    const isDeletion = publish.start === publish.end && match.routed.topic.compact;
    timeMs = isDeletion ? publish.arrivedMs : timeOf(publish, match);
    const aheadMs = timeMs - publish.arrivedMs;
    if (aheadMs > skewMs)
      throw new MillraceError('E_CLOCK_SKEW', `event time ${timeMs} is ${aheadMs} ms ahead of its arrival; skewMs allows ${skewMs}`);
    const value = isDeletion ? null : publish.bytes.subarray(publish.start, publish.end);
    checkSize(publish, match.key, headers);
    into.add(match.routed.topic.name, match.partition, match.key, value, timeMs, headers);
    return undefined;
  } catch (error) {
    const code = error instanceof MillraceError ? error.code : 'E_ASSERT';
    addDeadLetter(publish, match, code, messageOf(error), timeMs, headers, into);
    return code;
  }
}

/** Decodes the payload, which checks it, and asks the route when it happened. */
function timeOf({ bytes, start, end, arrivedMs }: Publish, { codec, route }: Match): number {
  let value: unknown;
  try {
    value = codec.decode(bytes, start, end);
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    throw new MillraceError('E_DECODE', messageOf(error), { cause: error });
  }
  if (route.eventTime === undefined) return arrivedMs;
  let said: unknown;
  try {
    said = route.eventTime(value);
  } catch (error) {
    throw new MillraceError('E_CALLBACK', `eventTime of the route '${route.filter}' threw: ${messageOf(error)}`, { cause: error });
  }
  return eventTimeMs(said);
}

function checkSize({ start, end, to }: Publish, key: Buffer, headers: Headers): void {
  if (end - start + to.mqttTopicBytes.length + key.length < RECORD_BYTES_MAX - LETTER_BYTES) return;
  let bytes = end - start + key.length;
  for (const name in headers) bytes += name.length + (headers[name] as Uint8Array).length;
  if (bytes > RECORD_BYTES_MAX)
    throw new MillraceError('E_TOO_LARGE', `${bytes} bytes of key, value and headers; a record may have ${RECORD_BYTES_MAX}`);
}

/** A dead letter holds the device's own bytes; one that would itself be too large holds their beginning and says how many there were. */
function addDeadLetter(
  publish: Publish,
  { key, routed }: Match,
  code: ErrorCode,
  reason: string,
  eventTimeMs: number | undefined,
  origin: Headers,
  into: OutputBuffer,
): void {
  const { start, end, to } = publish;
  const letter = { code, reason: `topic '${routed.topic.name}': ${reason}`, pipeline: 'ingest', topic: to.mqttTopic, eventTimeMs };
  const headers: Record<string, Uint8Array> = Object.assign(Object.create(null), deadLetterHeaders(letter, origin));
  const room = RECORD_BYTES_MAX - LETTER_BYTES - 2 * to.mqttTopicBytes.length - (key?.length ?? 0);
  if (end - start > room) headers['dlq.bytes'] = Buffer.from(String(end - start));
  const value = publish.bytes.subarray(start, Math.min(end, start + room));
  into.add(DEAD_LETTER_TOPIC, 0, key, value, publish.arrivedMs, headers);
}
