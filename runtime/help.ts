// The help texts, out of the table of commands and settings.
import { COMMANDS, type CommandName, flagOf, type Setting, settingEntries, variableOf } from './config.ts';

/** `millrace --help`. */
export function generalHelp(version: string): string {
  const commands = Object.values(COMMANDS).map(({ form, summary }) => [form, summary] as const);
  return [
    `millrace ${version}: Kafka Streams for TypeScript, with MQTT on the way in and DuckDB on the way out`,
    '',
    ...columns(commands.map(([form, summary]) => [`  millrace ${form}`, summary])),
    '',
    'millrace COMMAND --help says more. Every setting is also a variable (--http-port = MILLRACE_HTTP_PORT) and a key of',
    'millrace.config.ts in the working folder (httpPort). Flags go before variables, variables before the file.',
    'Exit codes: 0 done, 1 failed while running, 2 wrong use.',
    '',
  ].join('\n');
}

/** `millrace COMMAND --help`. */
export function commandHelp(command: CommandName): string {
  const { form, summary, about } = COMMANDS[command];
  return [`millrace ${form}`, '', `${summary[0]?.toUpperCase()}${summary.slice(1)}.`, ...about, '', ...columns(flagRows(command)), ''].join(
    '\n',
  );
}

/** Rows of `--flag VALUE` and what it means, for help and docs. */
export function flagRows(command: CommandName): readonly (readonly [string, string])[] {
  return settingEntries
    .filter(([, setting]) => setting.commands.includes(command))
    .map(([name, setting]) => [`  ${leftOf(name, setting)}`, helpOf(command, name, setting)]);
}

function leftOf(name: string, setting: Setting): string {
  if (setting.only === 'file') return variableOf(name);
  const flag = `${setting.short === undefined ? '' : `-${setting.short}, `}${flagOf(name)}`;
  return setting.value === undefined ? flag : `${flag} ${setting.value}`;
}

function helpOf(command: CommandName, name: string, setting: Setting): string {
  const choices = setting.choices?.[command];
  const parts = [setting.help];
  if (choices !== undefined && setting.value !== choices.join('|')) parts.push(`: ${choices.join(', ')}`);
  if (setting.default !== undefined && setting.default !== false) parts.push(` (default ${setting.default})`);
  if (setting.only === 'file') parts.push(` (config key ${name})`);
  return parts.join('');
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => left.padEnd(width) + right);
}
