// An open load of QoS 1 publishes, and the clock on every alarm: from the time a publish was due to its alert in the log's
// flushed part. Runs as a child: takes AlertLoad as JSON in argv[2], prints each run's latencies in ms as JSON.
import { connect, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { resultCodec } from '../../engine/resultCodec.ts';
import { type EmbeddedReader, openEmbeddedReader } from '../../log/embedded/embeddedReader.ts';

export interface AlertLoad {
  readonly port: number;
  /** The data folder. */
  readonly dir: string;
  readonly clients: number;
  readonly devices: number;
  readonly perSecond: number;
  /** One publish in so many fires an alarm; the device's next one clears it. */
  readonly alarmEvery: number;
  readonly warmUpMs: number;
  readonly runMs: number;
  readonly runs: number;
}

const TOPIC = 'latency.alerts';
const u16 = (n: number): Buffer => Buffer.from([n >> 8, n & 0xff]);

function packet(first: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/** Connects one client; PUBACKs are read and thrown away. */
function startClient(client: number, port: number): Promise<Socket> {
  const id = Buffer.from(`alarm${client}`);
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('connect', () => socket.write(packet(0x10, u16(4), Buffer.from('MQTT'), Buffer.from([4, 2]), u16(0), u16(id.length), id)));
    socket.once('data', () => resolve(socket));
    socket.on('close', () => reject(new Error(`client ${client} was closed`)));
    socket.on('data', () => {});
  });
}

/** Reads new alerts and says how long ago the publish behind each firing one was due. */
async function observe(
  reader: EmbeddedReader,
  offset: number,
  dueMs: ReadonlyMap<number, number>,
  seen: (latencyMs: number) => void,
): Promise<number> {
  const [fetched] = await reader.fetch([{ topic: TOPIC, partition: 0, offset }], { waitMs: 0 });
  const nowMs = performance.now();
  for (const { baseOffset, offsetDelta, bytes, count, valueStart, valueEnd } of fetched?.batches ?? [])
    for (let i = 0; i < count; i++) {
      if (baseOffset + (offsetDelta[i] as number) < offset) continue;
      const { state, value } = resultCodec.decode(bytes, valueStart[i] as number, valueEnd[i] as number) as {
        state: string;
        value: number;
      };
      if (state !== 'firing') continue;
      const due = dueMs.get(value);
      if (due === undefined) throw new Error(`an alarm with the value ${value}, which nobody sent`);
      seen(nowMs - due);
    }
  return fetched?.nextOffset ?? offset;
}

async function load({ port, dir, clients, devices, perSecond, alarmEvery, warmUpMs, runMs, runs }: AlertLoad): Promise<number[][]> {
  const sockets: Socket[] = [];
  for (let client = 0; client < clients; client++) sockets.push(await startClient(client, port));
  const reader = await openEmbeddedReader({ dir });
  const dueMs = new Map<number, number>();
  const latencies: number[][] = Array.from({ length: runs }, () => []);
  const startMs = performance.now();
  const endMs = startMs + warmUpMs + runs * runMs;
  let offset = 0;
  let sent = 0;
  /** Alarms still on their way; the bench waits for the last one. */
  let open = 0;
  while (performance.now() < endMs || open > 0) {
    const nowMs = performance.now();
    if (nowMs > endMs + 10_000) throw new Error(`${open} alarms did not come within 10 s`);
    // An open load: what is due is sent, however late we or the listener are, and the clock runs from when it was due.
    const target = Math.floor(((Math.min(nowMs, endMs) - startMs) / 1_000) * perSecond);
    for (; sent < target; sent++) {
      const device = sent % devices;
      const round = Math.floor(sent / devices);
      const fires = (round + device) % alarmEvery === 0;
      if (fires) {
        dueMs.set(1_000 + sent, startMs + (sent / perSecond) * 1_000);
        open++;
      }
      const topic = Buffer.from(`latency/device${device}`);
      const payload = Buffer.from(`{"value":${fires ? 1_000 + sent : 0}}`);
      (sockets[device % clients] as Socket).write(packet(0x32, u16(topic.length), topic, u16((sent % 65_535) + 1), payload));
    }
    const at = Math.floor((nowMs - startMs - warmUpMs) / runMs);
    offset = await observe(reader, offset, dueMs, (latencyMs) => {
      open--;
      latencies[at]?.push(latencyMs);
    });
    await nextTurn();
  }
  await reader.close();
  return latencies;
}

const [, script, asked] = process.argv;
if (asked !== undefined && script?.endsWith('alertLoad.js')) {
  console.log(JSON.stringify(await load(JSON.parse(asked) as AlertLoad)));
  process.exit(0);
}
