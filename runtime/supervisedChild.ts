// Keeps one child process alive: starts it, restarts it when it crashes, kills it when it hangs, stops it when told.
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ERRORS, type ErrorCode, MillraceError } from '../engine/errors.ts';
import type { FromChild, Role, ToChild } from './messages.ts';
import { moduleSuffix, ownModule } from './ownPackage.ts';

/** First pause before a restart; it doubles with each crash in a row. */
const RESTART_MS_LEAST = 250;
const RESTART_MS_MOST = 30_000;
/** A child that lived this long since it was ready had a good start: the next pause is the least again. */
const HEALTHY_MS = 60_000;
/** A child that is starting may be silent for longer: it reads its state. */
const START_STUCK_MS = 120_000;
const WATCH_EVERY_MS = 1_000;
/** How long a child may take to stop. */
const STOP_MS_MAX = 4_500;

export interface SupervisedChildOptions<Settings> {
  readonly role: Role;
  /** Our module, without its suffix. */
  readonly module: string;
  /** Silence after which a running child is killed. Unit: ms. */
  readonly stuckMs: number;
  /** Asked at each start: a restarted child gets the ports that the first one found. */
  settings(): Settings;
  /** Crashes without ever having been ready after which the run has failed. Named errors do not count: isFinal decides them. */
  readonly falseStartsMax: number;
  hear(message: FromChild): void;
  /** Whether this error ends the whole run rather than this process. */
  isFinal(code: ErrorCode, everReady: boolean): boolean;
  /** It hung and is being killed. */
  hung?(): void;
  /** The run cannot go on. */
  failed(error: Error): void;
  tell(line: string): void;
}

export interface SupervisedChild {
  start(): void;
  send(message: ToChild): void;
  /** Resolves with whether it stopped by itself. */
  stop(): Promise<boolean>;
  kill(): void;
  readonly restarts: number;
  /** Of the process that runs now. */
  readonly pid: number | undefined;
}

/** Makes the keeper of one child. Nothing runs before start(). */
export function superviseChild<Settings>(options: SupervisedChildOptions<Settings>): SupervisedChild {
  return new Keeper(options);
}

class Keeper<Settings> implements SupervisedChild {
  readonly #options: SupervisedChildOptions<Settings>;
  readonly #watch: NodeJS.Timeout;
  #child: ChildProcess | undefined;
  #stopping = false;
  #everReady = false;
  /** Of the process that runs now; monotonic. */
  #readyAtMs: number | undefined;
  #lastHeardMs = 0;
  #lastFailure: Extract<FromChild, { kind: 'failed' }> | undefined;
  /** In a row, without a healthy life between. */
  #crashes = 0;
  #starts = 0;
  #restartTimer: NodeJS.Timeout | undefined;

  constructor(options: SupervisedChildOptions<Settings>) {
    this.#options = options;
    this.#watch = watchdog(WATCH_EVERY_MS, () => this.#killIfStuck());
  }

