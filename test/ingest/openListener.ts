// A listener on a free port over a memory log, closed when the test ends.
import { expect, onTestFinished } from 'vitest';
import type { MillraceError } from '../../engine/errors.ts';
import type { LogPort } from '../../engine/ports.ts';
import { type Codec, topic } from '../../engine/topic.ts';
import { type Listener, type ListenerOptions, startListener } from '../../ingest/listener.ts';
import { mqtt } from '../../ingest/mqtt.ts';
import type { RoutedTopic } from '../../ingest/routes.ts';
import { type Gate, gatedLog, readAll, type Stored } from './logs.ts';
import { RawClient } from './rawClient.ts';

export const bytesCodec: Codec<Buffer> = {
  contentType: 'application/octet-stream',
  encode: (bytes) => bytes,
  decode: (bytes, start, end) => Buffer.from(bytes.subarray(start, end)),
};
export const jsonCodec: Codec<{ at?: number }> = {
  contentType: 'application/json',
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes, start, end) => JSON.parse(bytes.toString('utf8', start, end)) as { at?: number },
};

/** `t/+device` as it comes, `j/+device` as JSON with an event time in `at`, `o/+device` for status in a second topic. */
export const routedTopics: readonly RoutedTopic[] = [
  { topic: topic('raw', bytesCodec, { from: mqtt('t/+device/#', { key: '{device}' }) }), partitions: 1 },
  { topic: topic('json', jsonCodec, { from: mqtt('j/+device', { key: '{device}', eventTime: (r) => r.at as number }) }), partitions: 1 },
  { topic: topic('other', bytesCodec, { from: mqtt('o/+device', { key: '{device}' }) }), partitions: 1 },
];

export interface Opened {
  readonly listener: Listener;
  readonly log: LogPort;
  readonly warnings: string[];
  readonly fatal: MillraceError[];
  raw(): RawClient;
  stored(topic?: string): Promise<readonly Stored[]>;
}

export async function openListener(options: Partial<ListenerOptions> & { gate?: Gate } = {}): Promise<Opened> {
  const log = options.log ?? (await gatedLog(routedTopics, options.gate));
  const warnings: string[] = [];
  const fatal: MillraceError[] = [];
  const clients: RawClient[] = [];
  const listener = await startListener({
    routes: routedTopics,
    port: 0,
    wrongPasswordMs: 20,
    logFullRetryMs: 5,
    onWarning: (message) => warnings.push(message),
    onFatal: (error) => fatal.push(error),
    ...options,
    log,
  });
  onTestFinished(async () => {
    for (const client of clients) client.close();
    await listener.close();
  });
  return {
    listener,
    log,
    warnings,
    fatal,
    raw() {
      const client = new RawClient(listener.port);
      clients.push(client);
      return client;
    },
    stored: (name = 'raw') => readAll(log, name),
  };
}

/** A gate that holds appends until it is opened. */
export function heldGate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  let reached = () => {};
  const waiting = new Promise<void>((resolve) => {
    reached = resolve;
  });
  const gate: Gate = async (append) => {
    reached();
    await opened;
    await append();
  };
  return { gate, open, waiting };
}

/** Expects it soon; a busy machine may take its time. */
export const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 20_000, interval: 5 });
