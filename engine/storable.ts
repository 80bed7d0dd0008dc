// Values that a store can keep: found out when they are set, where the record that brought them can still be blamed.
import { MillraceError } from './errors.ts';

/** Less than any codec of ours goes down. Unit: levels. */
const DEPTH_MAX = 500;

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
