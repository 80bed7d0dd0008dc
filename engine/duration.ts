// People write durations; the engine counts milliseconds.
import { MillraceError } from './errors.ts';

/** A length of time as people write it. Fields add up. Unit: as named. */
export interface Duration {
  readonly days?: number;
  readonly hours?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly ms?: number;
}

const UNITS: Readonly<Record<string, number>> = { days: 86_400_000, hours: 3_600_000, minutes: 60_000, seconds: 1_000, ms: 1 };

/**
 * The duration in whole milliseconds.
 *
 * Errors  E_CONFIG when it is negative, not finite, not whole, or has a unit we do not know
 */
export function durationMs(duration: Duration, what = 'duration'): number {
  let total = 0;
  for (const [unit, amount] of Object.entries(duration) as [string, unknown][]) {
    const size = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
    if (size === undefined) throw new MillraceError('E_CONFIG', `${what}: unknown unit '${unit}'; use days, hours, minutes, seconds or ms`);
    if (typeof amount !== 'number' || !Number.isFinite(amount) || amount < 0)
      throw new MillraceError('E_CONFIG', `${what}: ${unit} must be a number of 0 or more, got ${String(amount)}`);
    total += amount * size;
  }
  if (!Number.isSafeInteger(total)) throw new MillraceError('E_CONFIG', `${what}: ${total} ms is not a whole number of milliseconds`);
  return total;
}

/** Milliseconds as people would write them: `1d 2h`, `90s` as `1m 30s`, `250ms`. */
export function formatMs(ms: number): string {
  if (!Number.isFinite(ms)) return String(ms);
  const parts: string[] = [];
  let rest = ms;
  for (const [size, unit] of [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'm'],
    [1_000, 's'],
    [1, 'ms'],
  ] as const) {
    const n = Math.floor(rest / size);
    if (n > 0) parts.push(`${n}${unit}`);
    rest -= n * size;
  }
  return parts.length === 0 ? '0ms' : parts.join(' ');
}
