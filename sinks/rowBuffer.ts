// The rows of one table between two flushes: columns of staged values, one slot per identity, the last offset wins.
import type { DuckDBValue } from '@duckdb/node-api';
import { MillraceError } from '../engine/errors.ts';
import type { TableSpec } from '../engine/topic.ts';
import { type ColumnFit, columnFit, MISFIT, offsetFit, typeFromValue } from './columnFit.ts';
import { type ColumnType, columnType } from './columnType.ts';
import { foldName } from './quoteName.ts';
import { isSystemColumn, LEADING_COLUMNS, PIPELINE_COLUMN, TRAILING_COLUMNS } from './systemColumns.ts';

/** A device that sends ever new field names must not widen the table for ever. */
const COLUMNS_MAX = 1_000;
const NAME_LENGTH_MAX = 200;

/** A column of the table and the values staged for it. `values` has a null in every free slot. */
export interface BufferColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly fit: ColumnFit;
  /** Most columns are, and every number fits: no need to ask. */
  readonly isDouble: boolean;
  readonly values: DuckDBValue[];
}

/** Where a row comes from. */
export interface RowOrigin {
  readonly pipeline: string;
  readonly partition: number;
  readonly offset: number;
  readonly eventTimeMs: number;
  readonly appendTimeMs: number;
}

/**
 * Takes result rows until the next flush.
 *
 * Identity  windowed value: (key, window start) · mode 'upsert': (key) · else, and in mode 'append', none
 * Errors    E_COLUMN, E_NULL_VALUE for a row that cannot be taken; the buffer is as it was
 */
export class RowBuffer {
  rowCount = 0;
  /** Keys whose rows in the table go, before the buffered ones come. */
  readonly gone = new Set<string | null>();
  /** True once a buffered or stored row had a window. */
  windowed = false;
  readonly #spec: TableSpec;
  /** Slots of every column. Grows with the rows, so that a quiet table stays small. */
  #capacity = 64;
  readonly #columns = new Map<string, BufferColumn>();
  readonly #key: BufferColumn;
  readonly #windowStart: BufferColumn;
  readonly #windowEnd: BufferColumn;
  readonly #pipeline: BufferColumn | undefined;
  readonly #trailing: readonly BufferColumn[];
  readonly #slots = new Map<string, number>();
  readonly #identities: (string | undefined)[] = [];
  /** The columns of the last row's fields in their order: the next row most likely has the same. */
  #order: (BufferColumn | undefined)[] = [];
  #orderFields: string[] = [];
  /** Columns the row at hand brought that its table does not have yet. */
  #fresh: string[] = [];

