// How a JavaScript value becomes a value of a DuckDB column, exactly or not at all.
import {
  BIGINT,
  BOOLEAN,
  DATE,
  DECIMAL,
  DOUBLE,
  type DuckDBType,
  type DuckDBValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBUUIDValue,
  FLOAT,
  HUGEINT,
  INTEGER,
  SMALLINT,
  TIMESTAMP,
  TIMESTAMPTZ,
  TINYINT,
  UBIGINT,
  UHUGEINT,
  UINTEGER,
  USMALLINT,
  UTINYINT,
  UUID,
  VARCHAR,
} from '@duckdb/node-api';
import type { ColumnType, ScalarType } from './columnType.ts';

/** What {@link ColumnFit.fit} answers when the value does not belong into the column. */
export const MISFIT: unique symbol = Symbol('misfit');

/** A column's way in: values are handed over in the type `stage`, which DuckDB casts to the column's where they differ. */
export interface ColumnFit {
  readonly stage: DuckDBType;
  /** The value to stage, or MISFIT. Never called with null or undefined. */
  readonly fit: (value: unknown) => DuckDBValue | typeof MISFIT;
}

const DAY_MS = 86_400_000;
/** The range of a JavaScript Date, which lies inside DuckDB's. Unit: ms. */
export const TIME_MS_MAX = 8.64e15;
/** A point in time that names its zone, so that it means the same everywhere. */
const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/;
const ISO_DATE = /^\d{4}-\d\d-\d\d$/;
const UUID_TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function integer(stage: DuckDBType, min: number, max: number): ColumnFit {
  return {
    stage,
    fit: (value) => {
      const n = typeof value === 'bigint' && value >= BigInt(min) && value <= BigInt(max) ? Number(value) : value;
      return typeof n === 'number' && Number.isInteger(n) && n >= min && n <= max ? n : MISFIT;
    },
  };
}

function bigInteger(stage: DuckDBType, min: bigint, max: bigint): ColumnFit {
  return {
    stage,
    fit: (value) => {
      const n = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value;
      return typeof n === 'bigint' && n >= min && n <= max ? n : MISFIT;
    },
  };
}

function floating(stage: DuckDBType): ColumnFit {
  return {
    stage,
    fit: (value) => {
      if (typeof value === 'number') return value;
      return typeof value === 'bigint' && BigInt(Number(value)) === value ? Number(value) : MISFIT;
    },
  };
}

/** FLOAT has 24 bits: a finite number beyond its range would become infinite. */
const float: ColumnFit = {
  stage: FLOAT,
  fit: (value) => (typeof value === 'number' && (Number.isFinite(Math.fround(value)) || !Number.isFinite(value)) ? value : MISFIT),
};

/** V8 takes 31 February for 2 March; we do not. NaN when there is no such day. */
function dayMs(text: string): number {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text ? Number.NaN : ms;
}

function timeOf(value: unknown): number | typeof MISFIT {
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) <= TIME_MS_MAX ? value : MISFIT;
  if (value instanceof Date) return timeOf(value.getTime());
  const isTime = typeof value === 'string' && ISO_TIME.test(value) && !Number.isNaN(dayMs(value.slice(0, 10)));
  return isTime ? timeOf(Date.parse(value)) : MISFIT;
}

const date: ColumnFit = {
  stage: DATE,
  fit: (value) => {
    const ms = value instanceof Date ? value.getTime() : typeof value === 'string' && ISO_DATE.test(value) ? dayMs(value) : Number.NaN;
    return Number.isNaN(ms) ? MISFIT : new DuckDBDateValue(Math.floor(ms / DAY_MS));
  },
};

/** Rounds to `scale` digits as decimal text does, and refuses what needs more digits than there are. */
function decimal({ width, scale }: ColumnType): ColumnFit {
  const limit = 10n ** BigInt(width);
  return {
    stage: DECIMAL(width, scale),
    fit: (value) => {
      let scaled: bigint;
      if (typeof value === 'bigint') scaled = value * 10n ** BigInt(scale);
      else if (typeof value === 'number' && Math.abs(value) < 1e21) scaled = BigInt(value.toFixed(scale).replace('.', ''));
      else return MISFIT;
      return scaled > -limit && scaled < limit ? new DuckDBDecimalValue(scaled, width, scale) : MISFIT;
    },
  };
}

