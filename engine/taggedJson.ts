// JSON text that loses nothing a row may hold: what JSON cannot say becomes an object with one key that starts with '$'.
import { MillraceError } from './errors.ts';

/** Deeper values are refused: no row needs it, and it is how a circular value shows itself late. Unit: levels. */
const DEPTH_MAX = 500;

/**
 * exact: as it is, keys in the order written, -0, NaN and infinities tagged.
 * canonical: equal values give equal text: keys sorted, -0 is 0, and a number that is not finite is refused.
 */
export type TaggedMode = 'exact' | 'canonical';

/**
 * The value as text. Fields that are undefined are left out, as JSON does; in an array they become null.
 *
 * Tags    bigint {"$bigint":"1"} · Date {"$date":"ISO"} · NaN, Infinity, -Infinity, -0 {"$number":"NaN"} ·
 *         an object whose only key starts with '$' gets one more '$' in front of it
 * Errors  E_RESULT naming the path: function, symbol, promise, class instance, invalid date, circular
 */
export function taggedText(value: unknown, mode: TaggedMode, what = 'value'): string {
  return write(value, mode, what, []);
}

/** Exactly the text `taggedText(value, 'exact')` when nothing in it needs a tag: then JSON.stringify can write it. */
export function isPlainJson(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return value - value === 0 && !Object.is(value, -0);
    case 'object':
      if (value === null) return true;
      return (
        depth < DEPTH_MAX && (Array.isArray(value) ? isPlainArray(value, depth) : isPlainObject(value) && hasPlainFields(value, depth))
      );
    default:
      return false;
  }
}

/** The value in the text. Text without tags is read as the JSON it is; a tag that is not one of ours stays an object. */
export function parseTagged(text: string): unknown {
  const value = JSON.parse(text) as unknown;
  return text.includes('"$') ? revive(value, 0) : value;
}

/** True for what `{}`, JSON.parse and Object.create(null) make, in any realm. */
export function isPlainObject(value: object): value is Record<string, unknown> {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return prototype === Object.prototype || prototype === null || Object.getPrototypeOf(prototype) === null;
}

function isPlainArray(value: readonly unknown[], depth: number): boolean {
  for (let i = 0; i < value.length; i++) if (!isPlainJson(value[i], depth + 1)) return false;
  return true;
}

function hasPlainFields(value: Record<string, unknown>, depth: number): boolean {
  for (const key in value) {
    if (key.charCodeAt(0) === 36 /* $ */) return false;
    const field = value[key];
    if (field !== undefined && !isPlainJson(field, depth + 1)) return false;
  }
  return true;
}

function write(value: unknown, mode: TaggedMode, path: string, above: object[]): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'number':
      return writeNumber(value, mode, path);
    case 'bigint':
      return `{"$bigint":"${value}"}`;
    case 'object':
      return value === null ? 'null' : writeObject(value, mode, path, above);
    default:
      throw refused(path, value === undefined ? 'undefined' : `a ${typeof value}`);
  }
}

function writeNumber(value: number, mode: TaggedMode, path: string): string {
  if (value - value !== 0) {
    if (mode === 'canonical') throw refused(path, String(value));
    return `{"$number":"${value}"}`;
  }
  if (Object.is(value, -0)) return mode === 'canonical' ? '0' : '{"$number":"-0"}';
  return String(value);
}

function writeObject(value: object, mode: TaggedMode, path: string, above: object[]): string {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw refused(path, 'an invalid Date');
    return `{"$date":"${value.toISOString()}"}`;
  }
  if (above.includes(value)) throw refused(path, 'a reference to an object that holds it (circular)');
  if (above.length >= DEPTH_MAX) throw refused(path, `nested deeper than ${DEPTH_MAX} levels`);
  above.push(value);
  const text = Array.isArray(value) ? writeArray(value, mode, path, above) : writeFields(value, mode, path, above);
  above.pop();
  return text;
}

function writeArray(value: readonly unknown[], mode: TaggedMode, path: string, above: object[]): string {
  let text = '[';
  for (let i = 0; i < value.length; i++) {
    if (i > 0) text += ',';
    text += value[i] === undefined ? 'null' : write(value[i], mode, `${path}[${i}]`, above);
  }
  return `${text}]`;
}

function writeFields(value: object, mode: TaggedMode, path: string, above: object[]): string {
  if (!isPlainObject(value)) throw refused(path, `a ${value.constructor?.name ?? 'class instance'}`);
  const keys = Object.keys(value).filter((key) => value[key] !== undefined);
  if (mode === 'canonical') keys.sort();
  const only = keys.length === 1 && keys[0]?.charCodeAt(0) === 36;
  let text = '{';
  for (const key of keys) {
    if (text.length > 1) text += ',';
    text += `${JSON.stringify(only ? `$${key}` : key)}:${write(value[key], mode, `${path}.${key}`, above)}`;
  }
  return `${text}}`;
}

function refused(path: string, found: string): MillraceError {
  return new MillraceError(
    'E_RESULT',
    `${path} is ${found}, which cannot be stored or sent; return a number, string, boolean, bigint, Date, array or plain object`,
  );
}

/** Replaces tags by what they mean, in place. */
function revive(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > DEPTH_MAX) throw new MillraceError('E_DECODE', `a value is nested deeper than ${DEPTH_MAX} levels`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = revive(value[i], depth + 1);
    return value;
  }
  const fields = value as Record<string, unknown>;
  const keys = Object.keys(fields);
  const only = keys[0];
  if (keys.length === 1 && only !== undefined && only.charCodeAt(0) === 36) return reviveTag(only, fields[only], fields, depth);
  for (const key of keys) setField(fields, key, revive(fields[key], depth + 1));
  return fields;
}

function reviveTag(tag: string, told: unknown, fields: Record<string, unknown>, depth: number): unknown {
  if (tag.startsWith('$$')) return { [tag.slice(1)]: revive(told, depth + 1) };
  if (typeof told === 'string') {
    if (tag === '$bigint' && /^(0|-?[1-9][0-9]*)$/.test(told)) return BigInt(told);
    if (tag === '$date' && isIsoDate(told)) return new Date(told);
    if (tag === '$number' && NUMBERS.has(told)) return NUMBERS.get(told);
  }
  fields[tag] = revive(told, depth + 1);
  return fields;
}

const NUMBERS: ReadonlyMap<string, number> = new Map([NaN, Infinity, -Infinity].map((n) => [String(n), n] as const).concat([['-0', -0]]));

function isIsoDate(text: string): boolean {
  const ms = Date.parse(text);
  return !Number.isNaN(ms) && new Date(ms).toISOString() === text;
}

/** A device may send a field named `__proto__`: it must stay a field. */
function setField(fields: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') Object.defineProperty(fields, key, { value, writable: true, enumerable: true, configurable: true });
  else fields[key] = value;
}
