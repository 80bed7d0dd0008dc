// tumbling: windows side by side.
import type { Duration } from '../engine/duration.ts';
import { type WindowOptions, type Windowing, windowing } from './windowing.ts';

/**
 * Windows of one size that follow each other without gap or overlap, aligned to the epoch: [0, size), [size, 2 × size)…
 * Start inclusive, end exclusive. A record falls into exactly one.
 *
 * Errors  E_PIPELINE, E_CONFIG for a size, grace or option that cannot be
 * Source  Kafka Streams TimeWindows.ofSizeAndGrace
 */
export function tumbling(size: Duration, options: WindowOptions = {}): Windowing {
  return windowing('tumbling', size, size, options);
}
