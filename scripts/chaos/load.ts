// The devices of the kill harness: numbered QoS 1 messages from many clients. A message is never sent twice, so that one
// counted twice is nobody's fault but ours: what was not acknowledged when the connection broke stays in doubt for ever.
import { appendFileSync } from 'node:fs';
import { connect, type MqttClient } from 'mqtt';

interface Order {
  readonly port: number;
  readonly clients: number;
  readonly perSecond: number;
  readonly acknowledgedFile: string;
  readonly doubtFile: string;
}

const IN_FLIGHT_MAX = 20;
const TURN_MS = 20;

let stopping = false;
let acknowledged = 0;
let inDoubt = 0;

process.on('message', (message: Order | 'stop') => {
  if (message === 'stop') stopping = true;
  else void run(message);
});
process.on('disconnect', () => process.exit(1));

async function run(order: Order): Promise<void> {
  const devices = Array.from({ length: order.clients }, (_, i) => device(order, `d${i}`));
  const report = setInterval(() => process.connected && process.send?.({ acknowledged, inDoubt }), 200);
  await Promise.all(devices);
  clearInterval(report);
  process.send?.({ acknowledged, inDoubt, done: true }, () => process.disconnect());
}

/** One device: connects as often as it must, sends at its pace, notes what became of each message. */
async function device(order: Order, name: string): Promise<void> {
  let n = 0;
  while (!stopping) {
    const client = await connected(order.port, name);
    if (client === undefined) continue;
    n = await session(order, name, client, n);
    client.end(true);
  }
}

function connected(port: number, name: string): Promise<MqttClient | undefined> {
  return new Promise((resolve) => {
    const client = connect(`mqtt://127.0.0.1:${port}`, { clientId: name, reconnectPeriod: 0, connectTimeout: 2_000, keepalive: 10 });
    const failed = () => {
      client.end(true);
      setTimeout(() => resolve(undefined), 50);
    };
    client.once('connect', () => {
      client.removeListener('close', failed);
      resolve(client);
    });
    client.on('error', () => {});
    client.once('close', failed);
  });
}

/** Sends until the connection breaks or the load ends and everything sent is answered. Returns the next number. */
async function session(order: Order, name: string, client: MqttClient, from: number): Promise<number> {
  let n = from;
  const waiting = new Map<string, string>();
  let open = true;
  const closed = new Promise<void>((resolve) => {
    client.once('close', () => {
      open = false;
      resolve();
    });
  });
  const perTurn = (order.perSecond / order.clients) * (TURN_MS / 1_000);
  let owed = 0;
  while (open && !(stopping && waiting.size === 0)) {
    owed = Math.min(owed + perTurn, IN_FLIGHT_MAX);
    while (open && !stopping && owed >= 1 && waiting.size < IN_FLIGHT_MAX) {
      owed -= 1;
      const id = `${name}-${n++}`;
      const line = JSON.stringify({ id, device: name, atMs: Date.now(), v: n % 97 });
      waiting.set(id, line);
      client.publish(`chaos/${name}`, line, { qos: 1 }, (error) => {
        if (error || !waiting.delete(id)) return;
        acknowledged += 1;
        appendFileSync(order.acknowledgedFile, `${line}\n`);
      });
    }
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, TURN_MS))]);
  }
  for (const line of waiting.values()) appendFileSync(order.doubtFile, `${line}\n`);
  inDoubt += waiting.size;
  waiting.clear();
  return n;
}
