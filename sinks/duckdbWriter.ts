// Fills the result tables from the log, each record once, whatever happens to the file or the disk.
import { basename } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { codeOf, type ErrorCode, MillraceError, messageOf } from '../engine/errors.ts';
import type { DeskMetrics } from './deskMetrics.ts';
import { runSession, type SessionControl } from './deskSession.ts';
import { checkDeskTables, type DeskTable, type LogReader } from './deskTable.ts';
import { Drains } from './drains.ts';
import { isDamage, openResultFile, quarantine, type ResultFile } from './resultFile.ts';
import type { RowReader, Trouble } from './takings.ts';

export interface DuckdbWriterOptions {
  /** Absolute path of the DuckDB file. */
  readonly path: string;
  readonly tables: readonly DeskTable[];
  readonly reader: LogReader;
  readonly metrics: DeskMetrics;
  /** Takes what people should know: rebuilds, gaps, a file that cannot be opened. */
  readonly tell: (message: string) => void;
  /** Records per DuckDB transaction at most. Default 10,000. */
  readonly rowsMax?: number;
  /** Longest time from a record's arrival to its commit. Default 500. Unit: ms. */
  readonly flushMs?: number;
  /** What DuckDB may hold in memory, writer and queries together. Default 1,024. Unit: MiB. */
  readonly memoryMaxMib?: number;
  /** DuckDB's threads. Default 2. */
  readonly threads?: number;
  /** What queries may spill to disk. Default 4,096. Unit: MiB. */
  readonly spillMaxMib?: number;
  /** Wall clock for `keep`. Default Date.now. */
  readonly nowMs?: () => number;
  /** Makes a reader that is faster than JSON.parse for rows that look alike; see {@link RowReader}. */
  readonly rowReader?: (() => RowReader) | undefined;
  readonly onPoint?: ((point: 'desk-in-transaction') => void) | undefined;
}

/** opening: no file yet · catching-up: behind what the log held at the start · ready · failing: closed, to be opened again. */
export type WriterState = 'opening' | 'catching-up' | 'ready' | 'failing' | 'stopped';

export interface DuckdbWriter {
  readonly state: WriterState;
  /** The file is open and its tables exist, or it cannot be opened yet and is tried again. Rejects when the definitions cannot stand. */
  readonly opened: Promise<void>;
  /** Rejects with what the writer cannot go on with; resolves when it has stopped. */
  readonly ended: Promise<void>;
  /** Lends a connection for reading. Errors: E_QUERY while the file is closed */
  lend<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T>;
  /** Resolves when everything the log holds now is committed. */
  drain(): Promise<void>;
  /** Flushes, checkpoints and closes. */
  stop(): Promise<void>;
}

/** A wrong definition, or a log that cannot be read, is not mended by trying again. */
const FINAL: readonly ErrorCode[] = ['E_CONFIG', 'E_COLUMN', 'E_NOT_REBUILDABLE', 'E_CORRUPT', 'E_ASSERT'];
/** A reader may see the log a little behind after a crash; only then is it another log. Unit: times, RETRY_MS apart. */
const WENT_BACK_PATIENCE = 3;
/** A file that cannot be read is tried once more, for the machine may have had a bad moment. Unit: times. */
const DAMAGE_PATIENCE = 2;
const RETRY_MS: readonly number[] = [100, 500, 1_000, 2_000, 5_000];

/**
 * Opens the result file and follows the tables' topics.
 *
 * Guarantee  rows and positions are one DuckDB transaction, so each record counts once, over kill -9 and failed commits:
 *            after any failure the file is closed, opened, and reading goes on at the positions it holds
 * Errors     E_CONFIG, E_NOT_REBUILDABLE at once; later ones through `ended`
 */
