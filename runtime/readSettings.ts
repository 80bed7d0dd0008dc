// Resolves the settings of one call: flag before variable before config file before default.
import { parseArgs } from 'node:util';
import { MillraceError } from '../engine/errors.ts';
import {
  COMMANDS,
  type CommandName,
  flagOf,
  OTHER_VARIABLES,
  type Setting,
  type SettingName,
  type Settings,
  settingEntries,
  variableOf,
} from './config.ts';
import { didYouMean } from './nearest.ts';
import { parseSetting } from './parseSetting.ts';

/** What the command line said, before variables and the config file come in. */
export interface CommandLine {
  readonly command: CommandName;
  readonly args: readonly string[];
  readonly flags: ReadonlyMap<SettingName, unknown>;
}

/** The settings of a call, and which of them somebody asked for. */
export interface ResolvedSettings {
  readonly values: Settings;
  readonly given: ReadonlySet<SettingName>;
}

/**
 * Reads the words after `millrace`.
 *
 * Errors  E_USAGE for an unknown command or flag (with the nearest right one), a missing or unfit value, too few or too many arguments
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const [command, ...rest] = argv;
  if (command === undefined || !Object.hasOwn(COMMANDS, command))
    throw new MillraceError(
      'E_USAGE',
      `there is no command '${command ?? ''}'; ${didYouMean(command ?? '', Object.keys(COMMANDS), (c) => `millrace ${c}`)}`,
    );
  const name = command as CommandName;
  const { flags, args } = parseWords(name, rest);
  const {
    args: [fewest, most],
    form,
  } = COMMANDS[name];
  if (!flags.get('help') && (args.length < fewest || args.length > most))
    throw new MillraceError(
      'E_USAGE',
      `millrace ${name} was given ${args.length === 0 ? 'no argument' : args.map((a) => `'${a}'`).join(' ')}; the form is: millrace ${form}`,
    );
  return { command: name, args, flags };
}

function parseWords(command: CommandName, words: readonly string[]) {
  const byFlag = new Map<string, [SettingName, Setting]>();
  const short: Record<string, string> = {};
  for (const [name, setting] of settingEntries) {
    if (setting.only === 'file') continue;
    byFlag.set(flagOf(name).slice(2), [name, setting]);
    if (setting.short !== undefined) short[setting.short] = flagOf(name).slice(2);
  }
  const options = Object.fromEntries(
    [...byFlag].map(([flag, [, setting]]) => [flag, { type: setting.type === 'flag' ? 'boolean' : 'string' } as const]),
  );
  // No flag has a space in its name: SQL may begin with a comment.
  const meant = words.map((word) => (/^-[^=]*\s/.test(word) ? ` ${word}` : word));
  const { tokens } = parseArgs({ args: meant, options, strict: false, allowPositionals: true, tokens: true });
  const flags = new Map<SettingName, unknown>();
  const args: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') args.push(token.value);
    if (token.kind !== 'option') continue;
    const [name, setting] =
      byFlag.get(short[token.name] ?? token.name) ??
      refuse(
        command,
        token.rawName,
        [...byFlag].filter(([, [, s]]) => s.commands.includes(command)).map(([f]) => f),
      );
    if (!setting.commands.includes(command))
      throw new MillraceError('E_USAGE', `${token.rawName} belongs to millrace ${setting.commands.join(', ')}, not to millrace ${command}`);
    const value = flagValue(command, name, setting, token);
    // A list may be given in pieces: --reset-step a --reset-step b.
    flags.set(name, setting.type === 'list' ? [...((flags.get(name) as string[] | undefined) ?? []), ...(value as string[])] : value);
  }
  return { flags, args };
}

function refuse(command: CommandName, rawName: string, flags: readonly string[]): never {
  const given = rawName.replace(/^-+/, '');
  const minus = /^-\d/.test(rawName) ? '; put -- before an argument that begins with a minus' : '';
  throw new MillraceError('E_USAGE', `millrace ${command} knows no ${rawName}; ${didYouMean(given, flags, (f) => `--${f}`)}${minus}`);
}

function flagValue(
  command: CommandName,
  name: SettingName,
  setting: Setting,
  token: { rawName: string; value?: string | undefined; inlineValue?: boolean | undefined },
): unknown {
  if (setting.type === 'flag') return token.inlineValue ? parseSetting('E_USAGE', command, setting, token.value, token.rawName) : true;
  if (token.value === undefined || (!token.inlineValue && token.value.startsWith('--')))
    throw new MillraceError('E_USAGE', `${token.rawName} needs a value: ${flagOf(name)} ${setting.value ?? 'VALUE'}`);
  return parseSetting('E_USAGE', command, setting, token.value, token.rawName);
}

/**
 * Puts the four sources together.
 *
 * Errors  E_CONFIG for an unknown MILLRACE_* variable or config key (with the nearest right one), or a value of the wrong kind
 */
export function resolveSettings(
  line: CommandLine,
  env: Readonly<Record<string, string | undefined>>,
  file: { readonly path: string; readonly values: unknown } | undefined,
): ResolvedSettings {
  const variables = fromVariables(line.command, env);
  const keys = fromFile(line.command, file);
  const values: Record<string, unknown> = {};
  const given = new Set<SettingName>();
  for (const [name, setting] of settingEntries) {
    const source = [line.flags, variables, keys].find((s) => s.has(name));
    if (source !== undefined) given.add(name);
    values[name] = source === undefined ? setting.default : source.get(name);
    if (values[name] === undefined && setting.type === 'choice') values[name] = setting.choices?.[line.command]?.[0];
  }
  return { values: values as Settings, given };
}

function fromVariables(command: CommandName, env: Readonly<Record<string, string | undefined>>): Map<SettingName, unknown> {
  const known = new Map(
    settingEntries.filter(([, s]) => s.only !== 'flag').map(([name, setting]) => [variableOf(name), [name, setting] as const]),
  );
  const found = new Map<SettingName, unknown>();
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('MILLRACE_') || Object.hasOwn(OTHER_VARIABLES, variable)) continue;
    const entry = known.get(variable);
    if (entry === undefined)
      throw new MillraceError(
        'E_CONFIG',
        `the environment variable ${variable} is not known; ${didYouMean(variable, [...known.keys(), ...Object.keys(OTHER_VARIABLES)])}`,
      );
    // An empty variable is how a shell unsets one for a single call.
    if (text !== undefined && text !== '') found.set(entry[0], parseSetting('E_CONFIG', command, entry[1], text, variable));
  }
  return found;
}

function fromFile(command: CommandName, file: { readonly path: string; readonly values: unknown } | undefined): Map<SettingName, unknown> {
  const found = new Map<SettingName, unknown>();
  if (file === undefined) return found;
  const { path, values } = file;
  if (typeof values !== 'object' || values === null || Array.isArray(values))
    throw new MillraceError(
      'E_CONFIG',
      `${path}: the default export must be an object of settings, e.g. export default { httpPort: 9000 }`,
    );
  const known = new Map<string, Setting>(settingEntries.filter(([, s]) => s.only !== 'flag'));
  for (const [key, value] of Object.entries(values)) {
    const setting = known.get(key);
    if (setting === undefined)
      throw new MillraceError('E_CONFIG', `${path}: the key '${key}' is not known; ${didYouMean(key, [...known.keys()])}`);
    if (value !== undefined) found.set(key as SettingName, parseSetting('E_CONFIG', command, setting, value, `${path}: ${key}`));
  }
  return found;
}
