// How far each partition has been read, kept in DuckDB beside the rows: the one truth about what the tables hold.
import { type DuckDBConnection, TIMESTAMPTZ, DuckDBTimestampTZValue, VARCHAR, INTEGER, BIGINT } from '@duckdb/node-api';
import { MillraceError } from '../engine/errors.ts';
import type { Bounds } from '../engine/ports.ts';
import type { DeskTable, LogReader } from './deskTable.ts';

/** A partition and how far it has been read. */
export interface Position {
  readonly desk: DeskTable;
  readonly partition: number;
  /** Offset of the first record not yet taken. */
  nextOffset: number;
  /** When the log took the last batch that was read: it tells this log from another. Unit: epoch ms, undefined at first. */
  appendTimeMs: number | undefined;
  /** What the last transaction wrote, which may not be committed yet. */
  writtenOffset: number;
  /** What DuckDB holds for certain. */
  storedOffset: number;
}

/** Records that the log forgot before the desk read them. */
export interface Gap {
  readonly position: Position;
  readonly fromOffset: number;
  readonly toOffset: number;
}

/**
 * Reads the stored positions of these tables, adds the missing ones at the log's start, and checks all against the log.
 *
 * Errors  E_LOG_WENT_BACK when DuckDB has read what the log does not hold
 */
export async function openPositions(
  connection: DuckDBConnection,
  tables: readonly DeskTable[],
  reader: LogReader,
): Promise<{ readonly positions: readonly Position[]; readonly gaps: readonly Gap[] }> {
  const stored = await storedPositions(connection);
  const positions: Position[] = [];
  const gaps: Gap[] = [];
  await connection.run('BEGIN');
  for (const desk of tables)
    for (let partition = 0; partition < desk.topic.partitions; partition++) {
      const bounds = await reader.bounds(desk.topic.name, partition);
      const known = stored.get(`${desk.topic.name}/${partition}`);
      const nextOffset = known?.nextOffset ?? bounds.startOffset;
      const position: Position = {
        desk,
        partition,
        nextOffset,
        appendTimeMs: known?.appendTimeMs,
        writtenOffset: nextOffset,
        storedOffset: nextOffset,
      };
      positions.push(position);
      if (known === undefined) await insertPosition(connection, position);
      else {
        await checkSameLog(reader, position, bounds);
        if (nextOffset < bounds.startOffset) gaps.push(await leap(connection, position, bounds));
      }
    }
  await connection.run('COMMIT');
  return { positions, gaps };
}

/** Writes the positions that moved, inside the open transaction. */
export async function storePositions(connection: DuckDBConnection, positions: readonly Position[]): Promise<void> {
  for (const { desk, partition, nextOffset, writtenOffset, appendTimeMs } of positions) {
    if (nextOffset === writtenOffset) continue;
    const done = await connection.run(
      'UPDATE _millrace_positions SET next_offset = $1, append_time = $2 WHERE topic = $3 AND "partition" = $4 AND next_offset = $5',
      [BigInt(nextOffset), timestamp(appendTimeMs), desk.topic.name, partition, BigInt(writtenOffset)],
      [BIGINT, TIMESTAMPTZ, VARCHAR, INTEGER, BIGINT],
    );
    if (done.rowsChanged !== 1)
      throw new MillraceError(
        'E_ASSERT',
        `the stored position of ${desk.topic.name}/${partition} is not ${writtenOffset}; somebody else writes the file`,
      );
  }
}

/** Epoch ms as DuckDB takes it in a parameter. */
export function timestamp(ms: number | undefined): DuckDBTimestampTZValue | null {
  return ms === undefined ? null : new DuckDBTimestampTZValue(BigInt(ms) * 1000n);
}

async function storedPositions(
  connection: DuckDBConnection,
): Promise<Map<string, { nextOffset: number; appendTimeMs: number | undefined }>> {
  const rows = await connection.runAndReadAll('SELECT topic, "partition", next_offset, epoch_ms(append_time) FROM _millrace_positions');
  return new Map(
    rows
      .getRows()
      .map(([topic, partition, next, time]) => [
        `${String(topic)}/${String(partition)}`,
        { nextOffset: Number(next), appendTimeMs: time === null ? undefined : Number(time) },
      ]),
  );
}

async function insertPosition(connection: DuckDBConnection, { desk, partition, nextOffset }: Position): Promise<void> {
  await connection.run(
    'INSERT INTO _millrace_positions VALUES ($1, $2, $3, $4, NULL)',
    [desk.topic.name, partition, desk.table.name, BigInt(nextOffset)],
    [VARCHAR, INTEGER, VARCHAR, BIGINT],
  );
}

/** The log went back when it ends before the position, or when the last record read came in at another time than we saw. */
async function checkSameLog(reader: LogReader, { desk, partition, nextOffset, appendTimeMs }: Position, bounds: Bounds): Promise<void> {
  const topic = desk.topic.name;
  if (nextOffset > bounds.endOffset)
    throw new MillraceError(
      'E_LOG_WENT_BACK',
      `the tables have read ${topic}/${partition} up to offset ${nextOffset}, the log ends at ${bounds.endOffset}`,
    );
  const last = nextOffset - 1;
  if (appendTimeMs === undefined || last < bounds.startOffset) return;
  const [fetched] = await reader.fetch([{ topic, partition, offset: last }], { waitMs: 0, partitionBytesMax: 1 });
  const batch = fetched?.batches.find(({ baseOffset, nextOffset: end }) => baseOffset <= last && last < end);
  if (batch !== undefined && batch.appendTimeMs !== appendTimeMs)
    throw new MillraceError(
      'E_LOG_WENT_BACK',
      `offset ${last} of ${topic}/${partition} came in at ${new Date(batch.appendTimeMs).toISOString()}, the tables hold one of ${new Date(appendTimeMs).toISOString()}`,
    );
}

/**
 * Goes on at the log's start when it forgot records that were never read, and writes down which. What a compacted topic forgot
 * was replaced by later records, so its table's rows go and come again from there.
 */
async function leap(connection: DuckDBConnection, position: Position, bounds: Bounds): Promise<Gap> {
  const { desk, partition, nextOffset: fromOffset } = position;
  await connection.run(
    'INSERT INTO _millrace_gaps VALUES ($1, $2, $3, $4, $5, now())',
    [desk.topic.name, partition, desk.table.name, BigInt(fromOffset), BigInt(bounds.startOffset)],
    [VARCHAR, INTEGER, VARCHAR, BIGINT, BIGINT],
  );
  if (desk.topic.cleanup === 'compact')
    await connection.run(`DELETE FROM "${desk.table.name}" WHERE _partition = $1`, [partition], [INTEGER]);
  position.nextOffset = bounds.startOffset;
  position.appendTimeMs = undefined;
  await storePositions(connection, [position]);
  position.writtenOffset = position.storedOffset = position.nextOffset;
  return { position, fromOffset, toOffset: bounds.startOffset };
}
