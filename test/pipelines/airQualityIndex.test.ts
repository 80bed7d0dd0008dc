// HJ 633-2012 by its own tables: every breakpoint, the roundings, the levels; and what the plausibility check lets through.
import { assert, constantFrom, double, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { airQualityIndex, subIndex } from '../../pipelines/smart-city/airQualityIndex.ts';
import { judge } from '../../pipelines/smart-city/plausible.ts';
import { POLLUTANTS } from '../../pipelines/smart-city/schemas.ts';

const none = { so2: null, no2: null, pm10: null, co: null, o3: null, pm25: null };

describe('sub-index', () => {
  // Table 1, the concentrations at which the index is 50, 100, 150, 200, 300, 400, 500. Unit: µg/m³.
  test.each([
    ['so2', [50, 150, 475, 800, 1_600, 2_100, 2_620]],
    ['no2', [40, 80, 180, 280, 565, 750, 940]],
    ['pm10', [50, 150, 250, 350, 420, 500, 600]],
    ['co', [2_000, 4_000, 14_000, 24_000, 36_000, 48_000, 60_000]],
    ['o3', [100, 160, 215, 265, 800]],
    ['pm25', [35, 75, 115, 150, 250, 350, 500]],
  ] as const)('%s at its breakpoints', (pollutant, concentrations) => {
    expect(concentrations.map((c) => subIndex(pollutant, c))).toEqual([50, 100, 150, 200, 300, 400, 500].slice(0, concentrations.length));
    expect(subIndex(pollutant, 0)).toBe(0);
  });

  test.each([
    ['pm25', 36, 52, 'rounded up: 50 + 50 / 40 = 51.25'],
    ['pm25', 35.4, 50, 'the mean is rounded first'],
    ['pm25', 35.5, 52, 'a half to the even 36'],
    ['pm25', 34.5, 49, 'a half to the even 34: 48.57'],
    ['pm25', 39, 55, 'exactly 55 stays 55'],
    ['pm25', 900, 500, 'the index ends at 500'],
    ['o3', 900, 300, 'the 8-hour table ends at 300'],
    ['co', 2_050, 50, 'CO in steps of 0.1 mg/m³: 2.05 is 2.0'],
    ['co', 2_151, 55, '2.2 mg/m³: 50 + 50 × 0.2 / 2'],
    ['pm25', null, null, 'no mean, no index'],
  ] as const)('%s %s is %s: %s', (pollutant, mean, index, _why) => {
    expect(subIndex(pollutant, mean)).toBe(index);
  });

  test('never falls as the concentration rises, always a whole number', () => {
    assert(
      property(
        constantFrom(...POLLUTANTS),
        double({ min: 0, max: 3_000, noNaN: true }),
        double({ min: 0, max: 3_000, noNaN: true }),
        (p, a, b) => {
          const [low, high] = [subIndex(p, Math.min(a, b)) as number, subIndex(p, Math.max(a, b)) as number];
          return Number.isInteger(low) && Number.isInteger(high) && low <= high && high <= 500;
        },
      ),
    );
  });
});

describe('index', () => {
  test.each([
    [{ pm25: 50 }, 50, 'excellent', null, 1],
    [{ pm25: 51, o3: 20 }, 51, 'good', 'pm25', 2],
    [{ pm25: 100 }, 100, 'good', 'pm25', 1],
    [{ o3: 101, pm25: 101 }, 101, 'lightly polluted', 'o3, pm25', 2],
    [{ no2: 151 }, 151, 'moderately polluted', 'no2', 1],
    [{ co: 201 }, 201, 'heavily polluted', 'co', 1],
    [{ pm10: 301, pm25: 300 }, 301, 'severely polluted', 'pm10', 2],
    [{}, null, null, null, 0],
  ])('%j', (indices, aqi, level, primaryPollutant, pollutants) => {
    expect(airQualityIndex({ ...none, ...indices })).toEqual({ aqi, level, primaryPollutant, pollutants });
  });
});

describe('plausible', () => {
  test('keeps what can be, also zero and a PM2.5 as large as PM10', () => {
    expect(judge({ pm25: 20, pm10: 20, so2: 0, o3: 1_070 })).toEqual({
      plausible: { ...none, pm25: 20, pm10: 20, so2: 0, o3: 1_070 },
      rejected: [],
    });
    expect(judge({ co: null })).toEqual({ plausible: none, rejected: [] });
  });

  test('takes out what cannot, and says why', () => {
    expect(judge({ pm25: 21, pm10: 20, so2: -1, no2: 1_030, co: 62_500, o3: 1_071 })).toEqual({
      plausible: none,
      rejected: [
        { pollutant: 'so2', value: -1, reason: 'below zero' },
        { pollutant: 'no2', value: 1_030, reason: 'off the scale' },
        { pollutant: 'pm10', value: 20, reason: 'PM2.5 above PM10' },
        { pollutant: 'co', value: 62_500, reason: 'off the scale' },
        { pollutant: 'o3', value: 1_071, reason: 'off the scale' },
        { pollutant: 'pm25', value: 21, reason: 'PM2.5 above PM10' },
      ],
    });
  });
});
