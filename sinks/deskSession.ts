// One life of the open DuckDB file: read the log from where the file says, hand the records on, commit when it is time.
import { type DuckDBConnection, TIMESTAMPTZ } from '@duckdb/node-api';
import type { DeskMetrics } from './deskMetrics.ts';
import { type DeskTable, type LogReader, tableKeepMs } from './deskTable.ts';
import { type Gap, openPositions, type Position, timestamp } from './positions.ts';
import { openTable, type TableWriter } from './tableWriter.ts';
import { Takings, type TakingsOptions } from './takings.ts';

/** Longest wait for new records; the desk hears `stop` this late at worst. Unit: ms. */
const FETCH_WAIT_MS_MAX = 200;
/** Bytes a partition gives at a time: some ten thousand rows. */
const FETCH_BYTES_MAX = 2 << 20;
/** How often a topic that does not exist yet is asked for. Unit: ms. */
const TOPIC_WAIT_MS = 200;
/** Rows are looked through for old ones this often, or ten times per `keep` when that is shorter. Unit: ms. */
const EXPIRE_EVERY_MS = 3_600_000;
/** Dead letters are held as long as results are by default. Unit: ms. */
const DEAD_LETTER_KEEP_MS = 90 * 86_400_000;

export interface SessionOptions extends Omit<TakingsOptions, 'connection' | 'writers' | 'positions'> {
  readonly tables: readonly DeskTable[];
  readonly reader: LogReader;
  readonly tell: (message: string) => void;
  /** Longest time between a record's arrival and its commit. Unit: ms. */
  readonly flushMs: number;
}

/** What the writer watches and steers while a session runs. */
export interface SessionControl {
  /** Set to end the session after the next commit. */
  stopping: boolean;
  /** The tables exist and can be asked. */
  opened(): void;
  /** Everything the log held when the session began is in the tables. */
  caughtUp(): void;
  /** Called after every round. */
  progress(positions: readonly Position[]): void;
}

/**
 * Follows the tables' topics until told to stop. Everything about the file is learned anew at the start, so whatever goes
 * wrong, the next session goes on from what DuckDB says it holds.
 *
 * Errors  whatever DuckDB or the log says; nothing was written then that the stored positions do not know of
 */
export async function runSession(connection: DuckDBConnection, options: SessionOptions, control: SessionControl): Promise<void> {
  const { tables, reader, metrics, tell, nowMs } = options;
  const writers = new Map<string, TableWriter>();
  for (const { table } of tables) if (!writers.has(table.name)) writers.set(table.name, await openTable(connection, table, tell));
  control.opened();
  if (!(await topicsExist(options, control))) return;
  const { positions, gaps } = await openPositions(connection, tables, reader);
  for (const gap of gaps) reportGap(gap, metrics, tell);
  const takings = new Takings({ ...options, connection, writers, positions });
  const targets = await Promise.all(positions.map(({ desk, partition }) => reader.bounds(desk.topic.name, partition)));
  const follow = follower(options, control, positions, takings);
  let isCaughtUp = false;
  let expireAtMs = nowMs();
  try {
    for (;;) {
      await follow(isCaughtUp);
      if (!isCaughtUp && positions.every(({ storedOffset }, i) => storedOffset >= (targets[i]?.endOffset ?? 0))) {
        isCaughtUp = true;
        control.caughtUp();
      }
      control.progress(positions);
      if (control.stopping) return;
      if (nowMs() < expireAtMs) continue;
      await takings.settle();
      expireAtMs = nowMs() + (await expire(connection, tables, writers, nowMs(), metrics));
    }
  } finally {
    // The connection may not be closed under a commit that runs.
    await takings.settle().catch(() => {});
  }
}

