// Which measurements cannot be: each pollutant is judged by itself, so one bad analyser does not cost the others' hour.
import { type ByPollutant, POLLUTANTS, type Pollutant } from './schemas.ts';

/**
 * Full scale of the analysers; a value there is an instrument at its stop, not a concentration. Unit: µg/m³.
 *
 * Source  HJ 653-2013 (particles: 0 to 1,000 µg/m³), HJ 654-2013 (SO2, NO2, O3: 0 to 500 nmol/mol, CO: 0 to 50 µmol/mol), the
 *         gases as mass at 273 K and 101.325 kPa, the state GB 3095-2012 counts in: molar mass / 22.414 l. The data set knows it:
 *         in August 2013 Dongsi's ozone stood at 1,071 for a day.
 */
const FULL_SCALE: { readonly [P in Pollutant]: number } = {
  pm25: 1_000,
  pm10: 1_000,
  so2: 500 * (64.066 / 22.414),
  no2: 500 * (46.006 / 22.414),
  o3: 500 * (47.998 / 22.414),
  co: 50_000 * (28.01 / 22.414),
};

/** A measurement that was not believed. */
export interface Rejection {
  readonly pollutant: Pollutant;
  readonly value: number;
  readonly reason: string;
}

/** What a reading holds once the impossible is taken out of it, and what that was. */
export interface Judged {
  readonly plausible: ByPollutant;
  readonly rejected: readonly Rejection[];
}

/**
 * Takes values below zero and off the scale out, and both particle values where PM2.5 is above PM10: the fine particles are a part
 * of the coarse (GB 3095-2012, 3.3 and 3.4), so one of the two is wrong, and nothing tells which.
 */
export function judge(reading: { readonly [P in Pollutant]?: number | null | undefined }): Judged {
  const plausible: Record<Pollutant, number | null> = { so2: null, no2: null, pm10: null, co: null, o3: null, pm25: null };
  const rejected: Rejection[] = [];
  const inverted = typeof reading.pm25 === 'number' && typeof reading.pm10 === 'number' && reading.pm25 > reading.pm10;
  for (const pollutant of POLLUTANTS) {
    const value = reading[pollutant];
    if (value === undefined || value === null) continue;
    if (value < 0) rejected.push({ pollutant, value, reason: 'below zero' });
    else if (value >= FULL_SCALE[pollutant]) rejected.push({ pollutant, value, reason: 'off the scale' });
    else if (inverted && (pollutant === 'pm25' || pollutant === 'pm10')) rejected.push({ pollutant, value, reason: 'PM2.5 above PM10' });
    else plausible[pollutant] = value;
  }
  return { plausible, rejected };
}
