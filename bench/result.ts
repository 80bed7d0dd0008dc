// What a bench hands to bench/run.ts.

/** One figure of a bench: the median, and every run it is the median of. */
export interface Figure {
  readonly value: number;
  readonly unit: string;
  /** What the figure should reach: at least this, or at most this when `better` is `lower`. */
  readonly target?: number;
  /** Default: lower for times and sizes (`µs|us a record`, `bytes a window`), higher for rates (`records/s`). */
  readonly better?: 'higher' | 'lower';
  readonly runs?: readonly number[];
}

/** The result of a bench, as it is committed under bench/results/. */
export interface BenchResult {
  readonly name: string;
  readonly figures: Readonly<Record<string, Figure>>;
  readonly notes?: string;
}

/** The median; of an even number of values the lower one of the middle two, so that it is a value that was measured. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted[Math.ceil(sorted.length / 2) - 1];
  if (middle === undefined) throw new RangeError('median: needs at least one value');
  return middle;
}

/** A figure out of several runs of the same measurement. */
export function figure(runs: readonly number[], unit: string, target?: number): Figure {
  return { value: median(runs), unit, ...(target === undefined ? {} : { target }), runs };
}

/** Which way a figure gets better. */
export function betterOf({ better, unit }: Figure): 'higher' | 'lower' {
  return better ?? (!unit.includes('/s') && /^(?:ns|µs|us|us|ms|s|B|bytes|kB|MB|KiB|MiB)\b/.test(unit) ? 'lower' : 'higher');
}

/** Whether a figure reaches its target; undefined when it has none. */
export function reached(figure: Figure): boolean | undefined {
  const { value, target } = figure;
  if (target === undefined) return undefined;
  return betterOf(figure) === 'lower' ? value <= target : value >= target;
}
