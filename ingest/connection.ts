// One client's socket: checks every packet, takes its publishes itself, and hands what is left, sessions and subscriptions, to aedes.
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { Forwarder } from './forwarder.ts';
import type { AckTarget, Intake } from './intake.ts';
import type { Router } from './routes.ts';
import { firstByteProblem, PACKET, readConnect, readFilters } from './wire.ts';

/** What all connections of a listener share. */
export interface ConnectionHost {
  readonly router: Router;
  readonly intake: Intake;
  readonly forwarder: Forwarder;
  /** Largest remaining length of a packet. Unit: bytes. */
  readonly packetBytesMax: number;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
  /** Makes an MQTT session out of a stream of packets that have been checked. */
  readonly openSession: (stream: Duplex, connection: Connection) => void;
  readonly onUnrouted: (mqttTopic: string) => void;
  /** The client broke a rule of MQTT or a limit of ours, and has been closed. */
  readonly onRefused: (why: string) => void;
  /** The client was not let in. */
  readonly onRejected: (why: string) => void;
  /** An error of ours while handling a client, which is closed. */
  readonly onMishap: (error: unknown) => void;
  /** Connections with bytes received that nobody has looked at yet. */
  readonly held: { count: number };
  /** Its socket is closed. */
  readonly onClosed: (connection: Connection) => void;
}

/** Why a connection is not being read; it is read when no reason is left. */
const HOLD = { connecting: 1, log: 2, session: 4, output: 8 } as const;

/** A client that lets more pile up than this is not reading and is closed. Unit: bytes. */
const OUTPUT_BYTES_MAX = 4 << 20;
/** QoS 2 publishes of one connection between PUBREC and PUBREL. */
const QOS2_MAX = 1_000;
/** Longest time a packet may take from its first byte to its last, a session to open, and a client not to read what we send. Unit: ms. */
const PATIENCE_MS = 60_000;
/** Longest time a closed connection may take to send what it still has. Unit: ms. */
const FAREWELL_MS_MAX = 5_000;

const NOTHING = Buffer.alloc(0);
const PINGRESP = Buffer.from([0xd0, 0]);
const FIRST_PARTIAL_BYTES = 1_024;

