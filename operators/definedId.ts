// Ids name stored state, so a wrong one is refused where it is written.
import { MillraceError } from '../engine/errors.ts';
import { ID } from '../engine/pipeline.ts';

/** Longest id: it becomes part of topic names. */
const LENGTH_MAX = 60;

/**
 * The id of a step that names something durable.
 *
 * Errors  E_PIPELINE unless it is kebab-case and at most 60 characters
 */
export function definedId(kind: string, id: string): string {
  if (typeof id !== 'string' || !ID.test(id) || id.length > LENGTH_MAX)
    throw new MillraceError(
      'E_PIPELINE',
      `${kind}: the id ${typeof id === 'string' ? `'${id}'` : `is a ${typeof id} and`} must be kebab-case text of at most ${LENGTH_MAX} characters, e.g. ${kind}('by-district', …)`,
    );
  return id;
}

/**
 * The callback a step was given.
 *
 * Errors  E_PIPELINE when it is not a function
 */
export function definedCallback<F>(kind: string, callback: F): F {
  if (typeof callback !== 'function') throw new MillraceError('E_PIPELINE', `${kind}: expects a function, got ${typeof callback}`);
  return callback;
}
