// The rules of scripts/tidy.ts catch what they are for: each snippet here is a mistake that must be found, or is fine.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { banned } from '../scripts/tidy/banned.ts';
import { dependencies, dependencyDocs } from '../scripts/tidy/dependencies.ts';
import { documented } from '../scripts/tidy/documented.ts';
import { imports } from '../scripts/tidy/imports.ts';
import { fileName, firstLine } from '../scripts/tidy/naming.ts';
import { places } from '../scripts/tidy/places.ts';
import { type Finding, parseSource, type Source } from '../scripts/tidy/source.ts';
import { loadedBy, startWeight } from '../scripts/tidy/startWeight.ts';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const rules = (findings: readonly Finding[]): string[] => findings.map(({ line, rule }) => `${line} ${rule}`);
const tree = (files: Readonly<Record<string, string>>): ReadonlyMap<string, Source> =>
  new Map(Object.entries(files).map(([path, text]) => [path, parseSource(path, text)]));

describe('imports', () => {
  it.each([
    ['engine/a.ts', "import { x } from '../operators/map.ts';"],
    ['engine/a.ts', "import type { X } from '../log/recordBatch.ts';"],
    ['engine/a.ts', "export * from '../codecs/json.ts';"],
    ['engine/a.ts', "type X = import('../sinks/duckdb.ts').X;"],
    ['engine/a.ts', "import { readFileSync } from 'node:fs';"],
    ['engine/a.ts', "import pino from 'pino';"],
    ['engine/a.ts', "import { setImmediate } from 'node:timers/promises';"],
    ['engine/worker.ts', "import { open } from 'node:fs/promises';"],
    ['operators/a.ts', "import { json } from '../codecs/json.ts';"],
    ['operators/a.ts', "const x = () => import('../ingest/mqtt.ts');"],
    ['sinks/a.ts', "import { x } from '../log/embedded/embeddedLog.ts';"],
    ['ingest/a.ts', "import { x } from '../runtime/config.ts';"],
    ['log/memory/a.ts', "import { x } from '../embedded/embeddedLog.ts';"],
    ['pipelines/smart-city/a.ts', "import { map } from '../../operators/map.ts';"],
    ['pipelines/smart-city/a.ts', "import { x } from '../factory/b.ts';"],
    ['pipelines/smart-city/a.ts', "import { open } from 'lmdb';"],
    ['index.ts', "export { run } from './runtime/run.ts';"],
    ['runtime/a.ts', "import { Kafka } from 'kafkajs';"],
    ['bench/a.ts', "import { open } from 'lmdb';"],
    ['test/a.test.ts', "import { x } from 'rxjs/internal/Observable';"],
    ['runtime/a.ts', "import { x } from './config';"],
    ['runtime/a.ts', "import { x } from './config.js';"],
  ])('finds in %s: %s', (path, line) => {
    const found = imports(parseSource(path, `// why\n${line}\n`));
    expect(rules(found)).toEqual(['2 imports']);
    expect(found[0]?.message).toMatch(/\S/);
  });

  it.each([
    ['engine/a.ts', "import { Observable } from 'rxjs';\nimport { b } from './b.ts';"],
    ['engine/worker.ts', "import { setImmediate as nextTurn } from 'node:timers/promises';"],
    ['operators/a.ts', "import { step } from '../engine/step.ts';\nimport { map } from './map.ts';"],
    ['log/embedded/a.ts', "import { open } from 'lmdb';\nimport { x } from '../recordBatch.ts';"],
    ['test/log/embedded/a.test.ts', "import { open } from 'lmdb';"],
    ['log/kafka/a.ts', "import { Kafka } from 'kafkajs';"],
    ['pipelines/smart-city/a.ts', "import { map } from 'millrace';\nimport { z } from 'zod';\nimport { b } from './b.ts';"],
    ['runtime/a.ts', "import { x } from '../pipelines/smart-city/player.ts';\nimport { y } from '../log/embedded/embeddedLog.ts';"],
    ['testing/a.ts', "import { memoryLog } from '../log/memory/memoryLog.ts';"],
    ['engine/a.ts', "// import { x } from '../operators/map.ts'\nconst text = \"import x from 'lmdb'\";"],
  ])('lets %s be: %s', (path, text) => {
    expect(imports(parseSource(path, text))).toEqual([]);
  });
});

