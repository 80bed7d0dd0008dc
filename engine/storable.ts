// Values that a store can keep: found out when they are set, where the record that brought them can still be blamed.
import { MillraceError } from './errors.ts';
import { isPlainObject } from './taggedJson.ts';

/** Less than any codec of ours goes down. Unit: levels. */
const DEPTH_MAX = 400;

/**
 * Refuses what cannot be written: at the next commit there would be no record to blame any more, and the worker would
 * stop there again after every restart. What it lets pass, msgpack() can write.
 *
 * Errors  E_RESULT naming the path: undefined, function, symbol, class instance (but Date and Uint8Array), circular
 */
export function checkStorable(value: unknown, path: string): void {
  if (typeof value === 'object' && value !== null) checkObject(value, path, 0);
  else if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
    throw refused(path, value === undefined ? 'undefined' : `a ${typeof value}`);
}

/** The value as a dead letter can show it, whatever it is: bytes as base64, and in words what has no other form. */
export function legible(value: unknown, depth = 0): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') return `(${typeof value})`;
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? '(invalid Date)' : value;
  if (depth >= DEPTH_MAX) return '(nested too deep)';
  if (Array.isArray(value)) return value.map((one) => legible(one, depth + 1));
  if (!isPlainObject(value)) return `(${value.constructor?.name ?? 'class instance'})`;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, legible(field, depth + 1)]));
}

/** Freezes the value and all it holds. Bytes cannot be frozen. */
export function freezeDeep(value: unknown): void {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const field of Object.values(value)) freezeDeep(field);
}

function checkObject(value: object, path: string, depth: number): void {
  if (depth >= DEPTH_MAX) throw refused(path.slice(0, 100), `nested deeper than ${DEPTH_MAX} levels, or contains itself`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) checkField(value[i], path, i, depth);
    return;
  }
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === Object.prototype || prototype === null) {
    for (const name in value) checkField((value as Record<string, unknown>)[name], path, name, depth);
  } else if (!(value instanceof Date || value instanceof Uint8Array))
    throw refused(path, `a ${prototype.constructor?.name ?? 'class instance'}`);
}

/** The path is only written out when something is wrong, or one level further down. */
function checkField(field: unknown, path: string, name: string | number, depth: number): void {
  switch (typeof field) {
    case 'object':
      if (field !== null) checkObject(field, pathOf(path, name), depth + 1);
      return;
    case 'function':
    case 'symbol':
      throw refused(pathOf(path, name), `a ${typeof field}`);
  }
}

function pathOf(path: string, name: string | number): string {
  return typeof name === 'number' ? `${path}[${name}]` : `${path}.${name}`;
}

function refused(path: string, found: string): MillraceError {
  return new MillraceError(
    'E_RESULT',
    `${path} is ${found}, which cannot be kept in a store; keep numbers, text, booleans, bigints, Dates, Uint8Arrays, arrays and plain objects`,
  );
}