export class Connection implements AckTarget {
  readonly socket: Socket;
  readonly openedMs: number;
  /** Filters this client has subscribed to. */
  readonly filters = new Set<string>();
  /** leaving: DISCONNECT has come; nothing after it counts. */
  state: 'new' | 'connecting' | 'ready' | 'leaving' | 'over' = 'new';
  #isLast = false;
  readonly #host: ConnectionHost;
  #stream: Duplex | undefined;
  #holds = 0;
  /** Bytes received that wait for the holds to end. */
  #held: Buffer | undefined;
  /** The beginning of a packet whose rest has not come; grows as it comes, never to what its header claims. */
  #partial: Buffer = NOTHING;
  #partialLength = 0;
  #partialSinceMs = 0;
  #lastDataMs: number;
  #keepaliveMs = 0;
  #unreadSinceMs = 0;
  #acks: number[] = [];
  /** Packet ids of QoS 2 publishes taken, until their PUBREL; true once durable. */
  readonly #exactly: Map<number, boolean> = new Map();
  #overSinceMs = 0;

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket;
    this.#host = host;
    this.openedMs = this.#lastDataMs = host.monotonicMs();
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => this.#release(HOLD.output));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed();
      host.onClosed(this);
    });
  }

  /** The session is open: CONNACK is out, publishes may be taken. */
  ready(): void {
    if (this.state !== 'connecting') return;
    this.state = 'ready';
    this.#release(HOLD.connecting);
  }

  /** The client will not be let in: what it sends from here on is not looked at, only its answer is still to come. */
  doom(): void {
    if (this.state !== 'connecting') return;
    this.state = 'leaving';
    this.#setHeld(undefined);
  }

  /** Reads no more, for the listener closes; what has been received is still taken. */
  stopReading(): void {
    this.#isLast = true;
    this.socket.pause();
  }

  /** Closes what has been silent or slow for too long. Called every second. */
  sweep(nowMs: number, connectTimeoutMs: number): void {
    if (this.state === 'over') {
      if (nowMs - this.#overSinceMs > FAREWELL_MS_MAX) this.socket.destroy();
    } else if (this.state === 'new') {
      if (nowMs - this.openedMs > connectTimeoutMs) this.#reject(`no CONNECT within ${connectTimeoutMs} ms`);
    } else if (this.state === 'connecting') {
      if (nowMs - this.#lastDataMs > PATIENCE_MS) this.#reject(`no session within ${PATIENCE_MS} ms`);
    } else if ((this.#holds & HOLD.output) !== 0) {
      if (nowMs - this.#unreadSinceMs > PATIENCE_MS) this.refuse(`nothing, and read nothing, for ${PATIENCE_MS} ms`);
    } else if (this.#holds !== 0) return;
    else if (this.#partialLength > 0 && nowMs - this.#partialSinceMs > PATIENCE_MS)
      this.refuse(`a packet that took more than ${PATIENCE_MS} ms`);
    // Source: MQTT 3.1.1, 3.1.2.10: one and a half times the keep alive.
    else if (this.#keepaliveMs > 0 && nowMs - this.#lastDataMs > 1.5 * this.#keepaliveMs) this.close();
  }

  /** Closes the connection; what is written already still goes out. aedes sends the will unless the client said DISCONNECT. */
  close(): void {
    if (this.state === 'over') return;
    this.state = 'over';
    this.#overSinceMs = this.#host.monotonicMs();
    for (const filter of this.filters) this.#host.forwarder.unsubscribe(filter);
    this.filters.clear();
    this.#setHeld(undefined);
    this.#partial = NOTHING;
    this.#partialLength = 0;
    this.#stream?.destroy();
    this.socket.destroySoon();
    // Read to the end, unseen, so that a client that still sends does not turn our last words into a reset.
    this.socket.resume();
  }

  /** Closes a client that broke a rule. */
  refuse(why: string): void {
    if (this.state === 'over') return;
    this.close();
    this.#host.onRefused(why);
  }

  acknowledge(ack: number): boolean {
    if (this.state !== 'ready') return false;
    if (ack >> 16 === PACKET.pubrec && this.#exactly.has(ack & 0xffff)) this.#exactly.set(ack & 0xffff, true);
    return this.#acks.push(ack) === 1;
  }

  sendAcks(): void {
    const bytes = Buffer.allocUnsafe(4 * this.#acks.length);
    let at = 0;
    for (const ack of this.#acks) {
      bytes[at] = (ack >> 16) << 4;
      bytes[at + 1] = 2;
      bytes[at + 2] = (ack >> 8) & 0xff;
      bytes[at + 3] = ack & 0xff;
      at += 4;
    }
    this.#acks = [];
    this.#write(bytes);
  }

  #reject(why: string): void {
    this.close();
    this.#host.onRejected(why);
  }

  #closed(): void {
    // What a client sent before it went is taken all the same, once the log has room.
    this.#holds &= ~(HOLD.output | HOLD.session);
    if (this.state === 'ready' && this.#holds === 0 && this.#held !== undefined) this.#consumeHeld();
    if (this.state !== 'ready' || this.#holds === 0) this.close();
  }

  #write(bytes: Buffer): void {
    const { socket } = this;
    if (!socket.writable) return;
    if (!socket.write(bytes) && this.state === 'ready' && (this.#holds & HOLD.output) === 0) {
      this.#unreadSinceMs = this.#host.monotonicMs();
      this.#hold(HOLD.output);
    }
    if (socket.writableLength > OUTPUT_BYTES_MAX) {
      socket.destroy();
      this.refuse(`more than ${OUTPUT_BYTES_MAX} bytes that it does not read`);
    }
  }

  #hold(why: number): void {
    this.#holds |= why;
    this.socket.pause();
  }

  #release(why: number): void {
    if ((this.#holds & why) === 0) return;
    this.#holds &= ~why;
    if (this.#holds !== 0) return;
    this.#consumeHeld();
    if (this.#holds !== 0) return;
    if (this.socket.destroyed) this.close();
    else if (!this.#isLast) this.socket.resume();
  }

  #consumeHeld(): void {
    const held = this.#held;
    this.#setHeld(undefined);
    if (held !== undefined) this.#consume(held);
  }

  #setHeld(bytes: Buffer | undefined): void {
    this.#host.held.count += (bytes === undefined ? 0 : 1) - (this.#held === undefined ? 0 : 1);
    this.#held = bytes;
  }

  #receive(chunk: Buffer): void {
    this.#lastDataMs = this.#host.monotonicMs();
    if (this.state === 'over' || this.state === 'leaving' || this.#isLast) return;
    if (this.#holds !== 0) this.#setHeld(this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]));
    else this.#consume(chunk);
  }

  /** Whatever a client sends, it can only lose its own connection by it. */
  #consume(chunk: Buffer): void {
    // What is answered at once, to a thousand pings in one piece, say, goes out in one write.
    this.socket.cork();
    try {
      this.#consumePackets(chunk);
    } catch (error) {
      this.close();
      this.#host.onMishap(error);
    } finally {
      this.socket.uncork();
    }
  }

  /** Takes packets off the chunk until it ends or something holds the connection; then the rest waits. */
  #consumePackets(chunk: Buffer): void {
    const arrivedMs = this.#host.nowMs();
    let at = 0;
    while (at < chunk.length && this.state !== 'over' && this.state !== 'leaving') {
      const first = (this.#partialLength > 0 ? this.#partial[0] : chunk[at]) as number;
      if (first >> 4 === PACKET.publish && this.#holds === 0 && !this.#host.intake.hasRoom) {
        this.#hold(HOLD.log);
        this.#host.intake.whenRoom(() => this.#release(HOLD.log));
      }
      if (this.#holds !== 0) {
        this.#setHeld(at === 0 ? chunk : chunk.subarray(at));
        return;
      }
      if (this.#partialLength > 0) {
        at += this.#completePartial(chunk, arrivedMs);
        continue;
      }
      const end = this.#packetEnd(chunk, at, chunk.length);
      if (end > 0) this.#handle(chunk, at, end, arrivedMs);
      else if (end === 0) this.#keepPartial(chunk, at);
      if (end <= 0) return;
      at = end;
    }
  }

  /**
   * Where the packet that begins at `at` ends; 0 when it is not all there, -1 when it was refused.
   * Its size is judged by its header, before any of it is kept.
   */
  #packetEnd(bytes: Buffer, at: number, bytesEnd: number): number {
    const first = bytes[at] as number;
    const problem =
      firstByteProblem(first) ?? (this.state === 'new' && first >> 4 !== PACKET.connect ? 'a first packet that is no CONNECT' : undefined);
    if (problem !== undefined) return this.#refused(problem);
    let length = 0;
    for (let i = 1; i <= 4; i++) {
      if (at + i >= bytesEnd) return 0;
      const byte = bytes[at + i] as number;
      length += (byte & 0x7f) * 128 ** (i - 1);
      if (byte > 0x7f) continue;
      if (length > this.#host.packetBytesMax) return this.#refused(`a packet of more than ${this.#host.packetBytesMax} bytes`);
      const end = at + i + 1 + length;
      return end <= bytesEnd ? end : 0;
    }
    return this.#refused('a packet whose length takes more than four bytes');
  }

  #refused(why: string): -1 {
    this.refuse(why);
    return -1;
  }

  #keepPartial(chunk: Buffer, at: number): void {
    this.#partialSinceMs = this.#lastDataMs;
    this.#growPartial(chunk, at, chunk.length);
  }

  #growPartial(chunk: Buffer, start: number, end: number): void {
    const length = this.#partialLength + end - start;
    if (length > this.#partial.length) {
      const grown = Buffer.allocUnsafe(Math.max(FIRST_PARTIAL_BYTES, 2 * this.#partial.length, length));
      this.#partial.copy(grown, 0, 0, this.#partialLength);
      this.#partial = grown;
    }
    chunk.copy(this.#partial, this.#partialLength, start, end);
    this.#partialLength = length;
  }

  /** Adds to the packet that has begun; handles it when it is whole. Returns how much of the chunk it took. */
  #completePartial(chunk: Buffer, arrivedMs: number): number {
    let used = 0;
    for (;;) {
      const missing = missingBytes(this.#partial, this.#partialLength);
      if (missing === 0 || used === chunk.length) break;
      const take = Math.min(missing, chunk.length - used);
      this.#growPartial(chunk, used, used + take);
      used += take;
      // Each byte of a header may show that the packet is not to be taken at all.
      if (this.#partialLength <= 5 && this.#packetEnd(this.#partial, 0, this.#partialLength) < 0) return used;
    }
    const end = this.#packetEnd(this.#partial, 0, this.#partialLength);
    if (end <= 0) return used;
    const packet = this.#partial;
    this.#partial = NOTHING;
    this.#partialLength = 0;
    this.#handle(packet, 0, end, arrivedMs);
    return used;
  }

  /** One whole packet, `bytes[at, end)`. */
  #handle(bytes: Buffer, at: number, end: number, arrivedMs: number): void {
    let body = at + 1;
    while ((bytes[body++] as number) > 0x7f);
    const first = bytes[at] as number;
    switch (first >> 4) {
      case PACKET.publish:
        return this.#publish(first, bytes, body, end, arrivedMs);
      case PACKET.puback:
      case PACKET.pubrec:
      case PACKET.pubrel:
      case PACKET.pubcomp:
        return this.#handshake(first >> 4, bytes, body, end);
      case PACKET.pingreq:
        return end === body ? this.#write(PINGRESP) : this.refuse('a PINGREQ with a body');
      case PACKET.disconnect:
        if (end !== body) return this.refuse('a DISCONNECT with a body');
        this.state = 'leaving';
        return this.#toSession(Buffer.from([0xe0, 0]));
      case PACKET.connect:
        return this.#connect(Buffer.from(bytes.subarray(at, end)), body - at);
      default:
        return this.#filters(Buffer.from(bytes.subarray(at, end)), body - at, first >> 4 === PACKET.subscribe);
    }
  }

  #publish(first: number, bytes: Buffer, body: number, end: number, arrivedMs: number): void {
    const topicEnd = body + 2 > end ? end + 1 : body + 2 + bytes.readUInt16BE(body);
    const qos = (first >> 1) & 3;
    const start = qos === 0 ? topicEnd : topicEnd + 2;
    if (start > end) return this.refuse('a PUBLISH that ends within its topic or packet id');
    const to = this.#host.router.route(bytes, body + 2, topicEnd);
    if (typeof to === 'string') return this.refuse(`a PUBLISH to ${to}`);
    const id = qos === 0 ? 0 : bytes.readUInt16BE(topicEnd);
    if (qos !== 0 && id === 0) return this.refuse('packet id 0');
    if (qos === 2 && !this.#isNewExactly(id)) return;
    if (to.matches.length === 0) this.#host.onUnrouted(to.mqttTopic);
    const publish = { to, bytes, start, end, qos, isRetained: (first & 1) === 1, arrivedMs };
    if (qos === 0) this.#host.intake.take(publish, undefined, 0);
    else this.#host.intake.take(publish, this, ((qos === 1 ? PACKET.puback : PACKET.pubrec) << 16) | id);
  }

  /** QoS 2: within one connection a publish sent again is known by its packet id, and only its PUBREC is repeated. */
  #isNewExactly(id: number): boolean {
    const isDurable = this.#exactly.get(id);
    if (isDurable === undefined) {
      if (this.#exactly.size >= QOS2_MAX) {
        this.refuse(`more than ${QOS2_MAX} QoS 2 publishes without PUBREL`);
        return false;
      }
      this.#exactly.set(id, false);
      return true;
    }
    if (isDurable) this.#write(Buffer.from([PACKET.pubrec << 4, 2, id >> 8, id & 0xff]));
    return false;
  }

  /** PUBREL ends a QoS 2 publish. We deliver at QoS 0 only, so the others answer nothing and are let pass. */
  #handshake(type: number, bytes: Buffer, body: number, end: number): void {
    if (end - body !== 2) return this.refuse(`a packet of type ${type} that is not two bytes long`);
    const id = bytes.readUInt16BE(body);
    if (id === 0) return this.refuse('packet id 0');
    if (type !== PACKET.pubrel) return;
    this.#exactly.delete(id);
    this.#write(Buffer.from([PACKET.pubcomp << 4, 2, id >> 8, id & 0xff]));
  }

  /**
   * Opens the session. It is told of no keep alive, for only we see all packets, and of a clean session, for none is
   * kept: nothing is ever stored for a client that is away, and CONNACK says so.
   */
  #connect(packet: Buffer, body: number): void {
    if (this.state !== 'new') return this.refuse('a second CONNECT');
    const connect = readConnect(packet, body);
    if (typeof connect === 'string') return this.refuse(connect);
    if ('connack' in connect) {
      this.#write(Buffer.from(connect.connack));
      return this.#reject(connect.why);
    }
    packet.writeUInt16BE(0, connect.keepaliveAt);
    packet[connect.flagsAt] = (packet[connect.flagsAt] as number) | 0x02;
    this.#keepaliveMs = connect.keepaliveS * 1_000;
    this.state = 'connecting';
    this.#hold(HOLD.connecting);
    this.#stream = this.#sessionStream();
    this.#host.openSession(this.#stream, this);
    this.#toSession(packet);
  }

  /** SUBSCRIBE and UNSUBSCRIBE. Every subscription becomes QoS 0, and SUBACK says so. */
  #filters(packet: Buffer, body: number, isSubscribe: boolean): void {
    const read = readFilters(packet, body, isSubscribe);
    if (typeof read === 'string') return this.refuse(read);
    for (const at of read.qosAt) packet[at] = 0;
    if (!isSubscribe) for (const filter of read.filters) if (this.filters.delete(filter)) this.#host.forwarder.unsubscribe(filter);
    this.#toSession(packet);
  }

  #toSession(packet: Buffer): void {
    if (this.#stream?.push(packet) === false) this.#hold(HOLD.session);
  }

  /** The stream that aedes sees: checked packets in, its answers out. */
  #sessionStream(): Duplex {
    return new Duplex({
      read: () => this.#release(HOLD.session),
      write: (chunk: Buffer, _encoding, done) => {
        this.#write(chunk);
        done();
      },
      writev: (chunks, done) => {
        this.#write(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)));
        done();
      },
      destroy: (_error, done) => {
        this.close();
        done(null);
      },
    });
  }
}

/** How many bytes to wait for until more is known of the packet that begins in `bytes[0, length)`; 0 when it is whole. */
function missingBytes(bytes: Buffer, length: number): number {
  let body = 0;
  for (let i = 1; i <= 4; i++) {
    if (i >= length) return 1;
    const byte = bytes[i] as number;
    body += (byte & 0x7f) * 128 ** (i - 1);
    if (byte <= 0x7f) return i + 1 + body - length;
  }
  return 0;
}