describe('banned words', () => {
  it.each([
    ['engine/a.ts', 'const t = Date.now();', 'no-clock'],
    ['engine/a.ts', 'const t = Date .now();', 'no-clock'],
    ['engine/a.ts', 'const clock = Date.now;', 'no-clock'],
    ['operators/a.ts', 'const t = new Date();', 'no-clock'],
    ['operators/a.ts', 'const r = Math.random();', 'no-clock'],
    ['engine/a.ts', 'const t = performance.now();', 'no-clock'],
    ['engine/a.ts', 'setTimeout(() => 1, 5);', 'no-clock'],
    ['engine/a.ts', 'setInterval(() => 1, 5);', 'no-clock'],
    ['engine/a.ts', 'await Promise.resolve();', 'no-await'],
    ['engine/a.ts', 'for await (const x of y) x;', 'no-await'],
    ['operators/a.ts', 'const f = async () => 1;', 'no-await'],
    ['operators/a.ts', 'async function f() {}', 'no-await'],
    ['operators/a.ts', 'const x: any = 1;', 'no-any'],
    ['operators/a.ts', 'const x: any = 1; // any: it is easier', 'no-any'],
    ['engine/a.ts', 'const x = y as any;', 'no-any'],
    ['engine/a.ts', 'const x = y as any; // any:', 'no-any'],
    ['engine/worker.ts', 'const x: any = 1;', 'no-any'],
  ])('finds in %s: %s', (path, line, rule) => {
    expect(rules(banned(parseSource(path, `// why\n${line}\n`)))).toEqual([`2 ${rule}`]);
  });

  it.each([
    ['engine/worker.ts', 'await new Promise((done) => setTimeout(done, performance.now()));'],
    ['engine/a.ts', '// Date.now and await are banned, any way you look at it\nconst text = "await Date.now() any";'],
    ['engine/a.ts', 'const at = new Date(0); const n = clock.now();'],
    ['engine/a.ts', 'const x: Step<any> = y; // any: a step of whatever record'],
    ['engine/step.ts', 'export type AnyRec = Rec<any, any>;'],
    ['runtime/a.ts', 'const x: any = await Date.now();'],
    ['operators/a.ts', 'const anyOf = 1; type Any = unknown;'],
  ])('lets %s be: %s', (path, text) => {
    expect(banned(parseSource(path, text))).toEqual([]);
  });
});

describe('documented', () => {
  const missing = (files: Readonly<Record<string, string>>): string[] =>
    documented(tree(files)).map(({ path, line, message }) => `${path}:${line} ${/'(.*?)'/.exec(message)?.[1]}`);

  it('asks for a doc comment on every export of engine and operators', () => {
    const text = '// why\nexport const a = 1;\n// not a doc comment\nexport interface B {}\n/** said */\n\nexport function c(): void {}\n';
    expect(missing({ 'operators/a.ts': text })).toEqual(['operators/a.ts:2 a', 'operators/a.ts:4 B']);
    expect(missing({ 'runtime/a.ts': text })).toEqual([]);
  });

  it('does not take the comment of something else', () => {
    expect(missing({ 'engine/a.ts': '/** of x */\nconst x = 1;\nexport const y = x;\n' })).toEqual(['engine/a.ts:3 y']);
    expect(missing({ 'engine/a.ts': '/** */\nexport const y = 1;\n' })).toEqual(['engine/a.ts:2 y']);
  });

  it('follows re-exports of the entry points to the declaration', () => {
    const files = {
      'index.ts': "export { duckdb as table } from './sinks/duckdb.ts';\nexport * from './ingest/mqtt.ts';\n",
      'sinks/duckdb.ts': '// why\nexport const duckdb = 1;\nexport const hidden = 2;\n',
      'ingest/mqtt.ts': '// why\nconst mqtt = 1;\nexport { mqtt };\n',
    };
    expect(missing(files)).toEqual(['sinks/duckdb.ts:2 duckdb', 'ingest/mqtt.ts:2 mqtt']);
  });

  it('counts the first of several overloads', () => {
    expect(
      missing({
        'engine/a.ts': '/** said */\nexport function a(x: 1): 1;\nexport function a(x: 2): 2;\nexport function a(x: 1 | 2) { return x; }\n',
      }),
    ).toEqual([]);
  });
});

describe('names', () => {
  it.each([
    'engine/utils.ts',
    'log/recordUtils.ts',
    'runtime/base.ts',
    'runtime/TaskManager.ts',
    'sinks/duckdb-helper.ts',
    'a/common.test.ts',
  ])('refuses %s', (path) => {
    expect(rules(fileName(path))).toEqual(['1 file-name']);
  });
  it.each(['engine/record.ts', 'sinks/database.ts', 'engine/implicit.ts', 'test/real.ts', 'README.md'])('takes %s', (path) => {
    expect(fileName(path)).toEqual([]);
  });
  it('asks for a reason in the first line', () => {
    expect(rules(firstLine({ path: 'a.ts', text: "import x from 'y';\n// late\n" }))).toEqual(['1 first-line']);
    expect(rules(firstLine({ path: 'a.ts', text: '' }))).toEqual(['1 first-line']);
    expect(firstLine({ path: 'a.ts', text: '#!/usr/bin/env node\n// why\n' })).toEqual([]);
    expect(firstLine({ path: 'a.ts', text: '/** why */\n' })).toEqual([]);
  });
});

