// The LMDB environment of a data folder: made whole or not at all, opened by one writer and any number of readers.
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { MillraceError, messageOf } from '../../engine/errors.ts';
import { checkDataFile } from './dataFile.ts';
import { identityOf } from './writerLock.ts';
import { openRow, sealRow } from './rows.ts';

/** Raised when what the rows mean changes. */
const FORMAT = 1;
const FOLDER = 'log';
const DATA_FILE = 'data.mdb';

export const FORMAT_KEY = Buffer.from('format');
export const COMMIT_KEY = Buffer.from('commit');
export const NEXT_ID_KEY = Buffer.from('nextId');

type Rows = Database<Buffer, Buffer>;

/** The named databases of the environment. */
export interface Environment {
  readonly root: RootDatabase<Buffer, Buffer>;
  /** Format, last commit sequence, next id. */
  readonly meta: Rows;
  readonly topics: Rows;
  readonly partitions: Rows;
  readonly records: Rows;
  readonly tasks: Rows;
  /** Ids of the stores of a task. */
  readonly stores: Rows;
  readonly state: Rows;
}

export const DATABASES = ['meta', 'topics', 'partitions', 'records', 'tasks', 'stores', 'state'] as const;

/** LMDB's and the system's words for what went wrong with a folder, in ours. */
function openError(dir: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error;
  const code = (error as { code?: unknown }).code;
  // LMDB gives its own numbers and errno; Node gives names.
  if (code === -30793 || code === -30796 || code === -30797)
    return new MillraceError('E_CORRUPT', `data folder ${dir}: ${FOLDER}/${DATA_FILE} is not a log, or damaged (${messageOf(error)})`, {
      cause: error,
    });
  if (code === -30794)
    return new MillraceError('E_CONFIG', `data folder ${dir} was written by another version of the log's store (${messageOf(error)})`, {
      cause: error,
    });
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 13 || code === 1 || code === 30)
    return new MillraceError(
      'E_CONFIG',
      `data folder ${dir} cannot be written (${messageOf(error)}); give it write permission or use another --data folder`,
      { cause: error },
    );
  if (code === 'ENOSPC' || code === 28)
    return new MillraceError('E_LOG_FULL', `data folder ${dir}: no space left on the disk`, { cause: error });
  if (code === 'ENOTDIR' || code === 'EEXIST')
    return new MillraceError('E_CONFIG', `data folder ${dir} is not a folder (${messageOf(error)})`, { cause: error });
  return new MillraceError('E_CONFIG', `data folder ${dir} cannot be opened: ${messageOf(error)}`, { cause: error });
}

function openDatabases(path: string, mapSize: number, readOnly: boolean): Environment {
  if (existsSync(join(path, DATA_FILE))) checkDataFile(join(path, DATA_FILE));
  // Without overlapping flushes a transaction is on the disk when transactionSync returns, or it never happened.
  const root = open<Buffer, Buffer>({
    path,
    noSubdir: false,
    readOnly,
    mapSize,
    maxDbs: DATABASES.length + 1,
    overlappingSync: false,
    noMemInit: true,
    encoding: 'binary',
    keyEncoding: 'binary',
    ...({ permissionsMode: 0o600 } as object),
  });
  const opened: Partial<Record<(typeof DATABASES)[number], Rows>> = {};
  const openAll = () => {
    for (const name of DATABASES) opened[name] = root.openDB<Buffer, Buffer>(name, { encoding: 'binary', keyEncoding: 'binary' });
  };
  // One transaction, so that a new environment costs one flush instead of one a database.
  if (readOnly) openAll();
  else root.transactionSync(openAll);
  if (DATABASES.some((name) => opened[name] === undefined)) throw new MillraceError('E_CORRUPT', `${path} lacks a part of the log`);
  return { root, ...(opened as Record<(typeof DATABASES)[number], Rows>) };
}

function u32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Makes a folder's entry survive a power cut. Not every system lets a folder be flushed. */
function flushFolder(path: string): void {
  try {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Windows.
  }
}

