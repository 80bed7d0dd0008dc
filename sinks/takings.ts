// What was read since the last commit, and the commit: rows, dead letters and positions in one DuckDB transaction.
import { BIGINT, BLOB, type DuckDBConnection, DuckDBBlobValue, INTEGER, TIMESTAMPTZ, VARCHAR } from '@duckdb/node-api';
import { codeOf, type ErrorCode, MillraceError, messageOf } from '../engine/errors.ts';
import type { RecordBatch } from '../engine/ports.ts';
import { resultCodec } from '../engine/resultCodec.ts';
import type { DeskMetrics } from './deskMetrics.ts';
import { type Position, storePositions, timestamp } from './positions.ts';
import { resultKey } from './resultKey.ts';
import type { TableWriter } from './tableWriter.ts';

/** A record of the log by its place. */
export interface Place {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** What one session hands the next about a flush that failed. */
export interface Trouble {
  /** So many records are flushed one by one, to find the one that DuckDB refuses. */
  carefulRecords: number;
  /** A record DuckDB refused although it fits its columns, known from a flush of that record alone. */
  poison: (Place & { readonly reason: string }) | undefined;
}

/**
 * Reads rows of one topic faster than JSON.parse, as long as they look alike. Must give exactly what resultCodec gives,
 * or undefined; is told then what the codec gave.
 */
export interface RowReader {
  read(bytes: Buffer, start: number, end: number): unknown;
  missed(text: string, value: unknown): void;
}

export interface TakingsOptions {
  readonly connection: DuckDBConnection;
  readonly writers: ReadonlyMap<string, TableWriter>;
  readonly positions: readonly Position[];
  readonly metrics: DeskMetrics;
  readonly nowMs: () => number;
  /** Records per commit at most. */
  readonly rowsMax: number;
  readonly onPoint: ((point: 'desk-in-transaction') => void) | undefined;
  readonly trouble: Trouble;
  /** Makes the reader of a topic. Without it every row is parsed. */
  readonly rowReader: (() => RowReader) | undefined;
}

interface DeadRow {
  readonly position: Position;
  readonly code: ErrorCode;
  readonly reason: string;
  readonly offset: number;
  readonly eventTimeMs: number;
  readonly key: string | null;
  readonly value: Buffer | null;
}

/** Longest reason kept of a dead letter. Unit: characters. */
const REASON_MAX = 2_000;

/** Records on their way into DuckDB. After an error it is void: the session ends and the next one reads them again. */
export class Takings {
  readonly #options: TakingsOptions;
  #dead: DeadRow[] = [];
  #count = 0;
  #last: Place | undefined;
  #committing: Promise<void> | undefined;
  /** One for all rows: the buffer copies what is in it. */
  readonly #origin = { pipeline: '', partition: 0, offset: 0, eventTimeMs: 0, appendTimeMs: 0 };
  readonly #readers = new Map<string, RowReader | undefined>();

  constructor(options: TakingsOptions) {
    this.#options = options;
  }

  /** True when a position moved that DuckDB does not know of. */
  get isDirty(): boolean {
    return this.#options.positions.some((p) => p.nextOffset !== p.writtenOffset);
  }

