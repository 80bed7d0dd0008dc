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
  const { role, tell } = options;
  let child: ChildProcess | undefined;
  let stopping = false;
  let everReady = false;
  let readyAtMs: number | undefined;
  let lastHeardMs = 0;
  let crashes = 0;
  let restarts = -1;
  let lastFailure: Extract<FromChild, { kind: 'failed' }> | undefined;
  let restartTimer: NodeJS.Timeout | undefined;

  const start = (): void => {
    restarts++;
    lastFailure = undefined;
    readyAtMs = undefined;
    lastHeardMs = performance.now();
    const own = forkRole(options.module, restarts === 0);
    child = own;
    own.on('message', (message: FromChild) => hear(message));
    own.on('error', () => {});
    own.once('exit', (code, signal) => {
      if (child !== own) return;
      child = undefined;
      if (!stopping) gone(code, signal);
    });
    own.send({ kind: 'start', settings: options.settings() } as ToChild<Settings>, undefined, undefined, () => {});
  };

  const hear = (message: FromChild): void => {
    lastHeardMs = performance.now();
    if (message.kind === 'failed') lastFailure = message;
    if (message.kind === 'ready') {
      everReady = true;
      readyAtMs = lastHeardMs;
    }
    if (!stopping) options.hear(message);
  };

  const gone = (code: number | null, signal: NodeJS.Signals | null): void => {
    const why = lastFailure?.message ?? (signal === null ? `it ended with ${code}` : `it was killed by ${signal}`);
    if (readyAtMs !== undefined && performance.now() - readyAtMs > HEALTHY_MS) crashes = 0;
    crashes++;
    const failure = lastFailure?.code;
    if (failure !== undefined && options.isFinal(failure, everReady)) return options.failed(errorOf(failure, why));
    if (!everReady && crashes >= options.falseStartsMax && (failure === undefined || failure === 'E_ASSERT'))
      return options.failed(failure === undefined ? new Error(`the ${role} did not start: ${why}`) : errorOf(failure, why));
    const pauseMs = Math.min(RESTART_MS_MOST, RESTART_MS_LEAST * 2 ** (crashes - 1));
    tell(`the ${role} is gone: ${why}; starting it again in ${pauseMs} ms`);
    restartTimer = setTimeout(start, pauseMs);
  };

  const watch = watchdog(WATCH_EVERY_MS, () => {
    const limitMs = readyAtMs === undefined ? Math.max(START_STUCK_MS, options.stuckMs) : options.stuckMs;
    if (child === undefined || stopping || performance.now() - lastHeardMs <= limitMs) return;
    tell(`the ${role} has not answered for ${Math.round(limitMs / 1000)} s; killing it`);
    child.kill('SIGKILL');
  });

  return {
    start,
    send(message) {
      if (child?.connected) child.send(message, undefined, undefined, () => {});
    },
    stop() {
      stopping = true;
      clearTimeout(restartTimer);
      clearInterval(watch);
      return stopProcess(child);
    },
    kill() {
      stopping = true;
      clearTimeout(restartTimer);
      clearInterval(watch);
      child?.kill('SIGKILL');
    },
    get restarts() {
      return Math.max(0, restarts);
    },
    get pid() {
      return child?.pid;
    },
  };
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
