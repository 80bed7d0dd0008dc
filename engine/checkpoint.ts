// What a task needs, beside its state rows, to go on exactly where a commit left it.
import { MillraceError } from './errors.ts';
import type { StoreShape } from './stores.ts';

/** The time of one segment. null stands for -Infinity: nothing said yet. Unit: epoch ms. */
export interface SegmentSnapshot {
  /** The stream and rekey topics the segment reads. */
  readonly reads: readonly string[];
  readonly timeMs: number | null;
  readonly targetMs: number | null;
  readonly ownTimeMs: number | null;
  /** By rekey input, by upstream task: the last mark. `idle` holds nobody up. */
  readonly marks: Readonly<Record<string, readonly (number | 'idle' | null)[]>>;
  /** By rekey step: the last mark this task sent. */
  readonly sent: Readonly<Record<string, number | 'idle' | null>>;
}

/** Plain JSON. Taken at every cut; committed with the outputs; applied at opening and after an abort. */
export interface Checkpoint {
  readonly format: 1;
  readonly version: number;
  readonly partitions: number;
  /** By `topic/partition`: the next offset to read. */
  readonly positions: Readonly<Record<string, number>>;
  readonly segments: readonly SegmentSnapshot[];
  /** Records taken since the last journal entry of a task with one input. */
  readonly sinceJournal: number;
  readonly shapes: Readonly<Record<string, StoreShape & { readonly step: string; readonly meaning: string }>>;
}

/** The bytes of a checkpoint, as the log keeps them. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  return Buffer.from(JSON.stringify(checkpoint), 'utf8');
}

/** Errors: E_CORRUPT when the bytes are no checkpoint of ours. */
export function decodeCheckpoint(bytes: Uint8Array, where: string): Checkpoint {
  try {
    const parsed = JSON.parse(Buffer.from(bytes).toString('utf8')) as Checkpoint;
    if (parsed.format === 1) return parsed;
  } catch (cause) {
    throw new MillraceError('E_CORRUPT', `the checkpoint of ${where} cannot be read`, { cause });
  }
  throw new MillraceError('E_CORRUPT', `the checkpoint of ${where} has a format this version does not know`);
}

const toTime = (t: number | null): number => t ?? Number.NEGATIVE_INFINITY;
const fromTime = (t: number): number | null => (t === Number.NEGATIVE_INFINITY ? null : t);
/** Stream times in a checkpoint: JSON has no -Infinity, so "none yet" is written as null. */
export const time = { read: toTime, write: fromTime };