describe('places', () => {
  // The forbidden texts are put together here, so that this file stays clean.
  const slash = '/';
  it.each([
    ['docs/a.md', `run it in ${slash}work${slash}main`],
    ['test/a.test.ts', `const x = '${slash}root${slash}.npm';`],
    ['README.md', `cd ${slash}home${slash}anna${slash}millrace`],
    ['docs/a.md', `see ..${slash}shared${slash}design.md`],
    ['package-lock.json', `"resolved": "http:${slash}${slash}mirror.local/x.tgz"`],
  ])('finds in %s: %s', (path, line) => {
    expect(rules(places(path, `first\n${line}\n`))).toEqual(['2 places']);
  });
  it('lets tests look for material beside the repository, and the lock name the public registry', () => {
    expect(places('test/a.test.ts', `const beside = '..${slash}shared${slash}data';`)).toEqual([]);
    expect(places('package-lock.json', '"resolved": "https://registry.npmjs.org/x/-/x-1.0.0.tgz"')).toEqual([]);
  });
});

describe('dependencies', () => {
  const manifest = JSON.stringify(
    { name: 'millrace', dependencies: { rxjs: '1.0.0', tsx: '2.0.0' }, devDependencies: { zod: '3.0.0' } },
    null,
    2,
  );
  const found = (files: Readonly<Record<string, string>>) =>
    dependencies(tree(files).values(), manifest).map(({ path, message }) => `${path}: ${message}`);

  it('finds what a user would not have, what nobody installs, and what nothing uses', () => {
    const all = found({
      'runtime/a.ts': "import { z } from 'zod/mini';\nimport 'rxjs';\n",
      'test/a.ts': "import 'zod';\nimport 'pino';\n",
    });
    expect(all).toEqual([
      expect.stringMatching(/^runtime\/a\.ts: imports 'zod'/),
      expect.stringMatching(/^test\/a\.ts: imports 'pino'/),
      expect.stringMatching(/^package\.json: nothing uses 'tsx'/),
    ]);
  });
  it('takes relative imports, Node’s own, ourselves, and a package named in a string', () => {
    expect(
      found({
        'runtime/a.ts':
          "import './b.ts';\nimport 'node:fs';\nimport 'millrace';\nimport 'rxjs/operators';\nconst args = ['--import', 'tsx'];\n",
      }),
    ).toEqual([]);
  });
  it('holds docs/dependencies.md to package.json, both ways', () => {
    const page = '| package | version | why |\n|---|---|---|\n| `rxjs` | 1.0.0 | x |\n| `tsx` | 1.9.0 | x |\n| `gone` | 1.0.0 | x |\n';
    expect(dependencyDocs(manifest, page).map(({ line, message }) => `${line} ${message.slice(0, 6)}`)).toEqual([
      "4 'tsx' ",
      "1 'zod' ",
      "5 'gone'",
    ]);
    expect(dependencyDocs(manifest, '| `rxjs` | 1.0.0 | x |\n| `tsx` | 2.0.0 | x |\n| `zod` | 3.0.0 | x |\n')).toEqual([]);
  });
});

describe('start weight', () => {
  let folder: string | undefined;
  afterEach(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    folder = undefined;
  });
  /** Fixtures lie inside the repository, in an ignored folder, so that packages resolve. */
  const entry = (text: string): string => {
    folder = mkdtempSync(join(root, 'node_modules', '.millrace-tidy-'));
    writeFileSync(join(folder, 'other.ts'), 'export const other = 1;\n');
    writeFileSync(join(folder, 'entry.ts'), text);
    return join(folder, 'entry.ts');
  };

  it('finds native code and heavy packages, also behind require', () => {
    const found = startWeight(entry("import 'lmdb';\n"), root).map(({ message }) => message);
    expect(found.join('\n')).toMatch(/package lmdb/);
    expect(found.join('\n')).toMatch(/native code: .*\.node/);
    expect(
      startWeight(entry("import { createRequire } from 'node:module';\ncreateRequire(import.meta.url)('mqtt');\n"), root).join(),
    ).not.toBe('');
  });

  it('counts modules of ours and takes what is light', () => {
    const light = entry("import 'rxjs';\nexport * from './other.ts';\n");
    expect(startWeight(light, root)).toEqual([]);
    expect(loadedBy(light, root).packages).toContain('rxjs');
    expect(loadedBy(join(root, 'engine/stream.ts'), root).ours).toEqual(expect.arrayContaining(['engine/stream.ts', 'engine/errors.ts']));
    expect(rules(startWeight(join(root, 'engine/stream.ts'), root, 1))).toEqual(['1 start-weight']);
  });

  it('says so when the import fails', () => {
    expect(() => startWeight(entry("throw new Error('no such luck');\n"), root)).toThrow(/no such luck/);
  });
});

it('the command prints file:line rule — fix, and its exit code follows', () => {
  const { stdout, status, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'scripts/tidy.ts'], { cwd: root, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(stdout === '' ? 0 : 1);
  for (const line of stdout.split('\n').slice(0, -2)) expect(line).toMatch(/^\S+:\d+ [a-z-]+ — .+/);
});
