// The way back, for real: batches of ours are taken by Apache Kafka and read by its Java consumer and by kafkajs.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Headers, noHeaders } from '../../engine/record.ts';
import { RecordBatchEncoder } from '../../log/recordBatchEncoder.ts';
import { hasProgram, requireOrSkip } from '../real.ts';

const scripts = fileURLToPath(new URL('../../scripts/kafka/', import.meta.url));
const libs = process.env.KAFKA_LIBS ?? fileURLToPath(new URL('../../.kafka/libs', import.meta.url));
const haveJars = existsSync(libs) && readdirSync(libs).some((name) => name.startsWith('kafka_'));
const broker = requireOrSkip(
  'Apache Kafka',
  haveJars && hasProgram('java', ['-version']),
  'run scripts/kafka/up.sh once, it fetches the jars, or set KAFKA_LIBS',
);

interface Sent {
  key: string | null;
  value: string | null;
  timeMs: number;
  headers: Headers;
}

/** Sends one request (header version 1) and gives the body of its answer. */
function request(port: number, apiKey: number, version: number, body: Buffer): Promise<Buffer> {
  const header = Buffer.alloc(10);
  header.writeInt16BE(apiKey, 0);
  header.writeInt16BE(version, 2);
  header.writeInt32BE(1, 4);
  header.writeInt16BE(-1, 8);
  const size = Buffer.alloc(4);
  size.writeInt32BE(header.length + body.length);
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.concat([size, header, body])));
    let got = Buffer.alloc(0);
    socket.on('error', reject);
    socket.on('data', (data) => {
      got = Buffer.concat([got, data]);
      if (got.length < 4 || got.length < 4 + got.readInt32BE(0)) return;
      socket.destroy();
      resolve(got.subarray(8));
    });
  });
}

/** Produce, version 7, of one batch to partition 0. Returns the broker's error code and the offset it gave. */
async function produce(port: number, topic: string, batch: Buffer): Promise<{ error: number; baseOffset: number }> {
  const name = Buffer.from(topic);
  const body = Buffer.alloc(2 + 2 + 4 + 4 + 2 + name.length + 4 + 4 + 4);
  let at = body.writeInt16BE(-1, 0);
  at = body.writeInt16BE(-1, at);
  at = body.writeInt32BE(30_000, at);
  at = body.writeInt32BE(1, at);
  at = body.writeInt16BE(name.length, at);
  at += name.copy(body, at);
  at = body.writeInt32BE(1, at);
  at = body.writeInt32BE(0, at);
  body.writeInt32BE(batch.length, at);
  const answer = await request(port, 0, 7, Buffer.concat([body, batch]));
  const partition = 4 + 2 + name.length + 4 + 4;
  return { error: answer.readInt16BE(partition), baseOffset: Number(answer.readBigInt64BE(partition + 2)) };
}

describe.skipIf(broker.skip)('our batches in Apache Kafka', () => {
  const T = 1_700_000_000_000;
  let dir: string;
  let port: number;
  let kafka: Kafka;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'millrace-kafka-'));
    const address = execFileSync(join(scripts, 'up.sh'), [dir], { env: { ...process.env, KAFKA_LIBS: libs }, encoding: 'utf8' }).trim();
    port = Number(address.split(':')[1]);
    kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({
      waitForLeaders: true,
      topics: [
        {
          topic: 'ours',
          numPartitions: 1,
          configEntries: [
            { name: 'retention.ms', value: '-1' },
            { name: 'segment.ms', value: '9223372036854775807' },
          ],
        },
      ],
    });
    // A broker that has just started answers that its groups are still loading.
    for (;;) {
      const error = await admin.fetchOffsets({ groupId: 'reads-ours' }).then(
        () => undefined,
        (failure: unknown) => failure,
      );
      if (error === undefined) break;
      if (!/loading|coordinator/i.test(String(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await admin.disconnect();
  }, 120_000);
  afterAll(() => {
    if (dir === undefined) return;
    spawnSync(join(scripts, 'down.sh'), [dir]);
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  const sent: Sent[] = [
    { key: 'dev-1', value: 'plain', timeMs: T, headers: noHeaders },
    {
      key: null,
      value: 'no key',
      timeMs: T - 400 * 86_400_000,
      headers: { 'mqtt.topic': Buffer.from('a/b'), empty: Buffer.alloc(0), üñí: Buffer.from('ß') },
    },
    { key: 'gone', value: null, timeMs: T + 1, headers: noHeaders },
    { key: '', value: '', timeMs: 0, headers: noHeaders },
    { key: 'üñí-温度', value: 'x'.repeat(50_000), timeMs: T + 2, headers: { long: Buffer.alloc(300, 'h') } },
    ...Array.from({ length: 500 }, (_, i) => ({
      key: `dev-${i % 7}`,
      value: `reading ${i}`,
      timeMs: T + i * 3_600_000,
      headers: noHeaders,
    })),
  ];

  function encode(records: Sent[]): Buffer {
    const encoder = new RecordBatchEncoder();
    for (const { key, value, timeMs, headers } of records)
      encoder.add(key === null ? null : Buffer.from(key), value === null ? null : Buffer.from(value), timeMs, headers);
    return Buffer.from(encoder.seal());
  }

  it('are accepted, and refused when a byte is wrong', async () => {
    expect(await produce(port, 'ours', encode(sent.slice(0, 5)))).toEqual({ error: 0, baseOffset: 0 });
    expect(await produce(port, 'ours', encode(sent.slice(5)))).toEqual({ error: 0, baseOffset: 5 });
    const wrong = encode(sent.slice(0, 3));
    wrong[wrong.length - 1] = (wrong[wrong.length - 1] as number) ^ 1;
    const CORRUPT_MESSAGE = 2;
    expect((await produce(port, 'ours', wrong)).error).toBe(CORRUPT_MESSAGE);
  });

  it('are read by kafkajs as they were written', { timeout: 60_000 }, async () => {
    const consumer = kafka.consumer({ groupId: 'reads-ours' });
    await consumer.connect();
    await consumer.subscribe({ topic: 'ours', fromBeginning: true });
    const got: Sent[] = [];
    await new Promise<void>((resolve, reject) => {
      consumer.on('consumer.crash', ({ payload }) => reject(payload.error));
      consumer
        .run({
          eachMessage: async ({ message: { key, value, timestamp, headers } }) => {
            got.push({
              key: key?.toString() ?? null,
              value: value?.toString() ?? null,
              timeMs: Number(timestamp),
              headers: { ...headers } as Record<string, Buffer>,
            });
            if (got.length === sent.length) resolve();
          },
        })
        .catch(reject);
    });
    await consumer.disconnect();
    expect(got).toEqual(sent.map((record) => ({ ...record, headers: { ...record.headers } })));
  });

  it('are read by Java’s consumer as they were written', { timeout: 60_000 }, () => {
    const { stdout, stderr } = spawnSync(
      'java',
      ['-cp', join(libs, '*'), join(scripts, 'Read.java'), `127.0.0.1:${port}`, 'ours', '0', String(sent.length)],
      {
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      },
    );
    const hex = (text: string | null) => (text === null ? null : Buffer.from(text).toString('hex'));
    const got = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown);
    expect(got.length, stderr).toBe(sent.length);
    expect(got).toEqual(
      sent.map(({ key, value, timeMs, headers }, offset) => ({
        offset,
        timeMs,
        key: hex(key),
        value: hex(value),
        headers: Object.entries(headers).map(([name, bytes]) => [hex(name), Buffer.from(bytes).toString('hex')]),
      })),
    );
  });
});
