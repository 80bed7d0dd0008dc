// What the function in a pipeline file may return: a value, and at once.
import { MillraceError } from '../engine/errors.ts';

/** Whether a value is a promise, or anything else that answers later. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** A promise nobody waits for must not end the process when it fails: the record it belongs to is refused already. */
function settle(promise: PromiseLike<unknown>): void {
  promise.then(undefined, () => undefined);
}

/**
 * Hands the result on unless it is a promise.
 *
 * Errors  E_ASYNC_STEP
 */
export function atOnce<R>(result: R, kind: string): R {
  if (!isPromise(result)) return result;
  settle(result);
  throw new MillraceError(
    'E_ASYNC_STEP',
    `${kind}: the callback returned a promise; make it synchronous, or do the call in a stage of its own that reads and writes a topic`,
  );
}

/**
 * Hands the result on unless it is a promise or nothing: a stream's values are never null.
 *
 * Errors  E_ASYNC_STEP, E_RESULT
 */
export function valueOf<R>(result: R, kind: string): R {
  if (result === undefined || result === null)
    throw new MillraceError(
      'E_RESULT',
      `${kind}: the callback returned ${String(result)}; return a value, or leave records out with filter`,
    );
  return atOnce(result, kind);
}
