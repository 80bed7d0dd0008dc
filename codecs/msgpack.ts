// msgpack: any value the engine must keep, as bytes that give exactly the same value back. Ours, because a number −0,
// a field named __proto__ and half a surrogate pair must survive too, and because nothing needs loading for it.
import { MillraceError } from '../engine/errors.ts';
import { internUtf8 } from '../engine/stringKey.ts';
import type { Codec } from '../engine/topic.ts';

/** Deeper is refused, and so is a value that contains itself. */
const DEPTH_MAX = 1_000;
/** Types of our extensions; 0 is what msgpackr writes for undefined. */
const UNDEFINED = 0;
const DATE = 1;
const BIGINT = 2;
const UTF16 = 3;

/** Grows as needed and is used again: encoding is synchronous, and what is handed out is a copy. */
let into = Buffer.allocUnsafeSlow(64 * 1024);
let at = 0;

/**
 * The codec of stored values, MessagePack with four extensions. Keeps null, undefined, booleans, numbers (NaN, −0 and
 * infinities too), bigints, strings, Dates, Uint8Arrays (a Buffer comes back as one), arrays and plain objects.
 *
 * Errors  encode: E_RESULT for anything else, naming what and where · decode: E_DECODE
 * Source  https://github.com/msgpack/msgpack/blob/master/spec.md
 */
export function msgpack(): Codec<unknown> {
  return MSGPACK;
}

const MSGPACK: Codec<unknown> = Object.freeze({
  contentType: 'application/msgpack',
  encode(value: unknown) {
    at = 0;
    write(value, 0);
    const made = Buffer.allocUnsafe(at);
    into.copy(made, 0, 0, at);
    return made;
  },
  decode(bytes: Buffer, start: number, end: number) {
    from = bytes;
    at = start;
    to = end;
    const value = read(0);
    if (at !== end)
      throw new MillraceError('E_DECODE', `MessagePack: ${at < end ? `${end - at} bytes left over` : 'the bytes end too early'}`);
    return value;
  },
});

/** Makes room for n bytes. */
function need(n: number): void {
  if (at + n <= into.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(into.length * 2, at + n));
  into.copy(larger, 0, 0, at);
  into = larger;
}

function write(value: unknown, depth: number): void {
  switch (typeof value) {
    case 'number':
      return writeNumber(value);
    case 'string':
      return writeString(value);
    case 'boolean':
      need(1);
      into[at++] = value ? 0xc3 : 0xc2;
      return;
    case 'undefined':
      writeExtension(UNDEFINED, 1);
      into[at++] = 0;
      return;
    case 'bigint':
      return writeBigInt(value);
    case 'object':
      return writeObject(value, depth);
    default:
      throw refusal(`a ${typeof value}`);
  }
}

function refusal(what: string): MillraceError {
  return new MillraceError(
    'E_RESULT',
    `${what} cannot be stored; use numbers, strings, booleans, bigints, Dates, Uint8Arrays, arrays and plain objects`,
  );
}

function writeNumber(value: number): void {
  need(9);
  if (value >> 0 !== value || (value === 0 && 1 / value < 0)) {
    into[at] = 0xcb;
    into.writeDoubleBE(value, at + 1);
    at += 9;
  } else if (value >= -32 && value < 128) into[at++] = value & 0xff;
  else {
    into[at] = 0xd2;
    into.writeInt32BE(value, at + 1);
    at += 5;
  }
}

/** Short text is tried as ASCII first: most names and most values are. */
function writeString(value: string): void {
  const { length } = value;
  need(5 + length * 3);
  if (length < 32) {
    into[at] = 0xa0 | length;
    let i = 0;
    for (; i < length; i++) {
      const c = value.charCodeAt(i);
      if (c > 127) break;
      into[at + 1 + i] = c;
    }
    if (i === length) {
      at += 1 + length;
      return;
    }
  }
  // Half a surrogate pair has no UTF-8, so such a text is kept as it is in memory.
  if (/[\ud800-\udfff]/.test(value) && !(value as string & { isWellFormed(): boolean }).isWellFormed()) {
    writeExtension(UTF16, length * 2);
    at += into.write(value, at, 'utf16le');
    return;
  }
  const bytes = into.write(value, at + 5, 'utf8');
  into[at] = 0xdb;
  into.writeUInt32BE(bytes, at + 1);
  at += 5 + bytes;
}

/** Numbers never use MessagePack's 64-bit integers, so those are bigints; larger ones are kept in decimal. */
function writeBigInt(value: bigint): void {
  if (BigInt.asIntN(64, value) === value) {
    need(9);
    into[at] = 0xd3;
    into.writeBigInt64BE(value, at + 1);
    at += 9;
    return;
  }
  const digits = value.toString();
  writeExtension(BIGINT, digits.length);
  at += into.write(digits, at, 'latin1');
}

/** The head of an extension, and room for its `length` bytes. */
function writeExtension(type: number, length: number): void {
  need(6 + length);
  if (length === 1) into[at++] = 0xd4;
  else if (length === 8) into[at++] = 0xd7;
  else {
    into[at] = 0xc9;
    into.writeUInt32BE(length, at + 1);
    at += 5;
  }
  into[at++] = type;
}

