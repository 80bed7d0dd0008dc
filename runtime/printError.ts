// An error as one line for people, and what to do about it; the stack only when asked for.
import { MillraceError, messageOf } from '../engine/errors.ts';

/** `error E_X: message`, then `fix: …`. */
export function errorText(error: unknown, debug: boolean): string {
  const ours = error instanceof MillraceError;
  const message = messageOf(error).replaceAll(/\s*\n\s*/g, ' ');
  const lines = [`error${ours ? ' ' : ': '}${message}`];
  if (ours) lines.push(`fix: ${error.fix}`);
  else if (!debug) lines.push('fix: run again with MILLRACE_DEBUG=1 to see where it came from, and report it');
  if (debug && error instanceof Error) lines.push(error.stack ?? '');
  if (debug && error instanceof Error && error.cause instanceof Error) lines.push(`caused by ${error.cause.stack ?? error.cause.message}`);
  return `${lines.join('\n')}\n`;
}