/** One round: fetch, take, commit when it is time. Until caught up, a commit follows as soon as the log's end is reached. */
function follower(
  { reader, metrics, flushMs }: SessionOptions,
  control: SessionControl,
  positions: readonly Position[],
  takings: Takings,
): (isCaughtUp: boolean) => Promise<void> {
  let flushAtMs = Number.POSITIVE_INFINITY;
  return async (isCaughtUp) => {
    const waitMs = control.stopping ? 0 : Math.max(0, Math.min(FETCH_WAIT_MS_MAX, flushAtMs - performance.now()));
    const wants = positions.map(({ desk, partition, nextOffset }) => ({ topic: desk.topic.name, partition, offset: nextOffset }));
    const fetched = await reader.fetch(wants, { waitMs, partitionBytesMax: FETCH_BYTES_MAX });
    let isBehind = false;
    for (const [i, { batches, nextOffset, endOffset }] of fetched.entries()) {
      const position = positions[i] as Position;
      for (const batch of batches) await takings.takeBatch(position, batch);
      position.nextOffset = Math.max(position.nextOffset, nextOffset);
      if (position.nextOffset < endOffset) isBehind = true;
    }
    if (!takings.isDirty) flushAtMs = Number.POSITIVE_INFINITY;
    else if (flushAtMs === Number.POSITIVE_INFINITY) flushAtMs = performance.now() + flushMs;
    if (performance.now() >= flushAtMs || control.stopping || (!isCaughtUp && !isBehind)) {
      await takings.commit();
      flushAtMs = Number.POSITIVE_INFINITY;
    }
    // With more to read, the commit and the next round go on side by side.
    if (!isBehind || control.stopping) await takings.settle();
    for (const [i, { endOffset }] of fetched.entries()) report(metrics, positions[i] as Position, endOffset);
  };
}

/** Waits until the line has created the topics. False when it was told to stop first. */
async function topicsExist({ tables, reader }: SessionOptions, control: SessionControl): Promise<boolean> {
  for (;;) {
    const held = new Set((await reader.listTopics()).map(({ name }) => name));
    if (tables.every(({ topic }) => held.has(topic.name))) return true;
    if (control.stopping) return false;
    await new Promise((resolve) => setTimeout(resolve, TOPIC_WAIT_MS));
  }
}

function reportGap({ position, fromOffset, toOffset }: Gap, metrics: DeskMetrics, tell: (message: string) => void): void {
  const { desk, partition } = position;
  metrics.gapRecords.inc({ topic: desk.topic.name, partition }, toOffset - fromOffset);
  tell(
    `E_OFFSET_OUT_OF_RANGE: the log forgot ${desk.topic.name}/${partition} from offset ${fromOffset} to ${toOffset} before table '${desk.table.name}' read it; the gap is in _millrace_gaps`,
  );
}

function report(metrics: DeskMetrics, { desk, partition, storedOffset }: Position, endOffset: number): void {
  const labels = { topic: desk.topic.name, partition };
  metrics.position.set(labels, storedOffset);
  metrics.lag.set(labels, Math.max(0, endOffset - storedOffset));
}

/** Deletes what the tables keep no longer. Answers when to look again. Unit: ms. */
async function expire(
  connection: DuckDBConnection,
  tables: readonly DeskTable[],
  writers: ReadonlyMap<string, TableWriter>,
  nowMs: number,
  metrics: DeskMetrics,
): Promise<number> {
  let againMs = EXPIRE_EVERY_MS;
  await connection.run('BEGIN');
  for (const [name, writer] of writers) {
    const keepMs = Math.max(...tables.filter(({ table }) => table.name === name).map(tableKeepMs));
    if (keepMs === Number.POSITIVE_INFINITY) continue;
    metrics.expired.inc({ table: name }, await writer.expire(nowMs - keepMs));
    againMs = Math.min(againMs, Math.max(1_000, keepMs / 10));
  }
  await connection.run('DELETE FROM _millrace_dead_letters WHERE found_at < $1', [timestamp(nowMs - DEAD_LETTER_KEEP_MS)], [TIMESTAMPTZ]);
  await connection.run('COMMIT');
  return againMs;
}
