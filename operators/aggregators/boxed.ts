// What first and last share: one value of any type, kept with the event time it was seen at.
import { checkStorable } from '../../engine/storable.ts';
import { atOnce } from '../callbackResult.ts';
import { type Aggregator, aggregator, BadObservation } from './aggregator.ts';

/** The value, or null in place of "none" when the callback may return undefined or null. */
export type ValueOrNull<R> = undefined extends R ? NonNullable<R> | null : null extends R ? NonNullable<R> | null : R;

/** An aggregator that keeps one value: the one for which `replaces(its time, time of the one held)` says so. */
export function boxed<V, R>(
  kind: string,
  of: (value: V) => R,
  replaces: (timeMs: number, heldMs: number) => boolean,
): Aggregator<V, ValueOrNull<R>> {
  return aggregator<V, ValueOrNull<R>>({
    kind,
    width: 1,
    boxes: 1,
    // NaN: nothing is held yet.
    init(numbers, i, boxes, k) {
      numbers[i] = Number.NaN;
      boxes[k] = undefined;
    },
    add(numbers, i, boxes, k, value, timeMs) {
      const held = numbers[i] as number;
      const found = storable(of(value), kind);
      if (found === undefined || found === null || (held === held && !replaces(timeMs, held))) return;
      numbers[i] = timeMs;
      boxes[k] = found;
    },
    merge(numbers, i, boxes, k, from, j, fromBoxes, l) {
      const held = numbers[i] as number;
      const timeMs = from[j] as number;
      if (timeMs !== timeMs || (held === held && !replaces(timeMs, held))) return;
      numbers[i] = timeMs;
      boxes[k] = fromBoxes[l];
    },
    result: (numbers, i, boxes, k) => (numbers[i] === numbers[i] ? boxes[k] : null) as ValueOrNull<R>,
  });
}

/** Found out here, where the record can still be blamed; at the next commit it would stop the worker. */
function storable(value: unknown, kind: string): unknown {
  if (typeof value === 'number' && value - value !== 0)
    throw new BadObservation(`${kind} needs a finite number, or undefined for a gap, and its callback returned ${value}`);
  if (value !== undefined) checkStorable(atOnce(value, kind), `the value of ${kind}`);
  return value;
}
