// What every command of the command line is handed, and how it writes.
import { once } from 'node:events';
import type { ResolvedSettings } from './readSettings.ts';

/** One call of one command. */
export interface CommandCall extends ResolvedSettings {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The data folder, absolute. */
  readonly data: string;
}

/** A command: resolves to the exit code, 0 when all is done. */
export type Command = (call: CommandCall) => Promise<number>;

/** Writes to stdout and waits while whoever reads it is slow. */
export async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** Writes a line for people to stderr, so that stdout stays for programs. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
