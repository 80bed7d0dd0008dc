// hopping: windows that overlap.
import type { Duration } from '../engine/duration.ts';
import { type WindowOptions, type Windowing, windowing } from './windowing.ts';

/**
 * Windows of one size, one starting every `advance`, aligned to the epoch; the first ones start at 0, none before.
 * Start inclusive, end exclusive. A record falls into about size / advance of them.
 *
 * Errors  E_PIPELINE, E_CONFIG for a size, advance (0 < advance ≤ size), grace or option that cannot be
 * Source  Kafka Streams TimeWindows.advanceBy
 */
export function hopping(size: Duration, advance: Duration, options: WindowOptions = {}): Windowing {
  return windowing('hopping', size, advance, options);
}
