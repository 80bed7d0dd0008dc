// A child process that does what its settings tell it, for the tests of the supervisor's half.
import { appendFileSync } from 'node:fs';
import { MillraceError } from '../../../engine/errors.ts';
import { runChild } from '../../../runtime/child.ts';

export interface ToldSettings {
  /** Where each start leaves a line: its pid and the kill point it was given. */
  readonly diary: string;
  readonly act?: 'throw' | 'exit' | 'hang' | 'refuse to stop' | 'config error' | 'throw later';
}

runChild<ToldSettings>(async ({ diary, act }, link) => {
  const note = (what: string): void => appendFileSync(diary, `${process.pid} ${what}\n`);
  note(`start ${process.env.MILLRACE_KILL_AT ?? '-'}`);
  if (act === 'config error') throw new MillraceError('E_STATE_SHAPE', 'the step changed');
  if (act === 'throw') throw new Error('no good');
  if (act === 'exit') process.exit(3);
  if (act === 'hang')
    setTimeout(() => {
      for (;;);
    }, 50);
  if (act === 'throw later') setTimeout(() => link.fail(new Error('later')), 20);
  return {
    ready: { kind: 'ready', pipelines: ['told'] },
    async stop() {
      if (act === 'refuse to stop') await new Promise(() => {});
      note('stop');
    },
  };
});