function writeObject(value: object | null, depth: number): void {
  if (value === null) {
    need(1);
    into[at++] = 0xc0;
    return;
  }
  if (depth >= DEPTH_MAX) throw refusal(`a value nested deeper than ${DEPTH_MAX} levels, or containing itself,`);
  if (Array.isArray(value)) {
    writeHead(0x90, 0xdd, value.length);
    // By index, so that a hole is written as undefined.
    for (let i = 0; i < value.length; i++) write(value[i], depth + 1);
    return;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return writeFields(value as Record<string, unknown>, depth);
  if (value instanceof Date) {
    writeExtension(DATE, 8);
    at = into.writeDoubleBE(value.getTime(), at);
  } else if (value instanceof Uint8Array) {
    need(5 + value.length);
    into[at] = 0xc6;
    into.writeUInt32BE(value.length, at + 1);
    into.set(value, at + 5);
    at += 5 + value.length;
  } else throw refusal(`an object of class ${prototype.constructor?.name ?? 'unknown'}`);
}

function writeFields(value: Record<string, unknown>, depth: number): void {
  const names = Object.keys(value);
  writeHead(0x80, 0xdf, names.length);
  for (let i = 0; i < names.length; i++) {
    const name = names[i] as string;
    writeString(name);
    write(value[name], depth + 1);
  }
}

function writeHead(small: number, large: number, count: number): void {
  need(5);
  if (count < 16) into[at++] = small | count;
  else {
    into[at] = large;
    into.writeUInt32BE(count, at + 1);
    at += 5;
  }
}

let from: Buffer = into;
let to = 0;

/** Moves past n bytes and says where they began. */
function past(n: number): number {
  const start = at;
  at += n;
  if (at > to) throw new MillraceError('E_DECODE', 'MessagePack: the bytes end too early');
  return start;
}

function read(depth: number): unknown {
  const tag = from[past(1)] as number;
  if (tag < 0x80) return tag;
  if (tag >= 0xe0) return tag - 0x100;
  if (tag < 0x90) return readFields(tag & 15, depth);
  if (tag < 0xa0) return readArray(tag & 15, depth);
  if (tag < 0xc0) return readText(tag & 31);
  switch (tag) {
    case 0xc0:
      return null;
    case 0xc2:
      return false;
    case 0xc3:
      return true;
    case 0xc6: {
      const length = from.readUInt32BE(past(4));
      return new Uint8Array(from.subarray(past(length), at));
    }
    case 0xc9: {
      const length = from.readUInt32BE(past(4));
      return readExtension(length);
    }
    case 0xcb:
      return from.readDoubleBE(past(8));
    case 0xd2:
      return from.readInt32BE(past(4));
    case 0xd3:
      return from.readBigInt64BE(past(8));
    case 0xd4:
      return readExtension(1);
    case 0xd7:
      return readExtension(8);
    case 0xdb:
      return readText(from.readUInt32BE(past(4)));
    case 0xdd:
      return readArray(from.readUInt32BE(past(4)), depth);
    case 0xdf:
      return readFields(from.readUInt32BE(past(4)), depth);
    default:
      throw new MillraceError('E_DECODE', `MessagePack: nothing here is written as 0x${tag.toString(16)}`);
  }
}

function readText(length: number): string {
  const start = past(length);
  return internUtf8(from, start, at);
}

/** Every element takes a byte, so a count beyond the bytes is a lie that must not cost memory; nor may depth cost the stack. */
function checkInside(count: number, depth: number): void {
  if (count > to - at) past(count);
  if (depth >= DEPTH_MAX) throw new MillraceError('E_DECODE', `MessagePack: nested deeper than ${DEPTH_MAX} levels`);
}

function readArray(count: number, depth: number): unknown[] {
  checkInside(count, depth);
  const values: unknown[] = [];
  for (let i = 0; i < count; i++) values.push(read(depth + 1));
  return values;
}

function readFields(count: number, depth: number): Record<string, unknown> {
  checkInside(count, depth);
  const value: Record<string, unknown> = {};
  for (let i = 0; i < count; i++) {
    const name = read(depth + 1);
    if (typeof name !== 'string') throw new MillraceError('E_DECODE', `MessagePack: a field’s name is a ${typeof name}`);
    const field = read(depth + 1);
    if (name === '__proto__') Object.defineProperty(value, name, { value: field, enumerable: true, configurable: true, writable: true });
    else value[name] = field;
  }
  return value;
}

function readExtension(length: number): unknown {
  const type = from[past(1)];
  const start = past(length);
  if (type === UNDEFINED) return undefined;
  if (type === DATE && length === 8) return new Date(from.readDoubleBE(start));
  if (type === BIGINT) {
    const digits = from.toString('latin1', start, at);
    if (/^-?\d+$/.test(digits)) return BigInt(digits);
  }
  if (type === UTF16) return from.toString('utf16le', start, at);
  throw new MillraceError('E_DECODE', `MessagePack: an extension of type ${type} and ${length} bytes is none of ours`);
}
