// The parent of the line and the desk: brings them up in order, keeps them up, takes them down.
import { type ErrorCode, ERRORS, MillraceError } from '../engine/errors.ts';
import { isAlive, prepareDataFolder, readPorts, removePorts, writePorts } from './dataFolder.ts';
import type { DeskSettings, FromChild, LineSettings, RunningInfo } from './messages.ts';
import { type SupervisedChild, superviseChild } from './supervisedChild.ts';

/** A slice that takes this long hangs; see design, Pipeline, segment, task, worker. */
const LINE_STUCK_MS = 10_000;
/** The desk works in DuckDB's threads, so its own loop has less excuse, but nobody waits for it. */
const DESK_STUCK_MS = 30_000;
/** A line that crashes this often without ever having been ready will not get there. The desk may try for ever. */
const FALSE_STARTS_MAX = 3;
/** How long the children of a supervisor that was killed may need to leave the data folder. */
const ORPHAN_MS_MAX = 10_000;
/** At the desk's start these say that the pipeline is wrong; anything else may pass. */
const DESK_FINAL: readonly ErrorCode[] = [
  'E_CONFIG',
  'E_PIPELINE',
  'E_COLUMN',
  'E_NOT_REBUILDABLE',
  'E_PARTITIONS',
  'E_TOPIC_CONFLICT',
  'E_USAGE',
];

export interface SupervisorOptions {
  readonly line: LineSettings;
  readonly desk: DeskSettings;
  /** What people should know: restarts, moved ports. */
  tell(line: string): void;
}

export interface Supervisor {
  /** Both children are up. Rejects when the run cannot start. */
  readonly ready: Promise<RunningInfo>;
  /** The run is over: stopped, or --until-end reached. Rejects when it failed. */
  readonly ended: Promise<void>;
  /** Stops both cleanly. Everything acknowledged is in the log; the next run goes on. */
  stop(): Promise<void>;
  /** Ends both at once. Nothing that was acknowledged is lost. */
  kill(): void;
  /** Process ids, for tests. */
  readonly pids: () => { readonly line: number | undefined; readonly desk: number | undefined };
}

/**
 * Starts the line, then the desk, on one data folder.
 *
 * Errors  E_CONFIG when the data folder cannot be used; `ready` and `ended` reject with what stopped the run
 */
export function supervise(options: SupervisorOptions): Supervisor {
  const { tell } = options;
  const dir = options.line.dir;
  prepareDataFolder(dir);
  const startedMs = performance.now();
  const ready = deferred<RunningInfo>();
  const ended = deferred<void>();
  let info: RunningInfo | undefined;
  let lineReady: Extract<FromChild, { kind: 'ready' }> | undefined;
  let deskIsUp = false;
  let deskStarted = false;
  let finished = false;
  let over: Promise<void> | undefined;

  const line: SupervisedChild = superviseChild<LineSettings>({
    role: 'line',
    module: 'runtime/lineProcess',
    stuckMs: LINE_STUCK_MS,
    falseStartsMax: FALSE_STARTS_MAX,
    settings: () => (lineReady?.mqtt === undefined ? options.line : { ...options.line, mqtt: lineReady.mqtt, mqttPortMayMove: false }),
    // A port that was ours and is taken for the moment comes back, and so does a data folder that orphans still hold.
    isFinal: (code, everReady) =>
      ERRORS[code].disposition === 'stop' && !(everReady && code === 'E_CONFIG') && !(code === 'E_LOCKED' && orphansHold(dir, startedMs)),
    hear: hearLine,
    failed: (error) => finish(error),
    tell,
  });
  const desk: SupervisedChild = superviseChild<DeskSettings>({
    role: 'desk',
    module: 'runtime/deskProcess',
    stuckMs: DESK_STUCK_MS,
    settings: () => (info === undefined ? options.desk : { ...options.desk, http: info.http, httpPortMayMove: false }),
    falseStartsMax: Number.POSITIVE_INFINITY,
    isFinal: (code, everReady) => !everReady && DESK_FINAL.includes(code),
    hear: hearDesk,
    failed: (error) => finish(error),
    tell,
  });

  function hearLine(message: FromChild): void {
    if (message.kind === 'metrics') desk.send({ kind: 'metrics', text: message.text + ownMetrics({ line, desk }) });
    if (message.kind === 'finished') {
      finished = true;
      if (deskIsUp) desk.send({ kind: 'drain' });
    }
    if (message.kind !== 'ready') return;
    lineReady = message;
    if (!deskStarted) desk.start();
    deskStarted = true;
  }

  function hearDesk(message: FromChild): void {
    if (message.kind === 'drained') finish();
    if (message.kind !== 'ready' || message.http === undefined || lineReady?.mqtt === undefined) return;
    deskIsUp = true;
    if (info === undefined) {
      info = {
        mqtt: lineReady.mqtt,
        http: message.http,
        data: dir,
        pipelines: lineReady.pipelines ?? [],
        tables: lineReady.tables ?? [],
        pid: process.pid,
      };
      writePorts(info);
      ready.resolve(info);
    }
    if (finished) desk.send({ kind: 'drain' });
  }

  function finish(error?: Error): Promise<void> {
    over ??= Promise.all([line.stop(), desk.stop()]).then((clean) => {
      removePorts(dir, process.pid);
      const failure =
        error ??
        (clean.every(Boolean) ? undefined : new Error('a process did not stop in time and was killed; nothing acknowledged is lost'));
      ready.reject(failure ?? new MillraceError('E_NOT_RUNNING', 'it was stopped before it was ready'));
      if (failure === undefined) ended.resolve();
      else ended.reject(failure);
    });
    return over;
  }

  line.start();
  return {
    ready: ready.promise,
    ended: ended.promise,
    stop: () => finish(),
    kill() {
      line.kill();
      desk.kill();
      removePorts(dir, process.pid);
    },
    pids: () => ({ line: line.pid, desk: desk.pid }),
  };
}

/**
 * Whether the lock may be held by children of a supervisor that was killed: they are on their way out. When another
 * supervisor lives, it is simply a second run.
 */
function orphansHold(dir: string, startedMs: number): boolean {
  const other = readPorts(dir);
  return performance.now() - startedMs < ORPHAN_MS_MAX && other !== undefined && !isAlive(other.pid);
}

function ownMetrics(children: Readonly<Record<string, SupervisedChild>>): string {
  const rows = Object.entries(children).map(([role, child]) => `millrace_child_restarts_total{role="${role}"} ${child.restarts}\n`);
  return `# HELP millrace_child_restarts_total Times the supervisor started a child again.\n# TYPE millrace_child_restarts_total counter\n${rows.join('')}`;
}

/** A promise to settle from outside; a rejection nobody looks at yet is no crash. */
function deferred<T>(): { readonly promise: Promise<T>; resolve(value: T): void; reject(error: Error): void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
