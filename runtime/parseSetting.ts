// Turns what somebody wrote for one setting into its value, or says what would have been right.
import { type ErrorCode, MillraceError } from '../engine/errors.ts';
import type { CommandName, Setting } from './config.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * The value of a setting out of text (flag, variable) or of a config file's own value. `where` names it in the message.
 *
 * Errors  `code`, when it does not fit
 */
export function parseSetting(code: ErrorCode, command: CommandName, setting: Setting, given: unknown, where: string): unknown {
  const refuse = (what: string): never => {
    throw new MillraceError(code, `${where} is ${typeof given === 'string' ? `'${given}'` : JSON.stringify(given)}; ${what}`);
  };
  switch (setting.type) {
    case 'flag':
      return parseFlag(given) ?? refuse('use true or false');
    case 'text':
      return typeof given === 'string' && given !== '' ? given : refuse('give a text that is not empty');
    case 'list':
      return parseList(given) ?? refuse('give a list of names or paths');
    case 'choice':
      return parseChoice(setting, command, given) ?? refuse(`use ${(choicesOf(setting, command) ?? []).join(', ')}`);
    case 'size':
      return parseSize(given, setting.least ?? 0) ?? refuse(`give a size of at least ${setting.least ?? 0} bytes, e.g. 512MiB or 16GiB`);
    case 'port':
      return numberOf(given, 0, 65_535, true) ?? refuse('a port is a whole number from 0 to 65535');
    case 'whole':
      return (
        numberOf(given, setting.least ?? 0, Number.MAX_SAFE_INTEGER, true) ?? refuse(`give a whole number of ${setting.least ?? 0} or more`)
      );
    case 'number':
      return numberOf(given, setting.least ?? 0, Number.MAX_VALUE, false) ?? refuse(`give a number of ${setting.least ?? 0} or more`);
  }
}

function parseFlag(given: unknown): boolean | undefined {
  if (typeof given === 'boolean') return given;
  if (given === 'true' || given === '1') return true;
  return given === 'false' || given === '0' ? false : undefined;
}

function parseList(given: unknown): readonly string[] | undefined {
  const list = typeof given === 'string' ? given.split(',').map((item) => item.trim()) : given;
  return Array.isArray(list) && list.every((item) => typeof item === 'string' && item !== '') ? list : undefined;
}

/** The choices a command has; a variable or config key is read by every command, so any command's choices do for the others. */
function choicesOf(setting: Setting, command: CommandName): readonly string[] | undefined {
  return setting.choices?.[command] ?? Object.values(setting.choices ?? {})[0];
}

function parseChoice(setting: Setting, command: CommandName, given: unknown): string | undefined {
  const text = typeof given === 'number' ? String(given) : given;
  return choicesOf(setting, command)?.find((choice) => choice === text);
}

function parseSize(given: unknown, least: number): number | undefined {
  if (typeof given === 'number') return Number.isSafeInteger(given) && given >= least ? given : undefined;
  const match = typeof given === 'string' ? /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(given) : null;
  const unit = match === null ? undefined : UNITS[(match[2] as string).toLowerCase()];
  if (match === null || unit === undefined) return undefined;
  const bytes = Math.round(Number(match[1]) * unit);
  return Number.isSafeInteger(bytes) && bytes >= least ? bytes : undefined;
}

function numberOf(given: unknown, least: number, most: number, whole: boolean): number | undefined {
  const n = typeof given === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(given) ? Number(given) : given;
  if (typeof n !== 'number' || !(n >= least && n <= most)) return undefined;
  return !whole || Number.isSafeInteger(n) ? n : undefined;
}
