// npm run docs: writes the pages that are made from the code. With --check: says which of them are not fresh.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandLinePage } from './docs/commandLine.ts';
import { errorsPage } from './docs/errors.ts';
import { operatorsPage } from './docs/operators.ts';
import { parseSource, type Source } from './tidy/source.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The sources a pipeline file's imports may come from. */
function authoringSources(): ReadonlyMap<string, Source> {
  const files = ['engine', 'operators', 'codecs', 'ingest', 'sinks'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name.replaceAll('\\', '/')}`),
  );
  const paths = ['index.ts', ...files].filter((path) => path.endsWith('.ts') && existsSync(join(root, path)));
  return new Map(paths.map((path) => [path, parseSource(path, readFileSync(join(root, path), 'utf8'))]));
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
  'docs/command-line.md': commandLinePage(),
  'docs/operators.md': operatorsPage(authoringSources()),
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
