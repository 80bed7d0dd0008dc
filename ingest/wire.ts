// What bytes of MQTT 3.1.1 we let through: every packet of a client is checked here before anything acts on it.
import { isUtf8 } from 'node:buffer';
import { topicProblem } from './routes.ts';

/** Packet types a client may send. Source: MQTT 3.1.1, 2.2.1. */
export const PACKET = {
  connect: 1,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
} as const;

/** Low four bits of a packet's first byte that MQTT prescribes; PUBLISH is free. Undefined: no client sends such a packet. */
const FLAGS: readonly (number | undefined)[] = [
  undefined,
  0,
  undefined,
  undefined,
  0,
  0,
  2,
  0,
  2,
  undefined,
  2,
  undefined,
  0,
  undefined,
  0,
  undefined,
];

/** Longest client id and user name taken. Unit: UTF-8 bytes. */
const NAME_BYTES_MAX = 1_024;

/** What is wrong with a first byte, or undefined. */
export function firstByteProblem(byte: number): string | undefined {
  const type = byte >> 4;
  if (type === PACKET.publish) {
    if ((byte & 0b0110) === 0b0110) return 'a PUBLISH with QoS 3';
    return (byte & 0b1110) === 0b1000 ? 'a PUBLISH with DUP at QoS 0' : undefined;
  }
  const flags = FLAGS[type];
  if (flags === undefined) return `a packet of type ${type}, which no client sends`;
  return (byte & 0x0f) === flags ? undefined : `a packet of type ${type} with reserved flags set`;
}

/** A CONNECT that may be answered. Offsets count from the packet's first byte. */
export interface Connect {
  readonly clientId: string;
  /** Unit: s; 0 is never. */
  readonly keepaliveS: number;
  readonly flagsAt: number;
  readonly keepaliveAt: number;
}

/** A CONNECT that is answered with a CONNACK of its own, and then closed. */
export interface ConnectRefusal {
  readonly connack: readonly number[];
  readonly why: string;
}

/** Reads fields one after another; `problem` is set by the first that cannot be, and then all reads give nothing. */
class Fields {
  problem: string | undefined;
  readonly bytes: Buffer;
  at: number;
  readonly end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  byte(what: string): number {
    if (this.at + 1 > this.end) return this.#short(what);
    return this.bytes[this.at++] as number;
  }

  uint16(what: string): number {
    if (this.at + 2 > this.end) return this.#short(what);
    this.at += 2;
    return this.bytes.readUInt16BE(this.at - 2);
  }

