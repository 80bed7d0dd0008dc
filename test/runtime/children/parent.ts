// A supervisor that only starts one child and prints its pid, to be killed by a test.
import { superviseChild } from '../../../runtime/supervisedChild.ts';
import type { ToldSettings } from './told.ts';

const child = superviseChild<ToldSettings>({
  role: 'line',
  module: 'test/runtime/children/told',
  stuckMs: 10_000,
  falseStartsMax: 1,
  settings: () => ({ diary: process.argv[2] as string }),
  hear: (message) => {
    if (message.kind === 'ready') process.stdout.write(`${child.pid}\n`);
  },
  isFinal: () => true,
  failed: (error) => {
    throw error;
  },
  tell: () => {},
});
child.start();
