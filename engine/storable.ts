// Values that a store can keep: found out when they are set, where the record that brought them can still be blamed.
import { MillraceError } from './errors.ts';

/** Unit: levels. */
const DEPTH_MAX = 500;

/**
 * Refuses what no codec can write: it would stop the worker at the next commit, and again after every restart.
 *
 * Errors  E_RESULT naming the path: undefined, function, symbol, promise, Map, Set, class instance, circular
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
  if (value instanceof Uint8Array || value instanceof Date) return;
  if (value instanceof Promise) throw refused(path, 'a promise');
  if (depth >= DEPTH_MAX) throw refused(path.slice(0, 200), `nested deeper than ${DEPTH_MAX} levels, or circular`);
  const isArray = Array.isArray(value);
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!isArray && prototype !== Object.prototype && prototype !== null)
    throw refused(path, `an object of class ${(prototype as object).constructor.name}`);
  const fields = value as Record<string, unknown>;
  for (const key in fields) {
    const field = fields[key];
    switch (typeof field) {
      case 'object':
        if (field !== null) checkObject(field, isArray ? `${path}[${key}]` : `${path}.${key}`, depth + 1);
        break;
      case 'function':
      case 'symbol':
        throw refused(isArray ? `${path}[${key}]` : `${path}.${key}`, `a ${typeof field}`);
    }
  }
}

function refused(path: string, found: string): MillraceError {
  return new MillraceError(
    'E_RESULT',
    `${path} is ${found}, which cannot be kept in a store; keep numbers, text, booleans, bigints, dates, bytes, arrays and plain objects`,
  );
}
