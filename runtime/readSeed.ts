// A seed file as rows: CSV with a column `key`, each cell converted, each mistake named by line and column.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CsvError, parse } from 'csv-parse/sync';
import { MillraceError, messageOf } from '../engine/errors.ts';

export interface SeedRow {
  readonly key: string;
  /** The cells but the key's; empty ones are absent. */
  readonly value: Readonly<Record<string, string | number | boolean>>;
  /** Where the row ends in the file, from 1. */
  readonly line: number;
}

export interface SeedFile {
  readonly rows: readonly SeedRow[];
  /** SHA-256 of the file's bytes: the same content is the same seed. */
  readonly hash: string;
}

/**
 * Reads a seed file. Cells that read as JSON numbers or booleans become that; a whole number too large to be exact stays text.
 *
 * Errors  E_SEED naming file, line and column
 */
export function readSeed(path: string): SeedFile {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new MillraceError('E_SEED', `${path}: ${messageOf(error)}`, { cause: error });
  }
  const [head, ...body] = recordsOf(path, bytes);
  if (head === undefined)
    throw new MillraceError('E_SEED', `${path}: the file is empty; its first line names the columns, one of them 'key'`);
  const keyColumn = checkHead(path, head.cells);
  const lineOfKey = new Map<string, number>();
  const rows = body.map(({ cells, line }): SeedRow => {
    const key = cells[keyColumn] as string;
    if (key === '') throw new MillraceError('E_SEED', `${path}:${line}: column 'key' is empty`);
    const before = lineOfKey.get(key);
    if (before !== undefined) throw new MillraceError('E_SEED', `${path}:${line}: column 'key': '${key}' is in line ${before} already`);
    lineOfKey.set(key, line);
    const fields = head.cells.flatMap((name, i) =>
      i === keyColumn || cells[i] === '' ? [] : [[name, cellValue(cells[i] as string)] as const],
    );
    return { key, value: Object.fromEntries(fields), line };
  });
  return { rows, hash: createHash('sha256').update(bytes).digest('hex') };
}

function recordsOf(path: string, bytes: Buffer): { cells: string[]; line: number }[] {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const records = parse(bytes, { bom: true, info: true, skip_empty_lines: true }) as unknown as {
      record: string[];
      info: { lines: number };
    }[];
    return records.map(({ record, info }) => ({ cells: record, line: info.lines }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw new MillraceError('E_SEED', `${path}: the file is not UTF-8 text`, { cause: error });
    const { lines, column } = error as CsvError & { lines?: number; column?: unknown };
    const where = `${path}:${lines ?? 1}${column === undefined ? '' : `: column ${typeof column === 'number' ? column + 1 : String(column)}`}`;
    throw new MillraceError('E_SEED', `${where}: ${error.message}`, { cause: error });
  }
}

/** The key's place among the columns. */
function checkHead(path: string, columns: readonly string[]): number {
  columns.forEach((name, i) => {
    if (name === '') throw new MillraceError('E_SEED', `${path}:1: column ${i + 1} has no name`);
    if (columns.indexOf(name) !== i) throw new MillraceError('E_SEED', `${path}:1: column '${name}' is there twice`);
  });
  const at = columns.indexOf('key');
  if (at < 0)
    throw new MillraceError('E_SEED', `${path}:1: no column is named 'key'; there are ${columns.map((c) => `'${c}'`).join(', ')}`);
  return at;
}

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function cellValue(cell: string): string | number | boolean {
  if (cell === 'true') return true;
  if (cell === 'false') return false;
  if (!JSON_NUMBER.test(cell)) return cell;
  const n = Number(cell);
  return Number.isFinite(n) && (!Number.isInteger(n) || Number.isSafeInteger(n)) ? n : cell;
}
