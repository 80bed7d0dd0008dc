// What an aggregator is: a few cells of a window's row, and how values go in and a result comes out.
import { MillraceError } from '../../engine/errors.ts';
import { atOnce } from '../callbackResult.ts';

/**
 * Folds the values of one window into `width` numbers and `boxes` other values, which the engine stores.
 * `i` is the index of its first number, `k` of its first box. It keeps nothing itself: one aggregator serves all windows.
 */
export interface Aggregator<in V, out R> {
  /** What it computes, e.g. `mean`: part of the stored shape. */
  readonly kind: string;
  readonly width: number;
  readonly boxes: number;
  /** Fills the cells of a window that has seen nothing. */
  readonly init: (numbers: Float64Array, i: number, boxes: unknown[], k: number) => void;
  /** Takes one value in. Must throw before it changes a cell, or not at all. */
  readonly add: (numbers: Float64Array, i: number, boxes: unknown[], k: number, value: V, timeMs: number) => void;
  /** Takes in what another row has seen, as if its values had come after this row's. */
  readonly merge: (
    numbers: Float64Array,
    i: number,
    boxes: unknown[],
    k: number,
    from: Float64Array,
    j: number,
    fromBoxes: unknown[],
    l: number,
  ) => void;
  readonly result: (numbers: Float64Array, i: number, boxes: unknown[], k: number) => R;
}

/** A number, or null when the callback may leave the window without an observation. */
export type NumberOf<N> = [N] extends [number] ? number : number | null;

/** A value that cannot be observed. The aggregate step adds its own name and the field's. */
export class BadObservation extends Error {}

/** Makes an aggregator: all share one hidden class, so that the step's loop over them stays fast. */
export function aggregator<V, R>(parts: Aggregator<V, R>): Aggregator<V, R> {
  const { kind, width, boxes, init, add, merge, result } = parts;
  return Object.freeze({ kind, width, boxes, init, add, merge, result });
}

/** The callback of an aggregator. Errors: E_PIPELINE when it is not a function. */
export function definedOf<F>(kind: string, of: F): F {
  if (typeof of !== 'function')
    throw new MillraceError('E_PIPELINE', `${kind}: expects a function of the value, e.g. ${kind}((r) => r.pm25)`);
  return of;
}

/**
 * The observation as a finite number; NaN stands for none.
 * undefined and null are gaps in the data and are skipped, so that a sensor's silence does not poison a mean;
 * NaN and infinities are computed nonsense, and are refused.
 */
export function observed(value: unknown, kind: string): number {
  if (typeof value === 'number' && value - value === 0) return value;
  if (value === undefined || value === null) return Number.NaN;
  atOnce(value, kind);
  throw new BadObservation(`${kind} needs a finite number, or undefined for a gap, and its callback returned ${shown(value)}`);
}

/** A value for a message: numbers as they are, of everything else only the type. */
function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : `a ${typeof value}`;
}

/** Refuses a sum that has left the range of numbers, before it is stored. */
export function inRange(sum: number, kind: string): number {
  if (sum - sum !== 0) throw new BadObservation(`${kind} left the range of numbers (±1.8e308)`);
  return sum;
}