  /** Takes a batch from the position on, committing whenever enough records have come together. */
  async takeBatch(position: Position, batch: RecordBatch): Promise<void> {
    const { trouble, rowsMax, rowReader } = this.#options;
    const topic = position.desk.topic.name;
    if (!this.#readers.has(topic)) this.#readers.set(topic, rowReader?.());
    const reader = this.#readers.get(topic);
    for (let i = 0; i < batch.count; i++) {
      const offset = batch.baseOffset + (batch.offsetDelta[i] as number);
      if (offset < position.nextOffset) continue;
      this.#take(position, batch, i, offset, reader);
      position.nextOffset = offset + 1;
      position.appendTimeMs = batch.appendTimeMs;
      this.#count++;
      if (this.#count >= (trouble.carefulRecords > 0 ? 1 : rowsMax)) {
        this.#last = { topic, partition: position.partition, offset };
        await this.commit();
      }
    }
    position.nextOffset = Math.max(position.nextOffset, batch.nextOffset);
  }

  /**
   * ① the commit before is known, ② begin, ③ rows of every table, ④ dead letters, ⑤ positions, ⑥ commit, and meanwhile the next
   * records are taken; ⑦ only when it is known is anything counted or believed. What was handed over can be forgotten at ⑥: after
   * a failed commit the session ends, and the next one reads again from what DuckDB holds.
   */
  async commit(): Promise<void> {
    await this.settle();
    if (!this.isDirty) return;
    const { connection, writers, positions, nowMs, onPoint, trouble } = this.#options;
    const startedMs = performance.now();
    const moved = positions.filter((p) => p.nextOffset !== p.writtenOffset);
    try {
      await connection.run('BEGIN');
      for (const writer of writers.values()) await writer.write();
      await writeDead(connection, this.#dead, nowMs());
      await storePositions(connection, moved);
      onPoint?.('desk-in-transaction');
    } catch (error) {
      suspect(trouble, this.#count, this.#last, error);
      throw error;
    }
    const committing = connection.run('COMMIT');
    this.#committing = this.#known(committing, startedMs, moved);
    // Whoever settles hears of a failure; until then it is nobody's.
    this.#committing.catch(() => {});
    for (const { buffer } of writers.values()) buffer.clear();
    for (const position of moved) position.writtenOffset = position.nextOffset;
    this.#dead = [];
    this.#count = 0;
    if (trouble.carefulRecords > 0) await this.settle();
  }

  /** Waits until the commit under way is known. Nothing else may run on the connection before. */
  async settle(): Promise<void> {
    const committing = this.#committing;
    this.#committing = undefined;
    await committing;
  }

  /** What follows from a commit, with what it held at its start. */
  async #known(committing: Promise<unknown>, startedMs: number, moved: readonly Position[]): Promise<void> {
    const { writers, metrics, trouble } = this.#options;
    const count = this.#count;
    const last = this.#last;
    const codes = this.#dead.map(({ code }) => code);
    const rows = [...writers].map(([table, { buffer }]) => [table, buffer.rowCount] as const);
    const offsets = moved.map(({ nextOffset }) => nextOffset);
    try {
      await committing;
    } catch (error) {
      suspect(trouble, count, last, error);
      throw error;
    }
    metrics.flushSeconds.observe((performance.now() - startedMs) / 1000);
    for (const [table, rowCount] of rows) if (rowCount > 0) metrics.rows.inc({ table }, rowCount);
    for (const code of codes) metrics.deadLettered.inc({ code });
    for (const [i, position] of moved.entries()) position.storedOffset = offsets[i] as number;
    trouble.carefulRecords = Math.max(0, trouble.carefulRecords - count);
  }

  #take(position: Position, batch: RecordBatch, i: number, offset: number, reader: RowReader | undefined): void {
    const { desk, partition } = position;
    let key: string | null = null;
    try {
      refusePoison(this.#options.trouble.poison, desk.topic.name, partition, offset);
      const keyStart = batch.keyStart[i] as number;
      if (keyStart >= 0) key = resultKey.decode(batch.bytes, keyStart, batch.keyEnd[i] as number) as string;
      const { buffer } = this.#options.writers.get(desk.table.name) as TableWriter;
      const start = batch.valueStart[i] as number;
      if (start < 0) buffer.remove(key);
      else {
        const origin = this.#origin;
        origin.pipeline = desk.pipeline;
        origin.partition = partition;
        origin.offset = offset;
        origin.eventTimeMs = batch.timeMs[i] as number;
        origin.appendTimeMs = batch.appendTimeMs;
        buffer.add(key, decode(reader, batch.bytes, start, batch.valueEnd[i] as number), origin);
      }
    } catch (error) {
      this.#dead.push(deadRow(position, batch, i, offset, key, error));
    }
  }
}

function decode(reader: RowReader | undefined, bytes: Buffer, start: number, end: number): unknown {
  const read = reader?.read(bytes, start, end);
  if (read !== undefined) return read;
  const value = resultCodec.decode(bytes, start, end);
  reader?.missed(bytes.toString('utf8', start, end), value);
  return value;
}

function refusePoison(poison: Trouble['poison'], topic: string, partition: number, offset: number): void {
  if (poison !== undefined && poison.offset === offset && poison.partition === partition && poison.topic === topic)
    throw new MillraceError('E_COLUMN', poison.reason);
}

function deadRow(position: Position, batch: RecordBatch, i: number, offset: number, key: string | null, error: unknown): DeadRow {
  const start = batch.valueStart[i] as number;
  return {
    position,
    code: error instanceof MillraceError ? codeOf(error) : 'E_COLUMN',
    reason: messageOf(error).slice(0, REASON_MAX),
    offset,
    eventTimeMs: batch.timeMs[i] as number,
    key,
    value: start < 0 ? null : batch.bytes.subarray(start, batch.valueEnd[i] as number),
  };
}

async function writeDead(connection: DuckDBConnection, dead: readonly DeadRow[], atMs: number): Promise<void> {
  if (dead.length === 0) return;
  const insert = await connection.prepare('INSERT INTO _millrace_dead_letters VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)');
  const types = [TIMESTAMPTZ, VARCHAR, VARCHAR, VARCHAR, VARCHAR, VARCHAR, INTEGER, BIGINT, TIMESTAMPTZ, VARCHAR, BLOB];
  for (const { position, code, reason, offset, eventTimeMs, key, value } of dead) {
    const { desk, partition } = position;
    const row = [timestamp(atMs), code, reason, desk.pipeline, desk.table.name, desk.topic.name, partition, BigInt(offset)];
    insert.bind([...row, timestamp(eventTimeMs), key, value === null ? null : new DuckDBBlobValue(value)], types);
    await insert.run();
  }
  insert.destroySync();
}

/** DuckDB's and its JavaScript side's complaints about data, not about the disk or themselves. */
const ABOUT_DATA =
  /^(?:Conversion|Constraint|Invalid Input|Out of Range|Mismatch Type|Binder|Catalog|Parser|Invalid type) Error|out of \w+ range/;

function isAboutData(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || ABOUT_DATA.test(messageOf(error));
}

/**
 * Remembers what to do about a failed commit. Values are checked before they are staged, so DuckDB should never refuse one;
 * if it does all the same, the records are committed one by one, and the one that fails alone goes to the dead letters.
 */
function suspect(trouble: Trouble, count: number, last: Place | undefined, error: unknown): void {
  if (count === 0 || !isAboutData(error)) return;
  if (count === 1 && trouble.carefulRecords > 0 && last !== undefined)
    trouble.poison = { ...last, reason: `DuckDB refused the row: ${messageOf(error)}` };
  trouble.carefulRecords = Math.max(trouble.carefulRecords, count);
}
