// The documents say what the code says: error codes both ways, links that lead somewhere, commands that exist.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../engine/errors.ts';
import { errorsPage } from '../scripts/docs/errors.ts';
import { docParts, operatorsPage } from '../scripts/docs/operators.ts';
import { parseSource } from '../scripts/tidy/source.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)].filter(
  (path) => path.endsWith('.md') && existsSync(join(root, path)),
);

/** GitHub's anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .replace(/ /g, '-');

const anchorsOf = (text: string): ReadonlySet<string> =>
  new Set([
    ...[...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => anchorOf(heading ?? '')),
    ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id ?? ''),
  ]);

describe('docs/errors.md', () => {
  it('has every code of engine/errors.ts, and no other', () => {
    const page = read('docs/errors.md');
    const inPage = [...page.matchAll(/<a id="(E_[A-Z0-9_]+)">/g)].map(([, code]) => code);
    expect(inPage.toSorted()).toEqual(Object.keys(ERRORS).toSorted());
    for (const { says, fix } of Object.values(ERRORS)) {
      expect(page).toContain(says);
      expect(page).toContain(fix);
    }
  });

  it('lists no code that nothing raises', () => {
    const folders = ['engine', 'operators', 'codecs', 'ingest', 'sinks', 'log', 'runtime', 'testing'];
    const files = folders.flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
    );
    const code = files.filter((path) => path.endsWith('.ts') && path !== join('engine', 'errors.ts')).map(read);
    code.push(read('engine/errors.ts').replace(/^ {2}E_[A-Z_]+: \{.*$/gm, ''));
    const unused = Object.keys(ERRORS).filter((name) => !code.some((text) => text.includes(`'${name}'`)));
    expect(unused).toEqual([]);
  });

  it('is what npm run docs writes', () => {
    expect(read('docs/errors.md')).toBe(errorsPage());
  });

  it('names in all documents only codes that exist', () => {
    for (const path of pages)
      for (const [code] of read(path).matchAll(/\bE_[A-Z][A-Z0-9_]*[A-Z0-9]\b/g))
        expect(Object.keys(ERRORS), `${path}: ${code}`).toContain(code);
  });
});

describe('docs/operators.md', () => {
  it('takes a doc comment apart', () => {
    const doc = 'Emits one.\n\nMore prose.\n\nShape   a → b\nErrors  none\n@example  in   d1  0s=20\n          out  d1  1s=3';
    expect(docParts(doc)).toEqual({
      prose: 'Emits one.\n\nMore prose.',
      fields: 'Shape   a → b\nErrors  none',
      examples: ['in   d1  0s=20\nout  d1  1s=3'],
    });
  });

  it('shows functions and constants with their signature, and leaves types and the index out', () => {
    const files = {
      'index.ts': "export { keep, type Hidden } from './operators/index.ts';\n",
      'operators/index.ts': "export { keep, type Hidden } from './keep.ts';\n",
      'operators/keep.ts':
        '// why\n/** Keeps all. */\nexport function keep<V>(value: V): V {\n  return value;\n}\n/** Not shown. */\nexport interface Hidden {}\n/** Nor this. */\nexport function inner(): void {}\n',
    };
    const page = operatorsPage(new Map(Object.entries(files).map(([path, text]) => [path, parseSource(path, text)])));
    expect(page).toContain('## keep\n\nKeeps all.\n\n```ts\nfunction keep<V>(value: V): V\n```');
    expect(page).not.toContain('Hidden');
    expect(page).not.toContain('inner');
  });
});

describe('links', () => {
  it.each(pages)('of %s lead to files and headings that exist', (path) => {
    const text = read(path)
      .replace(/```[\s\S]*?```/g, '')
      .replace(/`[^`\n]*`/g, '');
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [file = '', anchor] = target.split('#', 2);
      const to = file === '' ? path : normalize(join(dirname(path), file));
      expect(existsSync(join(root, to)), `${path} → ${target}`).toBe(true);
      if (anchor !== undefined && to.endsWith('.md')) expect([...anchorsOf(read(to))], `${path} → ${target}`).toContain(anchor);
    }
  });

  it.each(pages)('of %s name npm scripts that exist', (path) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const [, name = ''] of read(path).matchAll(/\bnpm run (?:-s )?([a-z][\w:-]*)/g))
      expect(Object.keys(scripts), path).toContain(name);
  });
});