  start(): void {
    this.#starts++;
    this.#lastFailure = undefined;
    this.#readyAtMs = undefined;
    this.#lastHeardMs = performance.now();
    const child = forkRole(this.#options.module, this.#starts === 1);
    this.#child = child;
    child.on('message', (message: FromChild) => this.#hear(message));
    // A message that could not be sent: the exit that follows says all there is to say.
    child.on('error', () => {});
    child.once('exit', (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!this.#stopping) this.#gone(code, signal);
    });
    child.send({ kind: 'start', settings: this.#options.settings() } as ToChild<Settings>, undefined, undefined, () => {});
  }

  #hear(message: FromChild): void {
    this.#lastHeardMs = performance.now();
    if (message.kind === 'failed') this.#lastFailure = message;
    if (message.kind === 'ready') {
      this.#everReady = true;
      this.#readyAtMs = this.#lastHeardMs;
    }
    if (!this.#stopping) this.#options.hear(message);
  }

  #gone(code: number | null, signal: NodeJS.Signals | null): void {
    const { role, isFinal, failed, falseStartsMax, tell } = this.#options;
    const why = this.#lastFailure?.message ?? (signal === null ? `it ended with ${code}` : `it was killed by ${signal}`);
    const failure = this.#lastFailure?.code;
    if (this.#readyAtMs !== undefined && performance.now() - this.#readyAtMs > HEALTHY_MS) this.#crashes = 0;
    this.#crashes++;
    if (failure !== undefined && isFinal(failure, this.#everReady)) return failed(errorOf(failure, why));
    if (!this.#everReady && this.#crashes >= falseStartsMax && (failure === undefined || failure === 'E_ASSERT'))
      return failed(failure === undefined ? new Error(`the ${role} did not start: ${why}`) : errorOf(failure, why));
    const pauseMs = Math.min(RESTART_MS_MOST, RESTART_MS_LEAST * 2 ** (this.#crashes - 1));
    tell(`the ${role} is gone: ${why}; starting it again in ${pauseMs} ms`);
    this.#restartTimer = setTimeout(() => this.start(), pauseMs);
  }

  #killIfStuck(): void {
    const { role, stuckMs, tell } = this.#options;
    const limitMs = this.#readyAtMs === undefined ? Math.max(START_STUCK_MS, stuckMs) : stuckMs;
    if (this.#child === undefined || this.#stopping || performance.now() - this.#lastHeardMs <= limitMs) return;
    tell(`the ${role} has not answered for ${Math.round(limitMs / 1000)} s; killing it`);
    this.#child.kill('SIGKILL');
    this.#options.hung?.();
  }

  send(message: ToChild): void {
    if (this.#child?.connected) this.#child.send(message, undefined, undefined, () => {});
  }

  stop(): Promise<boolean> {
    this.#rest();
    return stopProcess(this.#child);
  }

  kill(): void {
    this.#rest();
    this.#child?.kill('SIGKILL');
  }

  /** From here on an end is an end. */
  #rest(): void {
    this.#stopping = true;
    clearTimeout(this.#restartTimer);
    clearInterval(this.#watch);
  }

  get restarts(): number {
    return Math.max(0, this.#starts - 1);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }
}

/** The code's message without its code, so that it is not said twice. */
function errorOf(code: ErrorCode, message: string): MillraceError {
  return Object.hasOwn(ERRORS, code)
    ? new MillraceError(code, message.replace(/^E_[A-Z_]+: /, ''))
    : new MillraceError('E_ASSERT', message);
}

function forkRole(module: string, first: boolean): ChildProcess {
  const { MILLRACE_KILL_AT, ...env } = process.env;
  return fork(fileURLToPath(ownModule(module)), [], {
    // stdout belongs to the line `millrace ready`; what a pipeline file prints goes to stderr.
    stdio: ['ignore', 2, 2, 'ipc'],
    serialization: 'json',
    execArgv: moduleSuffix === '.ts' ? ['--import', import.meta.resolve('tsx')] : [],
    // A point to die at is for the first child only: the one started after it must live.
    env: first && MILLRACE_KILL_AT !== undefined ? { ...env, MILLRACE_KILL_AT } : env,
  });
}

function stopProcess(child: ChildProcess | undefined): Promise<boolean> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(true);
  return new Promise((resolve) => {
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    child.once('exit', (code) => {
      clearTimeout(late);
      resolve(code === 0);
    });
    if (child.connected) child.send({ kind: 'stop' } satisfies ToChild, undefined, undefined, () => {});
    else child.kill('SIGTERM');
  });
}

/** An interval that skips a beat after this process itself stood still: then silence proves nothing. */
function watchdog(everyMs: number, look: () => void): NodeJS.Timeout {
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    const stoodStill = now - lastMs > 3 * everyMs;
    lastMs = now;
    if (!stoodStill) look();
  }, everyMs);
  return timer.unref();
}