export function startDuckdbWriter(options: DuckdbWriterOptions): DuckdbWriter {
  checkDeskTables(options.tables);
  const drains = new Drains(options.tables, options.reader);
  const opened = deferred();
  const life: Life = {
    options,
    opened: opened.resolve,
    file: undefined,
    state: 'opening',
    failures: 0,
    wentBack: 0,
    damaged: 0,
    wake: () => {},
    trouble: { carefulRecords: 0, poison: undefined },
  };
  const control: SessionControl = {
    stopping: false,
    opened() {
      life.state = 'catching-up';
      life.opened();
    },
    caughtUp() {
      life.state = 'ready';
      life.failures = 0;
      life.wentBack = 0;
      life.damaged = 0;
    },
    progress: (positions) => drains.settle(positions),
  };
  const ended = live(life, control).finally(() => {
    life.state = 'stopped';
    drains.settleAll();
  });
  ended.then(
    () => opened.reject(new MillraceError('E_NOT_RUNNING', 'the desk was stopped before the result file was open')),
    opened.reject,
  );
  return {
    get state() {
      return life.state;
    },
    opened: opened.promise,
    ended,
    async lend(work) {
      if (life.file === undefined)
        throw new MillraceError('E_QUERY', `the result file is not open at the moment (${life.state}); try again in a second`);
      return life.file.lend(work);
    },
    drain: async () => {
      if (life.state !== 'stopped') await drains.begin();
    },
    async stop() {
      control.stopping = true;
      life.wake();
      await ended;
    },
  };
}

/** What outlives a session. */
interface Life {
  readonly options: DuckdbWriterOptions;
  readonly trouble: Trouble;
  /** Settles the promise of the same name. */
  readonly opened: () => void;
  file: ResultFile | undefined;
  state: WriterState;
  failures: number;
  wentBack: number;
  damaged: number;
  /** Ends a pause early. */
  wake: () => void;
}

/** Session after session, until told to stop. */
async function live(life: Life, control: SessionControl): Promise<void> {
  while (!control.stopping)
    try {
      await session(life, control);
    } catch (error) {
      if (control.stopping) throw error;
      await recover(life, error);
    }
}

async function session(life: Life, control: SessionControl): Promise<void> {
  const { path, tell, memoryMaxMib = 1_024, threads = 2, spillMaxMib = 4_096 } = life.options;
  const { rowsMax = 10_000, flushMs = 500, nowMs = Date.now, onPoint, rowReader } = life.options;
  const file = await openResultFile({ path, memoryMaxMib, threads, spillMaxMib, tell });
  life.file = file;
  try {
    await runSession(
      await file.connect(),
      { ...life.options, nowMs, rowsMax, flushMs, onPoint, rowReader, trouble: life.trouble },
      control,
    );
  } finally {
    life.file = undefined;
    await file.close();
  }
}

/** Says what went wrong and what follows from it; throws what nothing follows from. */
async function recover(life: Life, error: unknown): Promise<void> {
  const { path, tell, metrics } = life.options;
  const code = error instanceof MillraceError ? codeOf(error) : undefined;
  if (code !== undefined && FINAL.includes(code)) throw error;
  life.state = 'failing';
  metrics.failures.inc();
  const isOtherLog = code === 'E_LOG_WENT_BACK' && ++life.wentBack >= WENT_BACK_PATIENCE;
  const isDamaged = isDamage(error) && ++life.damaged >= DAMAGE_PATIENCE;
  if (isOtherLog || isDamaged) {
    life.wentBack = 0;
    life.damaged = 0;
    const aside = await quarantine(path);
    tell(`${firstLine(error)}; the tables are rebuilt from the log, the old file was put aside as ${basename(aside)}`);
    return;
  }
  life.opened();
  const waitMs = RETRY_MS[Math.min(life.failures++, RETRY_MS.length - 1)] as number;
  tell(`results.duckdb: ${firstLine(error)}; opened again in ${waitMs} ms`);
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, waitMs);
    life.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

function firstLine(error: unknown): string {
  return messageOf(error).split('\n', 1)[0] as string;
}

/** A promise to settle from outside; a rejection nobody looks at is no crash. */
function deferred(): { readonly promise: Promise<void>; resolve(): void; reject(error: unknown): void } {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
