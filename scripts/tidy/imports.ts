// Imports point one way: runtime, console → pipelines → operators, codecs, ingest, sinks, log → engine → rxjs.
import { posix } from 'node:path';
import { Visitor } from 'oxc-parser';
import { areaOf, type Finding, lineOf, type Source } from './source.ts';

/** What each folder may import of ours, besides itself. Folders that are not listed (test, bench, scripts) may import all. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  engine: [],
  operators: ['engine'],
  codecs: ['engine'],
  ingest: ['engine'],
  sinks: ['engine'],
  log: ['engine'],
  pipelines: [],
  'index.ts': ['engine', 'operators', 'codecs', 'ingest', 'sinks'],
  testing: ['index.ts', 'engine', 'operators', 'codecs', 'log'],
  runtime: ['index.ts', 'engine', 'operators', 'codecs', 'ingest', 'sinks', 'log', 'pipelines', 'console'],
  console: ['index.ts', 'engine', 'operators', 'codecs', 'ingest', 'sinks', 'log', 'pipelines'],
};

/** Packages that only their adapter, its tests and its scripts may name. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  kafkajs: ['log/kafka/', 'test/log/', 'scripts/kafka/'],
  lmdb: ['log/embedded/', 'test/log/'],
};

/** What the engine's one asynchronous file may take of Node. */
const WORKER = { path: 'engine/worker.ts', mayImport: ['node:timers/promises'] };

/** Folders whose packages are counted: the engine and what stands on it must stay light. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  engine: ['rxjs'],
  operators: ['rxjs'],
  pipelines: ['millrace', 'millrace/testing', 'zod'],
};

interface Import {
  readonly offset: number;
  readonly specifier: string;
}

/** Every module a file names: imports, re-exports, `import()` of a literal, and `import('x')` in types. */
export function importsOf({ program }: Source): readonly Import[] {
  const found: Import[] = [];
  const add = (node: { start: number }, from: { value?: unknown } | null | undefined): void => {
    if (typeof from?.value === 'string') found.push({ offset: node.start, specifier: from.value });
  };
  new Visitor({
    ImportDeclaration: (node) => add(node, node.source),
    ExportNamedDeclaration: (node) => add(node, node.source),
    ExportAllDeclaration: (node) => add(node, node.source),
    ImportExpression: (node) => add(node, node.source as { value?: unknown }),
    TSImportType: (node) => add(node, node.source),
  }).visit(program);
  return found;
}

/** Why `specifier` may not be imported by the file at `path`; undefined when it may. */
function objection(path: string, specifier: string): string | undefined {
  const area = areaOf(path);
  if (/^rxjs\/(?:internal|dist|src)\b/.test(specifier)) return 'rxjs/internal is not a public API; import from rxjs';
  for (const [name, homes] of Object.entries(HOMES))
    if ((specifier === name || specifier.startsWith(`${name}/`)) && !homes.some((home) => path.startsWith(home)))
      return `${name} is named only in ${homes[0]}; go through the log port of engine/ports.ts`;
  if (specifier.startsWith('.')) return relativeObjection(path, area, specifier);
  if (path === WORKER.path && WORKER.mayImport.includes(specifier)) return undefined;
  const allowed = PACKAGES[area];
  if (allowed !== undefined && !allowed.includes(specifier))
    return `${area}/ imports ${allowed.join(', ')} and no other package, not '${specifier}'; take it as an argument from runtime/`;
  return undefined;
}

function relativeObjection(path: string, area: string, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(path), specifier);
  if (!/\.(?:ts|json)$/.test(specifier)) return `relative imports end in .ts: write '${specifier.replace(/\.js$/, '')}.ts'`;
  const allowed = MAY_IMPORT[area];
  const targetArea = areaOf(target);
  if (allowed !== undefined && targetArea !== area && !allowed.includes(targetArea))
    return `${area} may not import ${targetArea}${allowed.length === 0 ? '' : `, only ${allowed.join(', ')}`}; pass the value in from runtime/, or move the shared part down to engine/`;
  const adapter = adapterOf(path);
  const targetAdapter = adapterOf(target);
  if (adapter !== undefined && targetAdapter !== undefined && adapter !== targetAdapter)
    return `log adapters do not import each other (${adapter} → ${targetAdapter}); move the shared part to log/`;
  return undefined;
}

/** The adapter's folder under log/, or the use case's under pipelines/. */
function adapterOf(path: string): string | undefined {
  const parts = path.split('/');
  return (parts[0] === 'log' || parts[0] === 'pipelines') && parts.length > 2 ? `${parts[0]}/${parts[1]}` : undefined;
}

/** Imports that point the wrong way, or at what only one adapter may know. */
export function imports(source: Source): readonly Finding[] {
  return importsOf(source).flatMap(({ offset, specifier }) => {
    const message = objection(source.path, specifier);
    return message === undefined ? [] : [{ path: source.path, line: lineOf(source, offset), rule: 'imports', message }];
  });
}
