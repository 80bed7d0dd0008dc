// npm run docs: writes the pages that are made from the code. With --check: says which of them are not fresh.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorsPage } from './docs/errors.ts';
import { operatorsPage } from './docs/operators.ts';
import { parseSource, type Source } from './tidy/source.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

function operatorSources(): readonly Source[] {
  return readdirSync(join(root, 'operators'), { recursive: true, encoding: 'utf8' })
    .map((name) => `operators/${name.replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')));
}

function read(path: string): string {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch {
    return '';
  }
}

const pages: Readonly<Record<string, string>> = {
  'docs/errors.md': errorsPage(),
  'docs/operators.md': operatorsPage(operatorSources()),
};

for (const [path, text] of Object.entries(pages)) {
  if (read(path) === text) continue;
  if (process.argv.includes('--check')) {
    console.log(`${path}:1 docs — not what the code says now; run npm run docs`);
    process.exitCode = 1;
  } else {
    writeFileSync(join(root, path), text);
    console.log(`wrote ${path}`);
  }
}
