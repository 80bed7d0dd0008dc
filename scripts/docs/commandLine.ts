// docs/command-line.md out of the table of commands and settings, as the command itself prints its help.
import { COMMANDS, type CommandName, flagOf, settingEntries, variableOf } from '../../runtime/config.ts';
import { commandHelp } from '../../runtime/help.ts';

/** The whole page. */
export function commandLinePage(): string {
  const commands = Object.keys(COMMANDS) as CommandName[];
  const settings = settingEntries.filter(([, { only }]) => only !== 'flag');
  return [
    '# Command line and settings',
    '',
    '<!-- Generated from runtime/config.ts by scripts/docs.ts. Do not edit: run `npm run docs`. -->',
    '',
    'Exit codes: 0 done, 1 failed while running, 2 wrong use. An unknown flag, variable or key is an error that names the nearest right one.',
    '',
    ...commands.flatMap((command) => [`## millrace ${command}`, '', '```text', commandHelp(command).trimEnd(), '```', '']),
    '## Settings',
    '',
    'A flag goes before a variable, a variable before a key of `millrace.config.ts` in the working folder:',
    '',
    '```ts',
    'export default { httpPort: 9090 };',
    '```',
    '',
    '| flag | variable | config key | what it sets |',
    '|---|---|---|---|',
    ...settings.map(
      ([name, { only, help }]) =>
        `| ${only === 'file' ? '' : `\`${flagOf(name)}\``} | \`${variableOf(name)}\` | \`${name}\` | ${help.replaceAll('|', '\\|')} |`,
    ),
    '',
  ].join('\n');
}