/** JSON has no bigint, Date, NaN or Infinity of its own: they become text inside it. */
function jsonText(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === 'bigint') return inner.toString();
    return typeof inner === 'number' && !Number.isFinite(inner) ? String(inner) : inner;
  });
}

const FITS: Readonly<Record<Exclude<ScalarType, 'DECIMAL' | 'TIMESTAMP' | 'TIMESTAMPTZ'>, ColumnFit>> = {
  BOOLEAN: { stage: BOOLEAN, fit: (value) => (typeof value === 'boolean' ? value : MISFIT) },
  TINYINT: integer(TINYINT, -128, 127),
  SMALLINT: integer(SMALLINT, -32_768, 32_767),
  INTEGER: integer(INTEGER, -2_147_483_648, 2_147_483_647),
  UTINYINT: integer(UTINYINT, 0, 255),
  USMALLINT: integer(USMALLINT, 0, 65_535),
  UINTEGER: integer(UINTEGER, 0, 4_294_967_295),
  BIGINT: bigInteger(BIGINT, -(2n ** 63n), 2n ** 63n - 1n),
  UBIGINT: bigInteger(UBIGINT, 0n, 2n ** 64n - 1n),
  HUGEINT: bigInteger(HUGEINT, -(2n ** 127n), 2n ** 127n - 1n),
  UHUGEINT: bigInteger(UHUGEINT, 0n, 2n ** 128n - 1n),
  FLOAT: float,
  DOUBLE: floating(DOUBLE),
  VARCHAR: { stage: VARCHAR, fit: (value) => (typeof value === 'string' ? value : MISFIT) },
  JSON: { stage: VARCHAR, fit: jsonText },
  UUID: {
    stage: UUID,
    fit: (value) =>
      typeof value === 'string' && UUID_TEXT.test(value) ? DuckDBUUIDValue.fromUint128(BigInt(`0x${value.replaceAll('-', '')}`)) : MISFIT,
  },
  DATE: date,
};

/** Offsets are staged as DOUBLE too: they are whole, far below 2^53, and a bigint for each costs more than the cast. */
export const offsetFit: ColumnFit = { stage: DOUBLE, fit: floating(DOUBLE).fit };

/**
 * Times become objects with a bigint inside, which cost more than the rest of a row together; but windows, commits and
 * bursts give many rows of one table the same times, so the last one is kept.
 */
function time<T extends DuckDBTimestampValue | DuckDBTimestampTZValue>(stage: DuckDBType, make: (micros: bigint) => T): ColumnFit {
  let lastMs = Number.NaN;
  let last = make(0n);
  return {
    stage,
    fit: (value) => {
      const ms = timeOf(value);
      if (ms === MISFIT || ms === lastMs) return ms === MISFIT ? MISFIT : last;
      lastMs = ms;
      last = make(BigInt(ms) * 1_000n);
      return last;
    },
  };
}

/** The way into a column of this type. One for each column: it may remember values. */
export function columnFit(type: ColumnType): ColumnFit {
  switch (type.type) {
    case 'DECIMAL':
      return decimal(type);
    case 'TIMESTAMP':
      return time(TIMESTAMP, (micros) => new DuckDBTimestampValue(micros));
    case 'TIMESTAMPTZ':
      return time(TIMESTAMPTZ, (micros) => new DuckDBTimestampTZValue(micros));
    default:
      return FITS[type.type];
  }
}

/** The type a column gets from the first value seen in it. */
export function typeFromValue(value: unknown): Exclude<ScalarType, 'DECIMAL'> {
  switch (typeof value) {
    case 'number':
      return 'DOUBLE';
    case 'bigint':
      return 'BIGINT';
    case 'boolean':
      return 'BOOLEAN';
    case 'string':
      return 'VARCHAR';
    default:
      return value instanceof Date ? 'TIMESTAMPTZ' : 'JSON';
  }
}
