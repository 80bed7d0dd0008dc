#!/usr/bin/env node
// The millrace command: reads the command line, resolves the settings, runs one command, sets the exit code.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { codeOf } from '../engine/errors.ts';
import type { Command } from './command.ts';
import { type CommandName, OTHER_VARIABLES } from './config.ts';
import { commandHelp, generalHelp } from './help.ts';
import { packageVersion } from './ownPackage.ts';
import { errorText } from './printError.ts';
import { type CommandLine, parseCommandLine, type ResolvedSettings, resolveSettings } from './readSettings.ts';

/** Loaded when called, so that `millrace --help` and `read` do not wait for what they do not use. */
const LOAD: Readonly<Record<CommandName, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).run,
  query: async () => (await import('./commands/query.ts')).query,
  read: async () => (await import('./commands/read.ts')).read,
  publish: async () => (await import('./commands/publish.ts')).publish,
  topics: async () => (await import('./commands/topics.ts')).topics,
  describe: async () => (await import('./commands/describe.ts')).describe,
};

const CONFIG_FILES = ['millrace.config.ts', 'millrace.config.js', 'millrace.config.mjs'];

async function main(argv: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Promise<number> {
  if (argv.length === 0 || argv[0] === '--help' || argv[0] === '-h' || argv[0] === 'help') {
    process.stdout.write(generalHelp(packageVersion()));
    return argv.length === 0 ? 2 : 0;
  }
  let line: CommandLine;
  let resolved: ResolvedSettings;
  try {
    if (argv[0] === '--version' || argv[0] === '-v') return version();
    line = parseCommandLine(argv);
    if (line.flags.get('version')) return version();
    if (line.flags.get('help')) {
      process.stdout.write(commandHelp(line.command));
      return 0;
    }
    resolved = resolveSettings(line, env, await configFile(cwd));
  } catch (error) {
    return failed(error, env, 2);
  }
  try {
    const command = await LOAD[line.command]();
    return await command({ ...resolved, args: line.args, cwd, env, data: resolve(cwd, resolved.values.data) });
  } catch (error) {
    return failed(error, env, codeOf(error) === 'E_USAGE' ? 2 : 1);
  }
}

function version(): number {
  process.stdout.write(`${packageVersion()}\n`);
  return 0;
}

function failed(error: unknown, env: NodeJS.ProcessEnv, exitCode: number): number {
  process.stderr.write(errorText(error, Boolean(env['MILLRACE_DEBUG' satisfies keyof typeof OTHER_VARIABLES])));
  return exitCode;
}

async function configFile(cwd: string): Promise<{ path: string; values: unknown } | undefined> {
  const path = CONFIG_FILES.map((name) => join(cwd, name)).find((p) => existsSync(p));
  if (path === undefined) return undefined;
  const { loadDefault } = await import('./loadModule.ts');
  return { path, values: await loadDefault(path, 'E_CONFIG') };
}

// Whoever reads our output may have seen enough (`millrace read t | head`): that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await main(process.argv.slice(2), process.env, process.cwd());
