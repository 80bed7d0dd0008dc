// Steps that keep state keep it by key, so they need one.
import { MillraceError } from '../engine/errors.ts';
import type { AnyRec } from '../engine/step.ts';

/**
 * The record's key.
 *
 * Errors  E_NULL_KEY when it has none
 */
export function keyOf(record: AnyRec, kind: string): unknown {
  const { key } = record;
  if (key === null || key === undefined)
    throw new MillraceError('E_NULL_KEY', `${kind}: the record has no key; rekey before this step, or give the record a key`);
  return key;
}
