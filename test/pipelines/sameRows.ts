// Compares a table's rows with the oracle's: the same identities, and every field equal, numbers to 1e-9.
import { expect } from 'vitest';
import type { OracleRow } from './smartCityOracle.ts';

const MEANS = ['so2', 'no2', 'pm10', 'co', 'o3', 'pm25'];

/** The windowed tables: hours of the window, the fields to compare, and how many rows all 75 days make. */
export const WINDOWED = [
  { table: 'air_8h', hours: 8, fields: ['district', 'area', 'readings', ...MEANS], rows: 10_834 },
  { table: 'air_24h', hours: 24, fields: ['district', 'area', 'readings', ...MEANS], rows: 10_938 },
  { table: 'district_8h', hours: 8, fields: ['stations', ...MEANS], rows: 10_834 },
  { table: 'district_24h', hours: 24, fields: ['stations', ...MEANS], rows: 10_938 },
  { table: 'area_24h', hours: 24, fields: ['stations', ...MEANS], rows: 5_469 },
  { table: 'air_index', hours: 1, fields: ['district', ...MEANS, 'aqi', 'level', 'primaryPollutant', 'pollutants'], rows: 10_938 },
] as const;

/** Fails with the rows that differ, are missing or too many. `identity` must tell the rows of one side apart. */
export function expectSameRows(
  got: readonly OracleRow[],
  wanted: readonly OracleRow[],
  identity: (row: OracleRow) => string,
  fields: readonly string[],
): void {
  const [gotBy, wantedBy] = [got, wanted].map((rows) => new Map(rows.map((row) => [identity(row), row]))) as [
    Map<string, OracleRow>,
    Map<string, OracleRow>,
  ];
  expect([...gotBy.keys()].sort()).toEqual([...wantedBy.keys()].sort());
  expect([gotBy.size, wantedBy.size]).toEqual([got.length, wanted.length]);
  const differences = [...wantedBy].flatMap(([id, row]) =>
    fields.flatMap((field) => {
      const [a, b] = [gotBy.get(id)?.[field] ?? null, row[field] ?? null];
      const same = typeof a === 'number' && typeof b === 'number' ? Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b)) : a === b;
      return same ? [] : [`${id}, ${field}: pipeline ${a}, oracle ${b}`];
    }),
  );
  expect(differences).toEqual([]);
}
