// From a publish to a record or a dead letter: every reason, byte for byte.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MillraceError } from '../../engine/errors.ts';
import { type Codec, topic, topicBy } from '../../engine/topic.ts';
import { stringKey } from '../../engine/stringKey.ts';
import { accept, RECORD_BYTES_MAX } from '../../ingest/accept.ts';
import { mqtt } from '../../ingest/mqtt.ts';
import { type RoutedPublish, type RoutedTopic, router } from '../../ingest/routes.ts';
import { gatedLog, readAll } from './logs.ts';

const NOW = 1_700_000_000_000;
const SKEW = 60_000;

interface Reading {
  at?: unknown;
}
/** JSON with one rule, as codecs/json with a schema would do it. */
const reading: Codec<Reading> = {
  contentType: 'application/json',
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode(bytes, start, end) {
    const value = JSON.parse(bytes.toString('utf8', start, end)) as Reading;
    if (typeof value !== 'object' || value === null) throw new MillraceError('E_SCHEMA', 'expected an object');
    return value;
  },
};
const raw: Codec<Buffer> = {
  contentType: 'application/octet-stream',
  encode: (b) => b,
  decode: (b, s, e) => Buffer.from(b.subarray(s, e)),
};

const air = topic('air', reading, { from: mqtt('air/+d', { key: '{d}', eventTime: (r) => r.at as number }) });
const throws = topic('throws', reading, {
  from: mqtt('throws/+d', {
    key: '{d}',
    eventTime: () => {
      throw new TypeError('r.at is undefined');
    },
  }),
});
const bytes = topic('bytes', raw, { from: mqtt('bytes/+d', { key: '{d}' }) });
const table = topic('table', reading, { from: mqtt('table/+d', { key: '{d}', eventTime: (r) => r.at as number }), keep: 'compact' });
const unfit: Codec<string> = {
  ...stringKey,
  encode: () => {
    throw new Error('no');
  },
};
const keyless = topicBy(unfit, 'keyless', raw, { from: mqtt('keyless/+d', { key: '{d}' }) });
const topics: RoutedTopic[] = [air, throws, bytes, table, keyless].map((t) => ({ topic: t, partitions: 1 }));
const routes = router(topics);

async function publish(mqttTopic: string, payload: Uint8Array, { qos = 1, isRetained = false } = {}) {
  const log = await gatedLog(topics);
  const topicBytes = Buffer.from(mqttTopic);
  const to = routes.route(topicBytes, 0, topicBytes.length) as RoutedPublish;
  const [match] = to.matches;
  if (match === undefined) throw new Error('not routed');
  const buffer = log.newBuffer();
  const around = Buffer.concat([Buffer.from('{"x'), payload, Buffer.from('"}')]);
  const code = accept({ to, bytes: around, start: 3, end: 3 + payload.length, qos, isRetained, arrivedMs: NOW }, match, SKEW, buffer);
  await log.append(buffer);
  return { code, records: await readAll(log, match.routed.topic.name), letters: await readAll(log, 'millrace.dlq') };
}

