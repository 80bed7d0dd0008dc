// docs/errors.md out of the closed list of engine/errors.ts.
import { type Disposition, ERRORS } from '../../engine/errors.ts';

/** What each disposition means, in the order of the page. */
const DISPOSITIONS: Readonly<Record<Disposition, readonly [heading: string, says: string]>> = {
  drop: [
    'Drop: the record goes to the dead letters, the stream goes on',
    'The record is written to the topic `millrace.dlq` with the code, the reason, where it came from and its raw bytes, and counted in `/metrics`. Everything it had done so far is undone. Read them with `millrace read millrace.dlq`.',
  ],
  retry: ['Retry: pause, back off, go on', 'Nothing is lost: what was not acknowledged is sent again by the device.'],
  stop: [
    'Stop: say so and end',
    'The command or process ends with a non-zero exit code (2 for wrong use, 1 for everything else) and a message that names what was passed, where, and the fix. What was acknowledged is in the log.',
  ],
  assert: [
    'Assert: a bug in millrace',
    'The process ends at once rather than write something that may be wrong. The log keeps its last commit.',
  ],
};

/** The whole page. */
export function errorsPage(): string {
  const lines = [
    '# Errors',
    '',
    '<!-- Generated from engine/errors.ts by scripts/docs.ts. Do not edit: run `npm run docs`. -->',
    '',
    'Every error of millrace carries one of these codes, and no other. A message reads `CODE: what was passed, where, and what was probably meant`.',
    'The code decides what happens to the record or the process:',
    '',
  ];
  for (const [disposition, [heading, says]] of Object.entries(DISPOSITIONS)) {
    lines.push(`## ${heading}`, '', says, '', '| code | what it says | what to do |', '|---|---|---|');
    for (const [code, entry] of Object.entries(ERRORS))
      if (entry.disposition === disposition) lines.push(`| <a id="${code}"></a>\`${code}\` | ${entry.says} | ${entry.fix} |`);
    lines.push('');
  }
  return lines.join('\n');
}
