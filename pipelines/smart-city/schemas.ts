// What a station publishes, and what the city knows about a station.
import { z } from 'zod';

/** Hourly mean. Absent or null: not measured. Unit: µg/m³. */
const concentration = z.number().nullish();

export const AirReading = z.object({
  /** The hour, as its beginning. */
  at: z.iso.datetime(),
  pm25: concentration,
  pm10: concentration,
  so2: concentration,
  no2: concentration,
  co: concentration,
  o3: concentration,
});

export const Station = z.object({
  name: z.string(),
  /** The administrative district it stands in. */
  district: z.string(),
  /** One of the five areas by which the city's monitoring centre reports: core, northwest, northeast, southeast, southwest. */
  area: z.string(),
  lat: z.number(),
  lon: z.number(),
});

/** The six pollutants that China's air quality index looks at, in the order of its own table. */
export const POLLUTANTS = ['so2', 'no2', 'pm10', 'co', 'o3', 'pm25'] as const;
export type Pollutant = (typeof POLLUTANTS)[number];

/** A number for each pollutant; null where there is none. */
export type ByPollutant = { readonly [P in Pollutant]: number | null };