  data(what: string): Buffer {
    const length = this.uint16(what);
    if (this.problem !== undefined || this.at + length > this.end) {
      this.#short(what);
      return this.bytes.subarray(0, 0);
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(what: string): string {
    const data = this.data(what);
    if (this.problem !== undefined) return '';
    if (!isUtf8(data) || data.includes(0)) {
      this.problem = `${what} that is not UTF-8 or holds a NUL`;
      return '';
    }
    return data.toString('utf8');
  }

  #short(what: string): number {
    this.problem ??= `a packet that ends within its ${what}`;
    this.at = this.end;
    return 0;
  }
}

/** Reads a CONNECT from `packet` (a whole packet; its body begins at `start`). A text says why the connection is closed unanswered. */
export function readConnect(packet: Buffer, start: number): Connect | ConnectRefusal | string {
  const fields = new Fields(packet, start, packet.length);
  const protocol = fields.text('protocol name');
  const level = fields.byte('protocol level');
  if (fields.problem !== undefined) return fields.problem;
  if (protocol !== 'MQTT' && protocol !== 'MQIsdp') return 'a CONNECT that is not MQTT';
  if (level === 5 && protocol === 'MQTT') return { connack: [0x20, 3, 0, 0x84, 0], why: 'MQTT 5; this listener speaks 3.1.1' };
  if ((protocol === 'MQTT' && level !== 4) || (protocol === 'MQIsdp' && level !== 3))
    return { connack: [0x20, 2, 0, 1], why: `MQTT protocol level ${level}; this listener speaks 3.1.1` };
  const flagsAt = fields.at;
  const flags = fields.byte('connect flags');
  const keepaliveAt = fields.at;
  const keepaliveS = fields.uint16('keep alive');
  const clientId = fields.text('client id');
  const problem = fields.problem ?? connectFlagsProblem(flags) ?? payloadProblem(fields, flags);
  if (problem !== undefined) return problem;
  if (Buffer.byteLength(clientId) > NAME_BYTES_MAX)
    return { connack: [0x20, 2, 0, 2], why: `a client id of more than ${NAME_BYTES_MAX} bytes` };
  if (clientId === '' && (flags & 0x02) === 0) return { connack: [0x20, 2, 0, 2], why: 'an empty client id that asks for a session' };
  return { clientId, keepaliveS, flagsAt, keepaliveAt };
}

/** Source: MQTT 3.1.1, 3.1.2. */
function connectFlagsProblem(flags: number): string | undefined {
  if ((flags & 0x01) !== 0) return 'a CONNECT with its reserved flag set';
  const hasWill = (flags & 0x04) !== 0;
  if (!hasWill && (flags & 0x38) !== 0) return 'a CONNECT with a will QoS or retain, but no will';
  if ((flags & 0x18) === 0x18) return 'a will with QoS 3';
  return (flags & 0xc0) === 0x40 ? 'a CONNECT with a password, but no user name' : undefined;
}

function payloadProblem(fields: Fields, flags: number): string | undefined {
  if ((flags & 0x04) !== 0) {
    const topicAt = fields.at + 2;
    const topic = fields.text('will topic');
    if (fields.problem === undefined) {
      const why = topicProblem(topic, fields.bytes.subarray(topicAt, fields.at));
      if (why !== undefined) return `a will to ${why}`;
    }
    fields.data('will message');
  }
  if ((flags & 0x80) !== 0 && Buffer.byteLength(fields.text('user name')) > NAME_BYTES_MAX)
    return `a user name of more than ${NAME_BYTES_MAX} bytes`;
  if ((flags & 0x40) !== 0) fields.data('password');
  return fields.problem ?? (fields.at === fields.end ? undefined : 'a CONNECT with bytes left over');
}

/** The filters of a SUBSCRIBE or UNSUBSCRIBE, and where a SUBSCRIBE's QoS bytes are; a text says what is wrong. */
export function readFilters(
  packet: Buffer,
  start: number,
  isSubscribe: boolean,
): { readonly filters: string[]; readonly qosAt: number[] } | string {
  const fields = new Fields(packet, start, packet.length);
  const id = fields.uint16('packet id');
  if (fields.problem === undefined && id === 0) return 'packet id 0';
  const filters: string[] = [];
  const qosAt: number[] = [];
  while (fields.problem === undefined && fields.at < fields.end) {
    const filter = fields.text('topic filter');
    const why = fields.problem ?? filterProblem(filter);
    if (why !== undefined) return why;
    filters.push(filter);
    if (!isSubscribe) continue;
    qosAt.push(fields.at);
    if (fields.byte('requested QoS') > 2) return 'a SUBSCRIBE with a QoS above 2';
  }
  return fields.problem ?? (filters.length === 0 ? 'a SUBSCRIBE or UNSUBSCRIBE without a filter' : { filters, qosAt });
}

/** Source: MQTT 3.1.1, 4.7.1. */
function filterProblem(filter: string): string | undefined {
  if (filter === '') return 'an empty topic filter';
  const levels = filter.split('/');
  const isWrong = levels.some((level, i) => {
    if (level === '#') return i !== levels.length - 1;
    return level !== '+' && (level.includes('#') || level.includes('+'));
  });
  return isWrong ? "a topic filter with '+' or '#' where it may not be" : undefined;
}
