// A load of QoS 1 publishes over raw sockets, in a process and on a core of its own: packets are made once, PUBACKs are counted.
// Runs as a child: takes MqttLoad as JSON in argv[2], prints a JSON line with the acknowledged messages per second of each run.
import { connect, type Socket } from 'node:net';

export interface MqttLoad {
  readonly port: number;
  readonly clients: number;
  /** Publishes a client sends at once; it sends the next ones when all of them are acknowledged. */
  readonly burst: number;
  readonly warmUpMs: number;
  readonly runMs: number;
  readonly runs: number;
}

const u16 = (n: number): Buffer => Buffer.from([n >> 8, n & 0xff]);

function packet(first: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

function publishOf(client: number, id: number): Buffer {
  const topic = Buffer.from(`city/zone${client % 50}/air/device${client}`);
  const payload = Buffer.from(
    `{"at":${1_700_000_000_000 + id},"pm25":${(10 + (id % 90)).toFixed(1)},"pm10":${20 + (id % 90)},"co":0.7,"temp":21.5,"station":"device${client}"}`,
  );
  return packet(0x32, u16(topic.length), topic, u16(id), payload);
}

/** One client: connects, then keeps one burst under way for ever. Calls `acked` with what PUBACKs say. */
function startClient(client: number, { port, burst }: MqttLoad, acked: (count: number) => void): Promise<void> {
  const id = Buffer.from(`load${client}`);
  const hello = packet(0x10, u16(4), Buffer.from('MQTT'), Buffer.from([4, 2]), u16(0), u16(id.length), id);
  const bytes = Buffer.concat(Array.from({ length: burst }, (_, i) => publishOf(client, i + 1)));
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let connack = 4;
    let waiting = 0;
    let odd = 0;
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`client ${client} was closed`)));
    socket.on('connect', () => socket.write(hello));
    socket.on('data', (chunk: Buffer) => {
      if (connack > 0) {
        connack -= chunk.length;
        if (connack === 0) {
          resolve();
          waiting = burst;
          socket.write(bytes);
        }
        return;
      }
      const total = odd + chunk.length;
      const acks = total >> 2;
      odd = total & 3;
      acked(acks);
      waiting -= acks;
      if (waiting > 0) return;
      waiting = burst;
      socket.write(bytes);
    });
  });
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function load(options: MqttLoad): Promise<number[]> {
  let count = 0;
  const acked = (n: number) => {
    count += n;
  };
  // All connect at once, but not so many in one go that the accept queue overflows.
  for (let client = 0; client < options.clients; client += 100)
    await Promise.all(Array.from({ length: Math.min(100, options.clients - client) }, (_, i) => startClient(client + i, options, acked)));
  await sleep(options.warmUpMs);
  const rates: number[] = [];
  for (let run = 0; run < options.runs; run++) {
    const [before, startMs] = [count, performance.now()];
    await sleep(options.runMs);
    rates.push(Math.round(((count - before) / (performance.now() - startMs)) * 1_000));
  }
  return rates;
}

const [, script, asked] = process.argv;
if (asked !== undefined && script?.endsWith('mqttLoad.js')) {
  console.log(JSON.stringify(await load(JSON.parse(asked) as MqttLoad)));
  process.exit(0);
}
