// Every @example of an operator's doc comment runs here: what it shows is what it does.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as rxjs from 'rxjs';
import { describe, expect, it } from 'vitest';
import * as millrace from '../../index.ts';
import { type Build, rows, run, series } from './series.ts';

const folder = fileURLToPath(new URL('../../operators', import.meta.url));
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

interface Example {
  readonly file: string;
  readonly code: string;
  readonly lines: (label: string) => readonly string[];
}

function examplesOf(file: string): readonly Example[] {
  const text = readFileSync(`${folder}/${file}`, 'utf8');
  return [...text.matchAll(/\* @example (?<code>.*)\n(?<series>(?: \* {3}.*\n)*)/g)].map(({ groups }) => ({
    file,
    code: groups?.code ?? '',
    lines: (label) =>
      [...(groups?.series ?? '').matchAll(new RegExp(`^ \\* {3}${label}\\s+(.*)$`, 'gm'))].map((match) => match[1] as string),
  }));
}

const examples = files.flatMap(examplesOf).filter(({ lines }) => lines('in').length > 0);

/** The step an example's code line makes; the code is plain JavaScript with what `millrace` exports in scope. */
function stepOf(code: string): Build {
  const scope = { ...millrace, rxjs, rows };
  // oxlint-disable-next-line typescript/no-implied-eval
  const made = new Function(...Object.keys(scope), `return ${code};`)(...Object.values(scope));
  return (from) => from.pipe(made);
}

describe('examples in doc comments', () => {
  it('exist for every operator', () => {
    const named = new Set(examples.map(({ file }) => file.replace(/^.*\/|\.ts$/g, '')));
    for (const name of ['filter', 'map', 'flatMap', 'peek', 'rx', 'rekey', 'leftJoinTable', 'joinTable', 'aggregate', 'dedupe', 'alert'])
      expect(named).toContain(name);
    for (const name of ['count', 'sum', 'mean', 'min', 'max', 'variance', 'first', 'last']) expect(named).toContain(name);
  });

  it.each(examples.map((example) => [example.file, example] as const))('%s', (_file, { code, lines }) => {
    const outcome = run(stepOf(code), series(...lines('in')), { end: false, table: series(...lines('table')) });
    const expected = series(...lines('out')).map(({ key, value, atMs }) => `${key} ${atMs / 1_000}s=${JSON.stringify(value)}`);
    expect(outcome.dead).toEqual([]);
    // An alert's example names the state alone: an event is too long for a line.
    expect(outcome.out.map((line) => line.replace(/=\{"alertId".*"state":("\w+").*$/, '=$1'))).toEqual(expected);
  });
});
