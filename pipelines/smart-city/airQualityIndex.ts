// China's air quality index as HJ 633-2012 defines it: a sub-index per pollutant by published breakpoints, the largest counts.
import { type ByPollutant, POLLUTANTS, type Pollutant } from './schemas.ts';

/**
 * HJ 633-2012, Technical Regulation on Ambient Air Quality Index (on trial), Ministry of Environmental Protection, in force from
 * 2016-01-01 to 2026-02-28 and so when these data were measured: table 1. 24-hour means, ozone 8-hour means.
 * https://www.mee.gov.cn/ywgz/fgbz/bz/bzwb/jcffbz/201203/W020120410332725219541.pdf
 * Unit: µg/m³; CO in tenths of mg/m³, the step it is reported in.
 */
const BREAKPOINTS: { readonly [P in Pollutant]: readonly number[] } = {
  so2: [0, 50, 150, 475, 800, 1_600, 2_100, 2_620],
  no2: [0, 40, 80, 180, 280, 565, 750, 940],
  pm10: [0, 50, 150, 250, 350, 420, 500, 600],
  co: [0, 20, 40, 140, 240, 360, 480, 600],
  // The table ends here for 8-hour means: above, the regulation reports the 1-hour sub-index, so 300 is the least it can be.
  o3: [0, 100, 160, 215, 265, 800],
  pm25: [0, 35, 75, 115, 150, 250, 350, 500],
};
const INDEX = [0, 50, 100, 150, 200, 300, 400, 500] as const;

/** HJ 633-2012, table 2: the index up to which a level reaches, and its name. */
const LEVELS = [
  [50, 'excellent'],
  [100, 'good'],
  [150, 'lightly polluted'],
  [200, 'moderately polluted'],
  [300, 'heavily polluted'],
  [Number.POSITIVE_INFINITY, 'severely polluted'],
] as const;

/** Steps in which means are reported, HJ 663-2013: whole µg/m³, CO 0.1 mg/m³. Unit: µg/m³. */
const stepOf = (pollutant: Pollutant): number => (pollutant === 'co' ? 100 : 1);

/**
 * The sub-index of a mean, 0 to 500; null without a mean. HJ 633-2012 names no rounding for the mean, so it is taken as it would be
 * reported (HJ 663-2013; a half goes to the even step, GB/T 8170-2008). The index is rounded up, as the regulation says.
 *
 * Source  HJ 633-2012, formula (1): (I_hi − I_lo) / (BP_hi − BP_lo) × (C − BP_lo) + I_lo
 */
export function subIndex(pollutant: Pollutant, mean: number | null): number | null {
  if (mean === null) return null;
  const steps = halfToEven(mean / stepOf(pollutant));
  const breakpoints = BREAKPOINTS[pollutant];
  const hi = breakpoints.findIndex((breakpoint, i) => i > 0 && steps <= breakpoint);
  if (hi === -1) return INDEX[breakpoints.length - 1] as number;
  const [from, to, low, high] = [breakpoints[hi - 1], breakpoints[hi], INDEX[hi - 1], INDEX[hi]] as [number, number, number, number];
  // Whole numbers until the one division: what is exactly a whole index is not rounded up to the next.
  return low + Math.ceil(((high - low) * (steps - from)) / (to - from));
}

function halfToEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** The index of an hour at a station. */
export interface AirQualityIndex {
  /** null: nothing was measured long enough for a single mean. */
  readonly aqi: number | null;
  readonly level: string | null;
  /** Which pollutants made it, once it is above 50 (HJ 633-2012). */
  readonly primaryPollutant: string | null;
  /** How many of the six pollutants it looks at. */
  readonly pollutants: number;
}

/** The index over the sub-indices there are: the largest. */
export function airQualityIndex(subIndices: ByPollutant): AirQualityIndex {
  const known = POLLUTANTS.filter((pollutant) => subIndices[pollutant] !== null);
  if (known.length === 0) return { aqi: null, level: null, primaryPollutant: null, pollutants: 0 };
  const aqi = Math.max(...known.map((pollutant) => subIndices[pollutant] as number));
  const primaryPollutant = aqi > 50 ? known.filter((pollutant) => subIndices[pollutant] === aqi).join(', ') : null;
  return { aqi, level: (LEVELS.find(([upTo]) => aqi <= upTo) as (typeof LEVELS)[number])[1], primaryPollutant, pollutants: known.length };
}