describe('accept', () => {
  it('stores the device’s own bytes under key, event time and headers', async () => {
    const payload = Buffer.from('{ "at" : 1699999999999,"x":1.50 }');
    const { code, records, letters } = await publish('air/d1', payload, { qos: 2, isRetained: true });
    expect(code).toBeUndefined();
    expect(letters).toEqual([]);
    expect(records).toEqual([
      {
        key: Buffer.from('d1'),
        value: payload,
        timeMs: 1_699_999_999_999,
        headers: { 'mqtt.topic': 'air/d1', 'mqtt.qos': '2', 'mqtt.retain': 'true', ingestTimeMs: String(NOW) },
      },
    ]);
  });

  it('takes the arrival for the event time when the route does not say', async () => {
    const { records } = await publish('bytes/d1', Buffer.alloc(0), { qos: 0 });
    expect(records).toMatchObject([{ timeMs: NOW, value: Buffer.alloc(0), headers: { 'mqtt.qos': '0', 'mqtt.retain': 'false' } }]);
  });

  it('an empty payload deletes the key of a table, at its arrival', async () => {
    const { code, records } = await publish('table/d1', Buffer.alloc(0));
    expect(code).toBeUndefined();
    expect(records).toMatchObject([{ key: Buffer.from('d1'), value: null, timeMs: NOW }]);
  });

  it('takes a clock that is ahead by skewMs, and none that is further', async () => {
    expect((await publish('air/d', Buffer.from(JSON.stringify({ at: NOW + SKEW })))).code).toBeUndefined();
    expect((await publish('air/d', Buffer.from(JSON.stringify({ at: NOW + SKEW + 1 })))).code).toBe('E_CLOCK_SKEW');
  });

  it('takes a reading from 1970: it is late, not wrong', async () => {
    expect((await publish('air/d', Buffer.from('{"at":0}'))).records).toMatchObject([{ timeMs: 0 }]);
  });

  const deep = Buffer.from('['.repeat(100_000));
  it.each<[string, string, Uint8Array, string, string]>([
    ['nothing', 'air/d', Buffer.alloc(0), 'E_DECODE', 'JSON'],
    ['not JSON', 'air/d', Buffer.from('on'), 'E_DECODE', 'JSON'],
    ['invalid UTF-8', 'air/d', Buffer.from([0xff, 0xfe]), 'E_DECODE', ''],
    ['deep nesting', 'air/d', deep, 'E_DECODE', ''],
    ['another shape', 'air/d', Buffer.from('7'), 'E_SCHEMA', 'expected an object'],
    ['no time', 'air/d', Buffer.from('{}'), 'E_EVENT_TIME', 'undefined is no time'],
    ['a time before 1970', 'air/d', Buffer.from('{"at":-5}'), 'E_EVENT_TIME', 'before 1970'],
    ['a time that is none', 'air/d', Buffer.from('{"at":"noon"}'), 'E_EVENT_TIME', 'ISO 8601'],
    ['a clock in 2099', 'air/d', Buffer.from('{"at":"2099-01-01T00:00:00Z"}'), 'E_CLOCK_SKEW', 'ahead of its arrival; skewMs allows 60000'],
    ['a callback that throws', 'throws/d', Buffer.from('{}'), 'E_CALLBACK', 'r.at is undefined'],
    ['a key that cannot be', 'keyless/d', Buffer.from('{}'), 'E_ROUTE', "does not fit the topic's key codec"],
  ])('%s becomes a dead letter with the raw bytes', async (_, mqttTopic, payload, expected, says) => {
    const { code, records, letters } = await publish(mqttTopic, payload);
    expect(code).toBe(expected);
    expect(records).toEqual([]);
    expect(letters).toHaveLength(1);
    const [{ value, timeMs, headers }] = letters as [Awaited<typeof letters>[0]];
    expect(value?.equals(payload)).toBe(true);
    expect(timeMs).toBe(NOW);
    expect(headers).toMatchObject({
      'dlq.code': expected,
      'dlq.pipeline': 'ingest',
      'dlq.topic': mqttTopic,
      'mqtt.topic': mqttTopic,
      'mqtt.qos': '1',
      'mqtt.retain': 'false',
      ingestTimeMs: String(NOW),
    });
    expect(headers['dlq.reason']).toContain(`topic '${mqttTopic.split('/')[0]}': ${expected}: `);
    expect(headers['dlq.reason']).toContain(says);
    expect(headers['dlq.eventTimeMs']).toBe(expected === 'E_CLOCK_SKEW' ? String(Date.UTC(2099, 0, 1)) : undefined);
  });

  it('keeps the beginning of what the log does not take, and says how much there was', async () => {
    const room = RECORD_BYTES_MAX - 'd'.length - 'mqtt.topicmqtt.qosmqtt.retainingestTimeMsbytes/d1false'.length - String(NOW).length;
    const fits = Buffer.alloc(room, 1);
    expect((await publish('bytes/d', fits)).records[0]?.value?.equals(fits)).toBe(true);
    const { code, records, letters } = await publish('bytes/d', Buffer.alloc(room + 1, 1));
    expect([code, records]).toEqual(['E_TOO_LARGE', []]);
    expect(letters[0]?.headers['dlq.bytes']).toBe(String(room + 1));
    expect(letters[0]?.value?.length).toBeGreaterThan(RECORD_BYTES_MAX - 10_000);
    expect(letters[0]?.headers['dlq.reason']).toContain('bytes of key, value and headers; a record may have 900000');
  });

  it('the longest topic still leaves a dead letter', async () => {
    const { code, letters } = await publish(`air/${'d'.repeat(65_000)}`, Buffer.alloc(700_000, 0x20));
    expect(code).toBe('E_ROUTE');
    expect(letters[0]?.value?.length).toBe(700_000);
  });

  it('whatever a payload holds, it becomes one record or one dead letter, byte for byte', async () => {
    const corpus = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((text) => Buffer.from(text)),
      fc.anything().map((at) => Buffer.from(JSON.stringify({ at }, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v)) ?? '')),
      fc
        .constantFrom('NaN', '{"at":NaN}', '{"at":1e999}', '{"at":1,"at":2}', '{"__proto__":{"at":1}}', '{"constructor":1}', '\ufeff{}')
        .map((t) => Buffer.from(t)),
    );
    await fc.assert(
      fc.asyncProperty(corpus, async (payload) => {
        const { code, records, letters } = await publish('air/d', payload);
        expect(records.length + letters.length).toBe(1);
        expect(letters.length).toBe(code === undefined ? 0 : 1);
        expect((records[0] ?? letters[0])?.value?.equals(payload)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
