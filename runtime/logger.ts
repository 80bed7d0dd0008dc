// What the processes say on stderr: pino, as one readable line each unless JSON is asked for. Payloads are never logged.
import { type Logger, pino } from 'pino';

export type { Logger };

/** A logger of one role. `format` text is for people, json is pino's own. */
export function makeLogger(options: { readonly role: string; readonly level: string; readonly format: string }): Logger {
  const { role, level, format } = options;
  const write = (line: string): void => {
    process.stderr.write(format === 'json' ? line : readableLine(line));
  };
  return pino({ level, base: { role }, formatters: { level: (label) => ({ level: label }) } }, { write });
}

/** `12:00:01 line warn: listener restarted (port=1883)` */
function readableLine(line: string): string {
  const { level, time, role, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown> & { time: number };
  const more = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const error = err as { message?: string; stack?: string } | undefined;
  if (error !== undefined) more.push(`error=${(process.env.MILLRACE_DEBUG ? error.stack : undefined) ?? error.message}`);
  const rest = more.length === 0 ? '' : ` (${more.join(' ')})`;
  return `${new Date(time).toISOString().slice(11, 19)} ${String(role)} ${String(level)}: ${String(msg ?? '')}${rest}\n`;
}
