// Rows as people and programs want them: an aligned table, JSON, CSV.

/** Column names, and rows of values in the columns' order. */
export interface Rows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** Wider cells are cut in a table, so that a long JSON value does not push the rest away. Unit: characters. */
const CELL_MAX = 60;

/** The rows in one of the three forms, with a newline at the end. */
export function rowsText(format: string, { columns, rows }: Rows): string {
  if (format === 'json')
    return `${JSON.stringify(rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i] ?? null]))))}\n`;
  if (format === 'csv') return `${[columns, ...rows].map((row) => row.map(csvCell).join(',')).join('\r\n')}\r\n`;
  return tableText(columns, rows);
}

function tableText(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = rows.map((row) => row.map(tableCell));
  const rightAligned = columns.map(
    (_, i) => rows.length > 0 && rows.every((row) => row[i] === null || typeof row[i] === 'number' || typeof row[i] === 'bigint'),
  );
  const widths = columns.map((name, i) => Math.max(widthOf(name), ...cells.map((row) => widthOf(row[i] as string))));
  const lineOf = (row: readonly string[]): string =>
    row
      .map((cell, i) => pad(cell, widths[i] as number, rightAligned[i] === true))
      .join('  ')
      .trimEnd();
  const count = rows.length === 1 ? '1 row' : `${rows.length} rows`;
  return `${[lineOf(columns), widths.map((w) => '─'.repeat(w)).join('  '), ...cells.map(lineOf), `(${count})`].join('\n')}\n`;
}

function tableCell(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  const text = (typeof value === 'object' ? JSON.stringify(value) : String(value)).replaceAll(
    /\p{Cc}/gu,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return text.length > CELL_MAX ? `${text.slice(0, CELL_MAX - 1)}…` : text;
}

/** Code points, not UTF-16 units, so that accents and emoji do not shift the columns. */
function widthOf(text: string): number {
  return [...text].length;
}

function pad(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return right ? space + text : text + space;
}

/** RFC 4180. NULL is an empty cell, an empty text is "". */
function csvCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