/** Makes the environment under another name and renames it: a crash leaves it whole or not there. */
async function create(dir: string, mapSize: number): Promise<void> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const making = join(dir, `${FOLDER}.new-${process.pid}`);
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { mode: 0o700 });
  const environment = openDatabases(making, mapSize, false);
  environment.root.transactionSync(() => {
    void environment.meta.put(FORMAT_KEY, sealRow(FORMAT_KEY, u32(FORMAT)));
  });
  await environment.root.close();
  flushFolder(making);
  try {
    renameSync(making, join(dir, FOLDER));
  } catch (error) {
    rmSync(making, { recursive: true, force: true });
    // Another process was faster: its log is as good.
    if (!existsSync(join(dir, FOLDER, DATA_FILE))) throw error;
  }
  flushFolder(dir);
}

function checkFormat(dir: string, { meta }: Environment): void {
  const row = meta.get(FORMAT_KEY);
  const format = row === undefined ? undefined : openRow(FORMAT_KEY, row, () => `data folder ${dir}: the log's format`).readUInt32BE(0);
  if (format !== FORMAT)
    throw new MillraceError(
      'E_CONFIG',
      `data folder ${dir} holds log format ${format ?? 'unknown'}; this millrace reads format ${FORMAT}: use the version that wrote it`,
    );
}

/**
 * Opens the environment for writing and creates it if need be. Does not take the writer lock.
 *
 * Errors  E_CONFIG, E_CORRUPT, E_LOG_FULL
 */
export async function openForWriting(dir: string, mapSize: number): Promise<Environment> {
  try {
    if (!existsSync(join(dir, FOLDER, DATA_FILE))) await create(dir, mapSize);
    if (readersHere.has(realpathSync(join(dir, FOLDER))))
      throw new MillraceError('E_CONFIG', `data folder ${dir} is open for reading in this same process; open the log before its readers`);
    const environment = openDatabases(join(dir, FOLDER), mapSize, false);
    try {
      checkFormat(dir, environment);
    } catch (error) {
      await environment.root.close();
      throw error;
    }
    return environment;
  } catch (error) {
    throw openError(dir, error);
  }
}

/** What processes that died while they created the log left behind. Called by the holder of the writer lock. */
export function removeUnfinished(dir: string): void {
  for (const name of readdirSync(dir)) {
    const pid = name.startsWith(`${FOLDER}.new-`) ? Number(name.slice(FOLDER.length + 5)) : Number.NaN;
    if (Number.isInteger(pid) && (pid === process.pid || identityOf(pid) === undefined))
      rmSync(join(dir, name), { recursive: true, force: true });
  }
}

/** Address space a reader sets aside, more than any log: a mapping costs nothing until it is read. Unit: bytes. */
const READER_MAP_SIZE = 2 ** 40;

/** How many readers this process has of a folder. LMDB opens a file once a process: a writer after a reader would get the reader's. */
const readersHere = new Map<string, number>();

/** An environment opened for reading, and what closes it. */
export interface ReadingEnvironment {
  readonly environment: Environment;
  close(): Promise<void>;
}

/**
 * Opens the environment of a folder to read it, with or without a writer.
 *
 * Errors  E_NOT_RUNNING when there is no log yet; E_CONFIG, E_CORRUPT
 */
export async function openForReading(dir: string): Promise<ReadingEnvironment> {
  if (!existsSync(join(dir, FOLDER, DATA_FILE))) throw new MillraceError('E_NOT_RUNNING', `data folder ${dir} holds no log yet`);
  try {
    const path = realpathSync(join(dir, FOLDER));
    const environment = openDatabases(path, READER_MAP_SIZE, true);
    readersHere.set(path, (readersHere.get(path) ?? 0) + 1);
    const close = async () => {
      const left = (readersHere.get(path) ?? 1) - 1;
      if (left > 0) readersHere.set(path, left);
      else readersHere.delete(path);
      await environment.root.close();
    };
    try {
      checkFormat(dir, environment);
    } catch (error) {
      await close();
      throw error;
    }
    return { environment, close };
  } catch (error) {
    throw openError(dir, error);
  }
}

/** Bytes of all pages in use. What was deleted is used again and does not count. */
export function usedBytes(environment: Environment): number {
  let pages = 0;
  let pageSize = 4096;
  for (const name of DATABASES) {
    const stats = environment[name].getStats() as {
      pageSize: number;
      treeBranchPageCount: number;
      treeLeafPageCount: number;
      overflowPages: number;
    };
    pages += stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages;
    pageSize = stats.pageSize;
  }
  return pages * pageSize;
}
