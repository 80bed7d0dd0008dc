// Points at which a process can be told to die, so that tests can kill it exactly there.
import { MillraceError } from '../engine/errors.ts';

/** Every named point, in the order a message meets them. */
export const KILL_POINTS = [
  'after-process',
  'at-cut',
  'in-commit',
  'after-commit-before-flush',
  'before-puback',
  'desk-in-transaction',
] as const;

/** A named point on the way of a message. */
export type KillPoint = (typeof KILL_POINTS)[number];

/** What the log, the worker, the listener and the desk call when they pass a point. */
export type OnPoint = (point: KillPoint) => void;

/**
 * Reads `MILLRACE_KILL_AT`: a point, or `point:n` for the n-th time it is passed. Undefined when it is not set,
 * so that nobody pays for it. The supervisor gives it to the first child of a role only: a restarted one lives.
 *
 * Errors  E_USAGE for a point that does not exist
 */
export function killPointFrom(env: Readonly<Record<string, string | undefined>>): OnPoint | undefined {
  const wanted = env.MILLRACE_KILL_AT;
  if (wanted === undefined || wanted === '') return undefined;
  const [name, nth] = wanted.split(':') as [string, string | undefined];
  let left = nth === undefined ? 1 : Number(nth);
  if (!(KILL_POINTS as readonly string[]).includes(name) || !Number.isInteger(left) || left < 1)
    throw new MillraceError('E_USAGE', `MILLRACE_KILL_AT='${wanted}': use one of ${KILL_POINTS.join(', ')}, with :n for the n-th time`);
  return (point) => {
    if (point !== name || --left > 0) return;
    process.kill(process.pid, 'SIGKILL');
  };
}
