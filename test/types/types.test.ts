// The files beside this one compile: what must be inferred is, and what must not compile does not.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

it('the types of the authoring API infer and refuse what they should', () => {
  const { status, stdout } = spawnSync(process.execPath, [here('../../node_modules/typescript/bin/tsc'), '-p', here('.')], {
    encoding: 'utf8',
  });
  const ours = stdout.split('\n').filter((line) => /test\/types\//.test(line) || line.startsWith('types/'));
  expect(ours).toEqual([]);
  expect([0, 2]).toContain(status);
}, 120_000);
