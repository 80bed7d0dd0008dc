// What a file is called, and that it says in its first line why it exists.
import { basename } from 'node:path/posix';
import type { Finding, Source } from './source.ts';

/** Words that name no reason to exist. */
const EMPTY_WORDS = ['util', 'utils', 'helper', 'helpers', 'common', 'manager', 'impl', 'base', 'misc'];

/** Files named after nothing in particular. */
export function fileName(path: string): readonly Finding[] {
  const words = basename(path)
    .replace(/\..*$/, '')
    .split(/(?=[A-Z])|[-_]/)
    .map((word) => word.toLowerCase());
  const empty = words.find((word) => EMPTY_WORDS.includes(word));
  if (empty === undefined) return [];
  return [{ path, line: 1, rule: 'file-name', message: `'${empty}' says nothing; name the file for its export` }];
}

/** Files that do not begin with a comment, after a `#!` line if they have one. */
export function firstLine({ path, text }: Pick<Source, 'path' | 'text'>): readonly Finding[] {
  const first = text.startsWith('#!') ? (text.split('\n', 2)[1] ?? '') : text;
  if (/^(?:\/\/ ?\S|\/\*)/.test(first)) return [];
  return [{ path, line: 1, rule: 'first-line', message: 'the first line is a comment that says why the file exists' }];
}
