// A client that sends the bytes it is told to, for what no proper client would send.
import { connect as connectSocket, type Socket } from 'node:net';

export const u16 = (n: number): Buffer => Buffer.from([n >> 8, n & 0xff]);
export const text = (s: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(s as string);
  return Buffer.concat([u16(bytes.length), bytes]);
};

export function remainingLength(n: number): Buffer {
  const bytes: number[] = [];
  do {
    bytes.push((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
    n >>>= 7;
  } while (n > 0);
  return Buffer.from(bytes);
}

export function packet(first: number, ...body: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(body);
  return Buffer.concat([Buffer.from([first]), remainingLength(bytes.length), bytes]);
}

export interface ConnectFields {
  readonly protocol?: string;
  readonly level?: number;
  readonly flags?: number;
  readonly keepaliveS?: number;
  readonly rest?: readonly Uint8Array[];
}

export const connectPacket = (
  clientId: string | Uint8Array,
  { protocol = 'MQTT', level = 4, flags = 2, keepaliveS = 0, rest = [] }: ConnectFields = {},
): Buffer => packet(0x10, text(protocol), Buffer.from([level, flags]), u16(keepaliveS), text(clientId), ...rest);

export const publishPacket = (topic: string | Uint8Array, payload: string | Uint8Array, qos = 1, id = 1, flags = 0): Buffer =>
  packet(0x30 | (qos << 1) | flags, text(topic), qos === 0 ? Buffer.alloc(0) : u16(id), Buffer.from(payload as string));

export const PUBACK = (id: number): string => `4002${u16(id).toString('hex')}`;
export const CONNACK = '20020000';
export const PINGREQ = Buffer.from([0xc0, 0]);
export const PINGRESP = 'd000';

export class RawClient {
  readonly socket: Socket;
  /** The listener has closed the connection, and how much it had sent by then. */
  readonly closed: Promise<string>;
  #received = '';
  #wake: () => void = () => {};

  constructor(port: number) {
    this.socket = connectSocket({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('hex');
      this.#wake();
    });
    this.socket.on('error', () => {});
    this.closed = new Promise((resolve) =>
      this.socket.on('close', () => {
        resolve(this.#received);
        this.#wake();
      }),
    );
  }

  /** All that came so far, in hex. */
  get received(): string {
    return this.#received;
  }

  send(...bytes: Uint8Array[]): this {
    this.socket.write(Buffer.concat(bytes));
    return this;
  }

  /** Resolves when what came is this, in hex; throws when the connection closes before. */
  async until(expected: string): Promise<void> {
    while (!this.#received.startsWith(expected)) {
      if (this.socket.closed) throw new Error(`closed after '${this.#received}', wanted '${expected}'`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Connects as a proper client would. */
  async connect(clientId = 'raw', fields: ConnectFields = {}): Promise<this> {
    this.send(connectPacket(clientId, fields));
    await this.until(CONNACK);
    this.#received = this.#received.slice(CONNACK.length);
    return this;
  }

  close(): void {
    this.socket.destroy();
  }
}
