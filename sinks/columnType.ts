// The exact DuckDB types a table's columns may be given: a closed list, so that no type name reaches SQL unchecked.
import { MillraceError } from '../engine/errors.ts';

/** Types without parameters. */
export const SCALAR_TYPES = [
  'BOOLEAN',
  'TINYINT',
  'SMALLINT',
  'INTEGER',
  'BIGINT',
  'HUGEINT',
  'UTINYINT',
  'USMALLINT',
  'UINTEGER',
  'UBIGINT',
  'UHUGEINT',
  'FLOAT',
  'DOUBLE',
  'VARCHAR',
  'JSON',
  'UUID',
  'DATE',
  'TIMESTAMP',
  'TIMESTAMPTZ',
] as const;

/** A type of the closed list; DECIMAL carries its digits apart. */
export type ScalarType = (typeof SCALAR_TYPES)[number] | 'DECIMAL';

/** A column's type, checked. */
export interface ColumnType {
  readonly type: ScalarType;
  /** DECIMAL only: digits in all, 1 to 38. */
  readonly width: number;
  /** DECIMAL only: digits after the point, 0 to width. */
  readonly scale: number;
  /** As SQL. Built from the closed list and whole numbers, never from the caller's text. */
  readonly sql: string;
}

const ALIASES: Readonly<Record<string, ScalarType>> = Object.assign(Object.create(null), {
  BOOL: 'BOOLEAN',
  INT: 'INTEGER',
  REAL: 'FLOAT',
  TEXT: 'VARCHAR',
  STRING: 'VARCHAR',
  'TIMESTAMP WITH TIME ZONE': 'TIMESTAMPTZ',
});

/**
 * Reads a type as the user wrote it: `UTINYINT`, `decimal(10, 2)`.
 *
 * Errors  E_CONFIG when it is not of the list
 */
export function columnType(text: string, where: string): ColumnType {
  const wanted = typeof text === 'string' ? text.trim().toUpperCase().replace(/\s+/g, ' ') : '';
  const decimal = /^(?:DECIMAL|NUMERIC)(?: ?\( ?(\d{1,2}) ?(?:, ?(\d{1,2}) ?)?\))?$/.exec(wanted);
  if (decimal !== null) {
    const width = decimal[1] === undefined ? 18 : Number(decimal[1]);
    const scale = decimal[2] === undefined ? (decimal[1] === undefined ? 3 : 0) : Number(decimal[2]);
    if (width < 1 || width > 38 || scale > width)
      throw new MillraceError('E_CONFIG', `${where}: ${wanted} needs 1 to 38 digits, of which at most all come after the point`);
    return { type: 'DECIMAL', width, scale, sql: `DECIMAL(${width},${scale})` };
  }
  const type = ALIASES[wanted] ?? SCALAR_TYPES.find((known) => known === wanted);
  if (type === undefined)
    throw new MillraceError(
      'E_CONFIG',
      `${where}: '${String(text)}' is not a column type; use ${SCALAR_TYPES.join(', ')} or DECIMAL(width, scale)`,
    );
  return { type, width: 0, scale: 0, sql: type };
}
