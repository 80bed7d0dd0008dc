// Runs the command line as users do: real processes, temporary folders, free ports.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { RunningInfo } from '../../runtime/messages.ts';

const CLI = fileURLToPath(new URL('../../runtime/cli.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

/** What a finished command left. */
export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Finished>;
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Resolves when what was written so far matches; rejects when the process ends first. */
  until(where: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpMatchArray>;
}

export interface CallOptions {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts `millrace …args`. */
export function start(args: readonly string[], { cwd, env = {} }: CallOptions): Started {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE_') && name !== 'NODE_OPTIONS'),
  );
  const child = spawn(process.execPath, ['--import', TSX, CLI, ...args], {
    cwd,
    env: { ...clean, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  const waiting = new Set<() => void>();
  for (const where of ['stdout', 'stderr'] as const)
    child[where].setEncoding('utf8').on('data', (chunk: string) => {
      text[where] += chunk;
      for (const look of waiting) look();
    });
  const ended = new Promise<Finished>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, ...text }));
  });
  const until: Started['until'] = (where, pattern) =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const match = text[where].match(pattern);
        if (match === null) return;
        waiting.delete(look);
        resolve(match);
      };
      waiting.add(look);
      look();
      void ended.then((end) =>
        reject(new Error(`it ended with ${end.code ?? end.signal} before ${where} matched ${pattern}:\n${end.stdout}${end.stderr}`)),
      );
    });
  return { child, ended, stdout: () => text.stdout, stderr: () => text.stderr, until };
}

/** Runs `millrace …args` to its end. */
export function call(args: readonly string[], options: CallOptions): Promise<Finished> {
  return start(args, options).ended;
}

/** What the ready line says. */
export type ReadyLine = Omit<RunningInfo, 'pid' | 'tables'>;

/** Starts `millrace run …args` on free ports and waits for the ready line. */
export async function startRun(args: readonly string[], options: CallOptions): Promise<Started & { readonly ready: ReadyLine }> {
  const started = start(['run', ...args, '--mqtt-port', '0', '--http-port', '0'], options);
  const [, json] = await started.until('stdout', /^millrace ready (\{.*\})\n/m);
  return { ...started, ready: JSON.parse(json as string) as ReadyLine };
}

/** Stops a run as Ctrl-C does. */
export function interrupt(run: Started): Promise<Finished> {
  run.child.kill('SIGINT');
  return run.ended;
}

/** A folder outside the repository, with files in it. */
export function temporaryFolder(files: Readonly<Record<string, string>> = {}): {
  readonly dir: string;
  write(name: string, text: string): string;
  remove(): void;
} {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'millrace-cli-')));
  const write = (name: string, text: string): string => {
    const path = join(dir, name);
    writeFileSync(path, text);
    return path;
  };
  for (const [name, text] of Object.entries(files)) write(name, text);
  return { dir, write, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** A pipeline that counts per key, with a schema of its own and no dependency but millrace. */
export const TINY_PIPELINE = `
import { duckdb, filter, json, map, mqtt, pipeline, stream, topic } from 'millrace';

interface Reading { at: number; n: number }
const reading = {
  '~standard': {
    version: 1, vendor: 'test', types: undefined as unknown as { input: Reading; output: Reading },
    validate(value: unknown) {
      const r = value as Reading;
      return typeof r?.at === 'number' && typeof r?.n === 'number' ? { value: r } : { issues: [{ message: 'expected { at, n }' }] };
    },
  },
} as const;

const readings = topic('tiny.readings', json(reading), { from: mqtt('tiny/+device', { key: '{device}', eventTime: (r) => r.at }) });
const even = stream(readings).pipe(filter((r) => r.n % 2 === 0), map((r) => ({ n: r.n, twice: r.n * 2 })));
export default pipeline('tiny', [even.to(duckdb('even'))]);
`;
