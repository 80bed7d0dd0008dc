// Membership where there is one process: all tasks are its own, for ever.
import { assert } from '../engine/errors.ts';
import type { AssignmentListener, Membership } from '../engine/ports.ts';

/** Assigns every partition at once. Nobody ever takes one away, so leaving has nothing to give up. */
export async function joinAlone(pipeline: string, partitions: number, listener: AssignmentListener): Promise<Membership> {
  assert(Number.isInteger(partitions) && partitions > 0, `pipeline '${pipeline}' joins with ${partitions} partitions`);
  await listener.assigned(Array.from({ length: partitions }, (_, partition) => partition));
  return { leave: async () => {} };
}
