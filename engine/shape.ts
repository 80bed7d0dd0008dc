// What a stored row means, and whether a later definition of the step may read it.
import { MillraceError } from './errors.ts';
import type { CellSpec, StoreShape } from './stores.ts';

/** A 32-bit hash of the shape, in every window row: a row can never be read as something it is not. */
export function shapeHash(shape: StoreShape): number {
  const text = JSON.stringify([shape.kind, shape.cells.map((cell) => [cell.name, cell.kind, cell.width, cell.boxes])]);
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/**
 * Refuses a stored shape that the current one cannot take over: cells may come and go, but none may change its meaning.
 *
 * Errors  E_STATE_SHAPE, with the three ways out
 */
export function checkShape(stored: StoreShape, current: StoreShape, stepId: string, store: string): void {
  if (stored.kind !== current.kind)
    throw changed(stepId, store, `stored as ${KINDS[stored.kind] ?? stored.kind}, now ${KINDS[current.kind]}`);
  for (const cell of current.cells) {
    const was = stored.cells.find(({ name }) => name === cell.name);
    if (was === undefined) continue;
    if (was.kind !== cell.kind) throw changed(stepId, store, `'${cell.name}' was stored as ${was.kind} and is ${cell.kind} now`);
    if (was.width !== cell.width || was.boxes !== cell.boxes)
      throw changed(
        stepId,
        store,
        `'${cell.name}' (${cell.kind}) was stored as ${was.width} numbers and ${was.boxes} boxed values and has ${cell.width} and ${cell.boxes} now`,
      );
  }
}

/** The shape of a window store's rows. */
export function windowShape(cells: readonly CellSpec[]): StoreShape {
  return Object.freeze({ kind: 'window', cells: cells.map(({ name, kind, width, boxes }) => Object.freeze({ name, kind, width, boxes })) });
}

const KINDS: Readonly<Record<string, string>> = { keyValue: 'values by key', window: 'windows', timers: 'timers' };

function changed(stepId: string, store: string, what: string): MillraceError {
  return new MillraceError(
    'E_STATE_SHAPE',
    `step '${stepId}', store '${store}': ${what}. Choose one: give the step a new id, and it starts empty beside the old rows; ` +
      `reset step '${stepId}', and its stored rows are dropped; or raise the pipeline's version, and a new one is built from the log beside the old`,
  );
}
