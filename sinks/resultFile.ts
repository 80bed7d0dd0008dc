// results.duckdb: created so that no crash can leave half a file, opened with its limits, put aside when it cannot be read.
import { access, constants, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { MillraceError, messageOf } from '../engine/errors.ts';

/** Changes when the internal tables do; a file of another format is put aside and rebuilt from the log. */
const FORMAT = '1';

export interface ResultFileOptions {
  /** Absolute path of the DuckDB file. */
  readonly path: string;
  /** What DuckDB may hold in memory; beyond it spills to disk beside the file. Unit: MiB. */
  readonly memoryMaxMib: number;
  readonly threads: number;
  readonly spillMaxMib: number;
  /** Takes what people should know. */
  readonly tell: (message: string) => void;
}

/** An open file. One instance per process, however many connections: a second instance would see another database. */
export interface ResultFile {
  /** A connection that lives as long as the file is open. */
  connect(): Promise<DuckDBConnection>;
  /** A connection for one piece of work. Closing the file interrupts the work and waits for it. */
  lend<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T>;
  /** Closes every connection, then the file. A clean close leaves no .wal behind. */
  close(): Promise<void>;
}

/** A query may take up its interrupt late; it is told again. Unit: ms. */
const INTERRUPT_AGAIN_MS = 50;

/** The tables of ours in every result file. */
const INTERNAL_TABLES = [
  'CREATE TABLE _millrace_meta (name VARCHAR, value VARCHAR)',
  `INSERT INTO _millrace_meta VALUES ('format', '${FORMAT}')`,
  'CREATE TABLE _millrace_tables (name VARCHAR, mode VARCHAR)',
  'CREATE TABLE _millrace_positions (topic VARCHAR, "partition" INTEGER, table_name VARCHAR, next_offset BIGINT, append_time TIMESTAMPTZ)',
  'CREATE TABLE _millrace_gaps (topic VARCHAR, "partition" INTEGER, table_name VARCHAR, from_offset BIGINT, to_offset BIGINT, found_at TIMESTAMPTZ)',
  `CREATE TABLE _millrace_dead_letters (found_at TIMESTAMPTZ, code VARCHAR, reason VARCHAR, pipeline VARCHAR, table_name VARCHAR, topic VARCHAR,
    "partition" INTEGER, "offset" BIGINT, event_time TIMESTAMPTZ, key VARCHAR, raw_value BLOB)`,
];

/**
 * Opens the file, or makes a new one where there is none or none that can be read.
 *
 * Errors  E_LOCKED when another program has it open · E_CONFIG when it may not be read or written
 */
export async function openResultFile(options: ResultFileOptions): Promise<ResultFile> {
  const { path, tell } = options;
  await removeUnfinished(path);
  if (!(await mayUse(path))) await createResultFile(options);
  try {
    return await openChecked(options);
  } catch (error) {
    const problem = problemOf(error, path);
    if (problem !== undefined) throw problem;
    const aside = await quarantine(path);
    tell(
      `${basename(path)} cannot be used (${firstLine(error)}); it was put aside as ${basename(aside)}, and the tables are rebuilt from the log`,
    );
  }
  await createResultFile(options);
  return openChecked(options);
}

/** Puts the file and its .wal aside under a name that says when. Nothing is deleted. Answers the new path. */
export async function quarantine(path: string): Promise<string> {
  const stamp = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const aside = `${path}.quarantine-${stamp}`;
  // The .wal first: a database file without it is older but whole, the other way round it is neither.
  for (const suffix of ['.wal', ''])
    await rename(path + suffix, aside + suffix).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  return aside;
}

/** The name a file has until it is whole. */
const unfinished = (path: string): string => `${path}.new`;

async function removeUnfinished(path: string): Promise<void> {
  for (const suffix of ['', '.wal']) await rm(unfinished(path) + suffix, { force: true });
}

/** False when there is no file yet. Errors: E_CONFIG when it is not ours to write. */
async function mayUse(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new MillraceError('E_CONFIG', `${path} cannot be read and written: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * A kill while DuckDB creates a file can leave one it never opens again. So: ① make it under another name, ② checkpoint,
 * ③ close, ④ no .wal may be left, ⑤ flush, ⑥ put aside an old .wal, ⑦ rename, ⑧ flush the folder.
 */
async function createResultFile(options: ResultFileOptions): Promise<void> {
  const { path } = options;
  const made = unfinished(path);
  const file = await openInstance({ ...options, path: made });
  try {
    const connection = await file.connect();
    for (const sql of INTERNAL_TABLES) await connection.run(sql);
    await connection.run('CHECKPOINT');
  } finally {
    await file.close();
  }
  const names = await readdir(dirname(path));
  if (names.includes(`${basename(made)}.wal`)) throw new MillraceError('E_ASSERT', `${made} was closed and still has a .wal`);
  await flush(made);
  if (names.includes(`${basename(path)}.wal`)) await quarantine(path);
  await rename(made, path);
  await flush(dirname(path));
}

async function flush(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function openChecked(options: ResultFileOptions): Promise<ResultFile> {
  const file = await openInstance(options);
  try {
    const connection = await file.connect();
    const found = await connection.runAndReadAll("SELECT value FROM _millrace_meta WHERE name = 'format'");
    const format = found.getRows()[0]?.[0];
    if (format !== FORMAT) throw new Error(`it has the format ${String(format)}, this millrace writes ${FORMAT}`);
    for (const table of ['_millrace_tables', '_millrace_positions', '_millrace_gaps', '_millrace_dead_letters'])
      await connection.run(`SELECT * FROM ${table} LIMIT 0`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openInstance({ path, memoryMaxMib, threads, spillMaxMib }: ResultFileOptions): Promise<ResultFile> {
  const instance = await DuckDBInstance.fromCache(path, {
    memory_limit: `${memoryMaxMib}MiB`,
    threads: String(threads),
    temp_directory: join(dirname(path), 'duckdb-spill'),
    max_temp_directory_size: `${spillMaxMib}MiB`,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
    allow_persistent_secrets: 'false',
    checkpoint_threshold: '64MiB',
    // Last: with it, paths can no longer be set.
    enable_external_access: 'false',
  });
  const connections = new Set<DuckDBConnection>();
  const connect = async (): Promise<DuckDBConnection> => {
    const connection = await instance.connect();
    connections.add(connection);
    return connection;
  };
  const lent = new Map<DuckDBConnection, Promise<unknown>>();
  let isClosed = false;
  const lend = async <T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> => {
    if (isClosed) throw new Error(`${basename(path)} is closed for the moment`);
    const connection = await instance.connect();
    const working = work(connection);
    lent.set(connection, working);
    try {
      return await working;
    } finally {
      lent.delete(connection);
      connection.closeSync();
    }
  };
  const close = async (): Promise<void> => {
    if (isClosed) return;
    isClosed = true;
    while (lent.size > 0) {
      for (const connection of lent.keys()) connection.interrupt();
      await Promise.race([Promise.allSettled(lent.values()), new Promise((resolve) => setTimeout(resolve, INTERRUPT_AGAIN_MS))]);
    }
    for (const connection of connections) connection.closeSync();
    instance.closeSync();
  };
  try {
    const connection = await connect();
    // Text and calendar functions must not depend on where the machine stands.
    await connection.run("SET GLOBAL TimeZone = 'UTC'");
    await connection.run('SET GLOBAL lock_configuration = true');
  } catch (error) {
    await close();
    throw error;
  }
  return { connect, lend, close };
}

/** The machine's trouble, not the file's. */
const ABOUT_MACHINE =
  /No space left|Permission denied|Read-only file system|Too many open files|Input\/output error|Disk quota|Out of Memory|INTERRUPT/i;
/** What DuckDB says of bytes that are not what it wrote. */
const ABOUT_FILE = /not a valid DuckDB|corrupt|checksum|could not read (?:enough|all) bytes|serializ|INTERNAL Error|FATAL Error/i;

/** Whether the error says that the file's bytes are damaged. Errors of ours never do. */
export function isDamage(error: unknown): boolean {
  const text = messageOf(error);
  return !(error instanceof MillraceError) && ABOUT_FILE.test(text) && !ABOUT_MACHINE.test(text);
}

/** What stands in the way without anything being wrong with the file; undefined when it is the file. */
function problemOf(error: unknown, path: string): Error | undefined {
  if (error instanceof MillraceError) return error;
  const text = messageOf(error);
  if (/Conflicting lock|Could not set lock/i.test(text)) {
    const holder = /held in (.+?)(?: by user.*)?[.;]? ?(?:See also|However|$)/s.exec(text)?.[1] ?? 'another program';
    return new MillraceError('E_LOCKED', `${path} is open in ${holder}; close it there. Results wait in the log meanwhile`, {
      cause: error,
    });
  }
  return ABOUT_MACHINE.test(text) ? new Error(firstLine(error), { cause: error }) : undefined;
}

function firstLine(error: unknown): string {
  return messageOf(error).split('\n', 1)[0] as string;
}
