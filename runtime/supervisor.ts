// The parent of the line and the desk: brings them up in order, keeps them up, takes them down.
import { type ErrorCode, ERRORS, MillraceError } from '../engine/errors.ts';
import { isAlive, prepareDataFolder, readPorts, removePorts, writePorts } from './dataFolder.ts';
import { countHangs, type Hangs } from './hangs.ts';
import type { Address, DeskSettings, FromChild, LineSettings, RunningInfo } from './messages.ts';
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
}

/**
 * Starts the line, then the desk, on one data folder.
 *
 * Errors  E_CONFIG when the data folder cannot be used; `ready` and `ended` reject with what stopped the run
 */
export function supervise(options: SupervisorOptions): Supervisor {
  prepareDataFolder(options.line.dir);
  const running = new Running(options);
  running.start();
  return running;
}

class Running implements Supervisor {
  readonly #options: SupervisorOptions;
  readonly #line: SupervisedChild;
  readonly #desk: SupervisedChild;
  readonly #ready = deferred<RunningInfo>();
  readonly #ended = deferred<void>();
  readonly #startedMs = performance.now();
  readonly #hangs: Hangs;
  #info: RunningInfo | undefined;
  #lineReady: Extract<FromChild, { kind: 'ready' }> | undefined;
  #deskIsUp = false;
  #finished = false;
  #over: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#hangs = countHangs(options.line.dir);
    const { tell } = options;
    const failed = (failure: Error): void => void this.#finish(failure);
    this.#line = superviseChild<LineSettings>({
      role: 'line',
      module: 'runtime/lineProcess',
      stuckMs: LINE_STUCK_MS,
      falseStartsMax: FALSE_STARTS_MAX,
      settings: () => this.#lineSettings(),
      isFinal: (code, everReady) => this.#isLineFinal(code, everReady),
      hear: (message) => this.#hearLine(message),
      hung: () => this.#lineHung(),
      failed,
      tell,
    });
    this.#desk = superviseChild<DeskSettings>({
      role: 'desk',
      module: 'runtime/deskProcess',
      stuckMs: DESK_STUCK_MS,
      falseStartsMax: Number.POSITIVE_INFINITY,
      settings: () => this.#deskSettings(),
      isFinal: (code, everReady) => !everReady && DESK_FINAL.includes(code),
      hear: (message) => this.#hearDesk(message),
      failed,
      tell,
    });
  }

  get ready(): Promise<RunningInfo> {
    return this.#ready.promise;
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  start(): void {
    this.#line.start();
  }

  stop(): Promise<void> {
    return this.#finish();
  }

  kill(): void {
    this.#line.kill();
    this.#desk.kill();
    removePorts(this.#options.line.dir, process.pid);
  }

  /** A line that is started again takes the port it had: devices come back to it. */
  #lineSettings(): LineSettings {
    const line = { ...this.#options.line, findHang: this.#hangs.areLookedFor, skip: this.#hangs.skip };
    return this.#lineReady?.mqtt === undefined ? line : { ...line, mqtt: this.#lineReady.mqtt, mqttPortMayMove: false, resetSteps: [] };
  }

  #lineHung(): void {
    const place = this.#hangs.hung();
    if (place !== undefined)
      this.#options.tell(
        `the record ${place.topic}/${place.partition}@${place.offset} has hung the line three times: it goes to the dead letters unprocessed`,
      );
  }

  #deskSettings(): DeskSettings {
    const { desk } = this.#options;
    return this.#info === undefined ? desk : { ...desk, http: this.#info.http, httpPortMayMove: false };
  }

  /** A port that was ours and is taken for the moment comes back, and so does a data folder that orphans still hold. */
  #isLineFinal(code: ErrorCode, everReady: boolean): boolean {
    if (code === 'E_CONFIG' && everReady) return false;
    if (code === 'E_LOCKED' && orphansHold(this.#options.line.dir, this.#startedMs)) return false;
    return ERRORS[code].disposition === 'stop';
  }

  #hearLine(message: FromChild): void {
    if (message.kind === 'metrics') {
      const own = ownMetrics({ line: this.#line, desk: this.#desk });
      this.#desk.send({ kind: 'metrics', text: message.text + own });
    }
    if (message.kind === 'finished') {
      this.#finished = true;
      if (this.#deskIsUp) this.#desk.send({ kind: 'drain' });
    }
    if (message.kind !== 'ready') return;
    // The desk reads what the line has made: it comes up after the line's first start, and lives its own life from then on.
    if (this.#lineReady === undefined) this.#desk.start();
    this.#lineReady = message;
  }

  #hearDesk(message: FromChild): void {
    if (message.kind === 'drained') void this.#finish();
    if (message.kind !== 'ready' || message.http === undefined || this.#lineReady?.mqtt === undefined) return;
    this.#deskIsUp = true;
    if (this.#info === undefined) this.#announce(this.#lineReady.mqtt, message.http);
    if (this.#finished) this.#desk.send({ kind: 'drain' });
  }

  #announce(mqtt: Address, http: Address): void {
    const { pipelines = [], tables = [] } = this.#lineReady ?? {};
    const wanted = this.#options.desk.http.port;
    if (wanted !== 0 && wanted !== http.port) this.#options.tell(`port ${wanted} is taken; HTTP is on ${http.port}`);
    this.#info = { mqtt, http, data: this.#options.line.dir, pipelines, tables, pid: process.pid };
    writePorts(this.#info);
    this.#ready.resolve(this.#info);
  }

  #finish(failure?: Error): Promise<void> {
    this.#over ??= this.#takeDown(failure);
    return this.#over;
  }

  async #takeDown(failure: Error | undefined): Promise<void> {
    const clean = await Promise.all([this.#line.stop(), this.#desk.stop()]);
    removePorts(this.#options.line.dir, process.pid);
    const late = new Error('a process did not stop in time and was killed; nothing acknowledged is lost');
    const problem = failure ?? (clean.every(Boolean) ? undefined : late);
    this.#ready.reject(problem ?? new MillraceError('E_NOT_RUNNING', 'it was stopped before it was ready'));
    if (problem === undefined) this.#ended.resolve();
    else this.#ended.reject(problem);
  }
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