  constructor(spec: TableSpec, hasPipeline: boolean) {
    this.#spec = spec;
    this.#key = this.#column('key', LEADING_COLUMNS.key);
    this.#windowStart = this.#column('window_start', LEADING_COLUMNS.window_start);
    this.#windowEnd = this.#column('window_end', LEADING_COLUMNS.window_end);
    this.#pipeline = hasPipeline ? this.#column(PIPELINE_COLUMN, 'VARCHAR') : undefined;
    this.#trailing = Object.entries(TRAILING_COLUMNS).map(([name, type]) =>
      this.#column(name, type, name === '_offset' ? offsetFit : undefined),
    );
    for (const [field, type] of Object.entries(spec.columns)) this.addColumn(field, type);
  }

  /** The value's columns, in the order they were met. */
  get fields(): readonly BufferColumn[] {
    return [...this.#columns.values()];
  }

  /** All columns in the table's order. */
  get columns(): readonly BufferColumn[] {
    const window = this.windowed ? [this.#windowStart, this.#windowEnd] : [];
    const pipeline = this.#pipeline === undefined ? [] : [this.#pipeline];
    return [this.#key, ...window, ...pipeline, ...this.#columns.values(), ...this.#trailing];
  }

  /** A column the table has, or is to have. */
  addColumn(name: string, type: string): void {
    this.#columns.set(foldName(name), this.#column(name, type));
    this.#order = [];
    this.#orderFields = [];
  }

  /** Takes a row. */
  add(key: string | null, value: unknown, origin: RowOrigin): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Date)
      throw new MillraceError('E_COLUMN', `table '${this.#spec.name}': a row must be an object with fields, got ${sayWhat(value)}`);
    const row = value as Record<string, unknown>;
    const slot = this.rowCount;
    if (slot === this.#capacity) this.#grow();
    const hasWindow = typeof row.startMs === 'number' && typeof row.endMs === 'number';
    try {
      if (hasWindow) this.#setWindow(row.startMs as number, row.endMs as number, slot);
      this.#setFields(row, hasWindow, slot);
    } catch (error) {
      this.#forget(slot);
      throw error;
    }
    this.#fresh.length = 0;
    this.#key.values[slot] = key;
    if (this.#pipeline !== undefined) this.#pipeline.values[slot] = origin.pipeline;
    const [partition, offset, eventTime, appendTime] = this.#trailing as [BufferColumn, BufferColumn, BufferColumn, BufferColumn];
    partition.values[slot] = origin.partition;
    offset.values[slot] = origin.offset;
    eventTime.values[slot] = this.#time(eventTime, origin.eventTimeMs);
    appendTime.values[slot] = this.#time(appendTime, origin.appendTimeMs);
    if (hasWindow) this.windowed = true;
    this.#place(this.#identityOf(key, hasWindow ? (row.startMs as number) : undefined), slot);
  }

  /** Takes a deletion: every row of the key goes, the buffered ones and those in the table. */
  remove(key: string | null): void {
    if (this.#spec.mode === 'append')
      throw new MillraceError(
        'E_NULL_VALUE',
        `table '${this.#spec.name}' is append-only: a record without a value has nothing to delete there`,
      );
    for (let slot = this.rowCount - 1; slot >= 0; slot--) if (this.#key.values[slot] === key) this.#dropSlot(slot);
    this.gone.add(key);
  }

  /** Empties the buffer; the columns stay. */
  clear(): void {
    for (const { values } of this.#all()) values.fill(null, 0, this.rowCount);
    this.#slots.clear();
    this.#identities.length = 0;
    this.gone.clear();
    this.rowCount = 0;
  }

  #column(name: string, type: string, offset?: ColumnFit): BufferColumn {
    const checked = columnType(type, `table '${this.#spec.name}', column '${name}'`);
    const fit = offset ?? columnFit(checked);
    return { name, type: checked, fit, isDouble: checked.type === 'DOUBLE', values: new Array<DuckDBValue>(this.#capacity).fill(null) };
  }

  #grow(): void {
    for (const { values } of this.#all()) for (let i = 0; i < this.#capacity; i++) values.push(null);
    this.#capacity *= 2;
  }

  #all(): readonly BufferColumn[] {
    return [
      this.#key,
      this.#windowStart,
      this.#windowEnd,
      ...(this.#pipeline ? [this.#pipeline] : []),
      ...this.#columns.values(),
      ...this.#trailing,
    ];
  }

  #setWindow(startMs: number, endMs: number, slot: number): void {
    this.#windowStart.values[slot] = this.#time(this.#windowStart, startMs);
    this.#windowEnd.values[slot] = this.#time(this.#windowEnd, endMs);
  }

  #time({ name, fit }: BufferColumn, ms: number): DuckDBValue {
    const staged = fit.fit(ms);
    if (staged !== MISFIT) return staged;
    throw new MillraceError(
      'E_COLUMN',
      `table '${this.#spec.name}': ${name} ${ms} is no time; startMs, endMs and event times are whole epoch milliseconds`,
    );
  }

  #setFields(row: Record<string, unknown>, hasWindow: boolean, slot: number): void {
    let i = 0;
    for (const field in row) {
      const value = row[field];
      if (value === null || value === undefined) continue;
      if (hasWindow && (field === 'startMs' || field === 'endMs')) continue;
      let column = this.#order[i];
      if (column === undefined || this.#orderFields[i] !== field) {
        column = this.#columnOf(field, value);
        this.#order[i] = column;
        this.#orderFields[i] = field;
      }
      i++;
      const staged = column.isDouble && typeof value === 'number' ? value : column.fit.fit(value);
      if (staged === MISFIT) throw this.#misfit(column, field, value);
      if (column.values[slot] !== null)
        throw new MillraceError(
          'E_COLUMN',
          `table '${this.#spec.name}': the fields '${field}' and '${column.name}' differ in case only, and are one column to DuckDB`,
        );
      column.values[slot] = staged;
    }
  }

  /** The column of a field, made from its first value when the table has none. */
  #columnOf(field: string, value: unknown): BufferColumn {
    const folded = foldName(field);
    const known = this.#columns.get(folded);
    if (known !== undefined) return known;
    const where = `table '${this.#spec.name}': field '${field.slice(0, NAME_LENGTH_MAX)}'`;
    if (isSystemColumn(field, this.#spec.name))
      throw new MillraceError('E_COLUMN', `${where} has the name of one of our columns; map it to another`);
    if (field === '' || field.length > NAME_LENGTH_MAX || field.includes('\0'))
      throw new MillraceError(
        'E_COLUMN',
        `${where} cannot be a column: its name is empty, longer than ${NAME_LENGTH_MAX} characters or holds a NUL`,
      );
    if (this.#columns.size >= COLUMNS_MAX)
      throw new MillraceError(
        'E_COLUMN',
        `${where} would be column ${COLUMNS_MAX + 1}; put fields that vary into one object, which becomes JSON`,
      );
    const column = this.#column(field, typeFromValue(value));
    this.#columns.set(folded, column);
    this.#fresh.push(folded);
    return column;
  }

  #misfit(column: BufferColumn, field: string, value: unknown): MillraceError {
    return new MillraceError(
      'E_COLUMN',
      `table '${this.#spec.name}': field '${field}' is ${sayWhat(value)}, its column is ${column.type.sql}`,
    );
  }

  /** Undoes a row that failed, and the columns it would have brought. */
  #forget(slot: number): void {
    for (const folded of this.#fresh) this.#columns.delete(folded);
    this.#fresh.length = 0;
    this.#order = [];
    this.#orderFields = [];
    this.#free(slot);
  }

  #identityOf(key: string | null, startMs: number | undefined): string | undefined {
    if (this.#spec.mode === 'append') return undefined;
    if (startMs === undefined && this.#spec.mode !== 'upsert') return undefined;
    return key === null ? `${startMs ?? ''}n` : `${startMs ?? ''}k${key}`;
  }

  /** Keeps the row just written: in the slot of the row it replaces, or where it is. */
  #place(identity: string | undefined, slot: number): void {
    const older = identity === undefined ? undefined : this.#slots.get(identity);
    if (older !== undefined) {
      this.#move(slot, older);
      return;
    }
    this.#identities[slot] = identity;
    if (identity !== undefined) this.#slots.set(identity, slot);
    this.rowCount++;
  }

  #move(from: number, to: number): void {
    for (const { values } of this.#all()) {
      values[to] = values[from] as DuckDBValue;
      values[from] = null;
    }
  }

  #free(slot: number): void {
    for (const { values } of this.#all()) values[slot] = null;
  }

  /** Takes a row out; the last one fills its place, for order inside a flush means nothing. */
  #dropSlot(slot: number): void {
    const last = --this.rowCount;
    const dropped = this.#identities[slot];
    if (dropped !== undefined) this.#slots.delete(dropped);
    if (slot === last) this.#free(slot);
    else {
      this.#move(last, slot);
      const moved = this.#identities[last];
      this.#identities[slot] = moved;
      if (moved !== undefined) this.#slots.set(moved, slot);
    }
    this.#identities.length = last;
  }
}

function sayWhat(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Date) return 'a Date';
  if (typeof value === 'object') return 'an object';
  const text = String(value);
  return `the ${typeof value} ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}
