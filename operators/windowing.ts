// Which windows a record falls into: fixed size, start every `advanceMs`, aligned to the epoch.
import { type Duration, durationMs, formatMs } from '../engine/duration.ts';
import { MillraceError } from '../engine/errors.ts';

/** The window of a result: [startMs, endMs). Unit: epoch ms. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
}

/** How long windows wait for late records, and when they speak. */
export interface WindowOptions {
  /** How long after its end a window still takes records. Default: none. */
  readonly grace?: Duration;
  /** `final` (the default): one result when the window closes. `updates`: a result for every record, as Kafka Streams does. */
  readonly emit?: 'final' | 'updates';
}

/** Windows of one size, as a plain value: see `tumbling` and `hopping`. */
export interface Windowing {
  readonly kind: 'tumbling' | 'hopping';
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;
  readonly emit: 'final' | 'updates';
  /** For people: `tumbling 5m, grace 30s`. */
  readonly describe: string;
}

/** More open windows per record than this is a mistake in the advance, not a wish. */
const OVERLAP_MAX = 10_000;
const OPTIONS = ['grace', 'emit'];

/** Checks and makes a windowing. Errors: E_PIPELINE, E_CONFIG. */
export function windowing(kind: Windowing['kind'], size: Duration, advance: Duration, options: WindowOptions): Windowing {
  for (const name of Object.keys(options))
    if (!OPTIONS.includes(name))
      throw new MillraceError('E_PIPELINE', `${kind}: unknown option '${name}'; there are ${OPTIONS.join(', ')}`);
  const { grace, emit = 'final' } = options;
  const sizeMs = durationMs(size, `${kind}: size`);
  const advanceMs = durationMs(advance, `${kind}: advance`);
  const graceMs = grace === undefined ? 0 : durationMs(grace, `${kind}: grace`);
  if (sizeMs === 0) throw new MillraceError('E_PIPELINE', `${kind}: the size must be longer than nothing`);
  if (advanceMs === 0 || advanceMs > sizeMs)
    throw new MillraceError(
      'E_PIPELINE',
      `${kind}: the advance must be between 1 ms and the size (${formatMs(sizeMs)}), got ${formatMs(advanceMs)}`,
    );
  if (sizeMs / advanceMs > OVERLAP_MAX)
    throw new MillraceError(
      'E_PIPELINE',
      `${kind}: every record would fall into ${Math.ceil(sizeMs / advanceMs)} windows; at most ${OVERLAP_MAX} are allowed`,
    );
  if (emit !== 'final' && emit !== 'updates')
    throw new MillraceError('E_PIPELINE', `${kind}: emit must be 'final' or 'updates', got '${String(emit)}'`);
  const every = kind === 'hopping' ? ` every ${formatMs(advanceMs)}` : '';
  const describe = `${kind} ${formatMs(sizeMs)}${every}${graceMs > 0 ? `, grace ${formatMs(graceMs)}` : ''}${emit === 'updates' ? ', every update' : ''}`;
  return Object.freeze({ kind, sizeMs, advanceMs, graceMs, emit, describe });
}

/** Start of the earliest window that holds timeMs; the others follow every advanceMs up to timeMs. Never negative. */
export function firstStartMs({ sizeMs, advanceMs }: Pick<Windowing, 'sizeMs' | 'advanceMs'>, timeMs: number): number {
  const earliest = Math.max(0, timeMs - sizeMs + advanceMs);
  return earliest - (earliest % advanceMs);
}
