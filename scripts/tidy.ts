// npm run check, last part: the rules of the repository that no linter knows. Prints `file:line rule — fix`.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { banned } from './tidy/banned.ts';
import { dependencies, dependencyDocs } from './tidy/dependencies.ts';
import { documented } from './tidy/documented.ts';
import { imports } from './tidy/imports.ts';
import { fileName, firstLine } from './tidy/naming.ts';
import { places } from './tidy/places.ts';
import { type Finding, parseSource, type Source } from './tidy/source.ts';
import { startWeight } from './tidy/startWeight.ts';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');

/** Tracked and new files, as git sees them; ignored ones are nobody's. */
function repositoryFiles(): readonly string[] {
  const { stdout, status } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error('tidy needs git, to know which files belong to the repository');
  return stdout.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
}

/** Text files are read for names of places; data and pictures are not. */
const isText = (path: string): boolean => /\.(?:ts|js|mjs|cjs|json|md|sh|yml|yaml|sql|toml|xml)$|^[^.]+$|^\.[^/]+$/.test(path);

function tidy(): readonly Finding[] {
  const files = repositoryFiles();
  const sources = new Map<string, Source>();
  const found: Finding[] = [];
  for (const path of files) {
    found.push(...fileName(path));
    if (!isText(path)) continue;
    const text = readFileSync(join(root, path), 'utf8');
    found.push(...places(path, text));
    if (path.endsWith('.ts')) sources.set(path, parseSource(path, text));
  }
  for (const source of sources.values()) {
    if (source.syntaxError !== undefined) found.push({ path: source.path, line: 1, rule: 'syntax', message: source.syntaxError });
    found.push(...firstLine(source), ...imports(source), ...banned(source));
  }
  const manifest = readFileSync(join(root, 'package.json'), 'utf8');
  found.push(...documented(sources), ...dependencies(sources.values(), manifest));
  found.push(...dependencyDocs(manifest, readFileSync(join(root, 'docs/dependencies.md'), 'utf8')));
  if (sources.has('index.ts')) found.push(...startWeight(join(root, 'index.ts'), root));
  return found;
}

/** One line per place and rule: two finds of a rule in a line are mended together. */
function unique(findings: readonly Finding[]): readonly Finding[] {
  return [...new Map(findings.map((one) => [`${one.path}:${one.line} ${one.rule} ${one.message}`, one])).values()];
}

const found = unique(tidy());
for (const { path, line, rule, message } of found) console.log(`${path}:${line} ${rule} — ${message}`);
if (found.length > 0) {
  console.log(`tidy: ${found.length} to mend`);
  process.exitCode = 1;
}
