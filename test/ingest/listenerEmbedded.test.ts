// The listener on the log it runs on: what was acknowledged is there after a restart, and a full log holds devices, not data.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DEAD_LETTER_TOPIC } from '../../engine/deadLetter.ts';
import { type EmbeddedLog, openEmbeddedLog } from '../../log/embedded/embeddedLog.ts';
import { readAll } from './logs.ts';
import { eventually, openListener, routedTopics } from './openListener.ts';
import { PUBACK, publishPacket } from './rawClient.ts';

async function openLog(dir: string, maxSizeBytes?: number): Promise<EmbeddedLog> {
  const log = await openEmbeddedLog({ dir, ...(maxSizeBytes === undefined ? {} : { maxSizeBytes, cleanEveryMs: Infinity }) });
  onTestFinished(() => log.close());
  await log.ensureTopics(
    [...routedTopics.map(({ topic }) => topic.name), DEAD_LETTER_TOPIC].map((name) => ({
      name,
      partitions: 1,
      cleanup: 'delete',
      keepMs: Infinity,
    })),
  );
  return log;
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-ingest-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

describe('on the embedded log', () => {
  it('every acknowledged publish is in the log that is opened next, once and in order', async () => {
    const dir = folder();
    const log = await openLog(dir);
    const { raw, listener } = await openListener({ log });
    const clients = await Promise.all(Array.from({ length: 10 }, (_, c) => raw().connect(`c${c}`)));
    const ids = Array.from({ length: 300 }, (_, i) => i + 1);
    for (const [c, client] of clients.entries())
      client.send(...ids.map((id) => publishPacket(`t/c${c}`, String(id), 1, id)), publishPacket('j/x', 'no', 1, 301));
    for (const client of clients) await client.until([...ids, 301].map(PUBACK).join(''));
    await listener.close();
    await log.close();
    const again = await openLog(dir);
    const records = await readAll(again, 'raw');
    for (const c of clients.keys()) expect(records.filter((r) => String(r.key) === `c${c}`).map((r) => Number(r.value))).toEqual(ids);
    expect(await readAll(again, DEAD_LETTER_TOPIC)).toHaveLength(10);
  });

  it('a full log holds the publish; when the log is trimmed it is stored and acknowledged', async () => {
    const log = await openLog(folder(), 2 ** 20);
    const { raw, listener, warnings } = await openListener({ log });
    const client = await raw().connect();
    const payload = Buffer.alloc(20_000, 0x61);
    let sent = 0;
    while (listener.state === 'open' && sent < 200) {
      client.send(publishPacket('t/d', payload, 1, ++sent));
      await eventually(() => listener.state === 'full' || client.received.endsWith(PUBACK(sent))).toBe(true);
    }
    expect(listener.state).toBe('full');
    const { endOffset } = await log.bounds('raw', 0);
    expect(endOffset).toBe(sent - 1);
    await log.trim('raw', 0, endOffset);
    await eventually(() => client.received.endsWith(PUBACK(sent))).toBe(true);
    expect(await log.bounds('raw', 0)).toMatchObject({ endOffset: sent });
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/^E_LOG_FULL: /);
  });
});
