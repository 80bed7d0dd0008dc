// The life of a child process: start on the supervisor's word, beat, stop when told or when the supervisor is gone.
import { codeOf, MillraceError, messageOf } from '../engine/errors.ts';
import type { FromChild, ToChild } from './messages.ts';

/** How often a child says that its event loop turns. */
const HEARTBEAT_MS = 500;
/** How long a child may take to stop before it ends itself. Shorter than the supervisor's patience. */
const STOP_MS_MAX = 4_000;

/** A child that runs: what `begin` resolves to. */
export interface RunningChild {
  /** Sent as the ready message. */
  readonly ready: Extract<FromChild, { kind: 'ready' }>;
  /** Messages other than start and stop. */
  hear?(message: ToChild): void;
  stop(): Promise<void>;
}

/** What `begin` is handed besides its settings. */
export interface ChildLink {
  send(message: FromChild): void;
  /** Reports the error and ends the process with 1. For what goes wrong after the start. */
  fail(error: unknown): void;
}

/**
 * Runs one role in this process. It listens only to the supervisor: Ctrl-C, and a terminal that closes, reach the whole
 * process group, so they are ignored here. When the supervisor dies, the channel closes and the child stops as if told,
 * so nothing writes on.
 */
export function runChild<Settings>(begin: (settings: Settings, link: ChildLink) => Promise<RunningChild>): void {
  let running: Promise<RunningChild> | undefined;
  let stopping = false;

  const send = (message: FromChild): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };
  const fail = (error: unknown): void => {
    if (stopping) return;
    stopping = true;
    const ours = error instanceof MillraceError;
    const message = ours ? error.message : whereOf(error);
    const failed: FromChild = { kind: 'failed', code: ours ? codeOf(error) : undefined, message, fix: ours ? error.fix : undefined };
    if (!process.connected) process.exit(1);
    process.send?.(failed, undefined, undefined, () => process.exit(1));
    setTimeout(() => process.exit(1), 1_000).unref();
  };
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), STOP_MS_MAX).unref();
    (running ?? Promise.resolve(undefined))
      .then((child) => child?.stop())
      .then(
        () => process.exit(0),
        (error) => {
          process.stderr.write(`error while stopping: ${messageOf(error)}\n`);
          process.exit(1);
        },
      );
  };

  // Whatever LMDB and DuckDB create is the owner's alone: it holds what devices said.
  process.umask(0o077);
  process.on('SIGINT', () => {});
  process.on('SIGHUP', () => {});
  process.on('SIGTERM', stop);
  process.on('disconnect', stop);
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  process.on('message', (message: ToChild<Settings>) => {
    if (message.kind === 'stop') stop();
    else if (message.kind === 'start') {
      running = begin(message.settings, { send, fail });
      running.then((child) => send(child.ready), fail);
    } else
      running?.then(
        (child) => child.hear?.(message as ToChild),
        () => {},
      );
  });
  // Unreferenced only by the channel: as long as the supervisor lives, so does the child.
  setInterval(() => send({ kind: 'heartbeat' }), HEARTBEAT_MS).unref();
}

/** An error that is not ours is a bug: its message and the line it came from, and the whole stack for who asks. */
function whereOf(error: unknown): string {
  if (!(error instanceof Error)) return messageOf(error);
  if (process.env.MILLRACE_DEBUG) return error.stack ?? error.message;
  const at = error.stack?.split('\n').find((line) => /^\s+at /.test(line));
  return `${error.name}: ${error.message}${at === undefined ? '' : ` (${at.trim()})`}`;
}
