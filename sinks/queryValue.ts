// DuckDB values as JSON values: a number where a double holds it exactly, ISO text for times, text for what is left.
import {
  DuckDBArrayValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBType,
  DuckDBUnionValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import { TIME_MS_MAX } from './columnFit.ts';

/** A double holds this many decimal digits exactly. */
const EXACT_DIGITS = 15;

/**
 * The value as JSON can say it.
 *
 * Numbers  whole ones within ±(2^53 - 1) and decimals of up to 15 digits are numbers, longer ones text; NaN and infinities text
 * Times    TIMESTAMPTZ ISO with Z, TIMESTAMP ISO without, DATE `YYYY-MM-DD`      JSON  as the value it holds
 */
export function jsonValue(value: DuckDBValue, type?: DuckDBType): unknown {
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'string':
      return type?.alias === 'JSON' ? parsed(value) : value;
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return wholeNumber(value);
    default:
      return value === null ? null : objectValue(value);
  }
}

/** The column's type as people know it. */
export function typeName(type: DuckDBType): string {
  return type.alias ?? (type.toString() === 'TIMESTAMP WITH TIME ZONE' ? 'TIMESTAMPTZ' : type.toString());
}

function objectValue(value: object): unknown {
  if (value instanceof DuckDBTimestampTZValue) return isoTime(value.micros, 'Z') ?? value.toString();
  if (value instanceof DuckDBTimestampValue) return isoTime(value.micros, '') ?? value.toString();
  if (value instanceof DuckDBTimestampMillisecondsValue) return isoTime(value.millis * 1_000n, '') ?? value.toString();
  if (value instanceof DuckDBTimestampSecondsValue) return isoTime(value.seconds * 1_000_000n, '') ?? value.toString();
  if (value instanceof DuckDBTimestampNanosecondsValue) return value.toString().replace(' ', 'T');
  if (value instanceof DuckDBDateValue) return value.toString();
  if (value instanceof DuckDBDecimalValue) return decimalNumber(value);
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map((item) => jsonValue(item));
  if (value instanceof DuckDBStructValue)
    return Object.fromEntries(Object.entries(value.entries).map(([name, inner]) => [name, jsonValue(inner)]));
  if (value instanceof DuckDBMapValue) return value.entries.map((entry) => ({ key: jsonValue(entry.key), value: jsonValue(entry.value) }));
  if (value instanceof DuckDBUnionValue) return jsonValue(value.value);
  return String(value);
}

function wholeNumber(value: bigint): number | string {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}

function decimalNumber(value: DuckDBDecimalValue): number | string {
  const digits = (value.value < 0n ? -value.value : value.value).toString().length;
  return digits <= EXACT_DIGITS ? Number(value.toString()) : value.toString();
}

/** ISO text, with microseconds only where there are some. Undefined for infinity and what a Date cannot hold. */
function isoTime(micros: bigint, zone: string): string | undefined {
  const whole = micros / 1_000n;
  const rest = micros % 1_000n;
  const ms = Number(rest < 0n ? whole - 1n : whole);
  if (Math.abs(ms) > TIME_MS_MAX) return undefined;
  const text = new Date(ms).toISOString().slice(0, -1);
  return `${text}${rest === 0n ? '' : String(rest < 0n ? rest + 1_000n : rest).padStart(3, '0')}${zone}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
