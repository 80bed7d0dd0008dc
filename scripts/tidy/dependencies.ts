// What package.json asks a user to install is what the product uses, and docs/dependencies.md says why.
import { importsOf } from './imports.ts';
import { areaOf, type Finding, lineOf, type Source } from './source.ts';

/** Folders that a user of the package runs; tests, benches and scripts may use devDependencies. */
const PRODUCT = new Set([
  'index.ts',
  'engine',
  'operators',
  'codecs',
  'ingest',
  'sinks',
  'log',
  'runtime',
  'console',
  'testing',
  'pipelines',
]);

/** The parts of package.json that name packages. */
export interface Manifest {
  readonly name: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

const packageOf = (specifier: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;

/** The path's line that names a package, so that the finding can be clicked. */
function lineNaming(text: string, name: string): number {
  const at = text.indexOf(`"${name}"`);
  return at === -1 ? 1 : text.slice(0, at).split('\n').length;
}

/** Packages that are imported without being declared, or declared for users without being named anywhere. */
export function dependencies(sources: Iterable<Source>, manifestText: string): readonly Finding[] {
  const manifest = JSON.parse(manifestText) as Manifest;
  const declared = Object.keys(manifest.dependencies ?? {});
  const installed = [...declared, ...Object.keys(manifest.devDependencies ?? {})];
  const all = [...sources];
  const product = all.filter(({ path }) => PRODUCT.has(areaOf(path)));
  const found: Finding[] = [];
  for (const source of all)
    for (const { specifier, offset } of importsOf(source)) {
      const name = packageOf(specifier);
      const isProduct = PRODUCT.has(areaOf(source.path));
      if (/^(?:\.|node:)/.test(specifier) || name === manifest.name || (isProduct ? declared : installed).includes(name)) continue;
      const message = isProduct
        ? `imports '${name}', which a user would not have; add it to dependencies (and docs/dependencies.md) or do without`
        : `imports '${name}', which package.json does not name; add it to devDependencies (and docs/dependencies.md)`;
      found.push({ path: source.path, line: lineOf(source, offset), rule: 'dependencies', message });
    }
  for (const name of declared) {
    // A package may be named in a string alone: `--import tsx`.
    const quoted = new RegExp(`['"\`]${name}(?:/[^'"\`]*)?['"\`]`);
    if (!product.some(({ text }) => quoted.test(text)))
      found.push({
        path: 'package.json',
        line: lineNaming(manifestText, name),
        rule: 'dependencies',
        message: `nothing uses '${name}'; remove it`,
      });
  }
  return found;
}

/** Packages that docs/dependencies.md does not name with their version, or names though they are gone. */
export function dependencyDocs(manifestText: string, page: string): readonly Finding[] {
  const manifest = JSON.parse(manifestText) as Manifest;
  const declared = { ...manifest.dependencies, ...manifest.devDependencies };
  const rows = new Map<string, { version: string; line: number }>();
  page.split('\n').forEach((text, index) => {
    const [, name, version] = /^\| `([^`]+)` \| ([^ |]+) \|/.exec(text) ?? [];
    if (name !== undefined && version !== undefined) rows.set(name, { version, line: index + 1 });
  });
  const found: Finding[] = [];
  const add = (line: number, message: string): void =>
    void found.push({ path: 'docs/dependencies.md', line, rule: 'dependency-docs', message });
  for (const [name, version] of Object.entries(declared)) {
    const row = rows.get(name);
    if (row === undefined) add(1, `'${name}' is not in the table; say why it is there: | \`${name}\` | ${version} | …`);
    else if (row.version !== version) add(row.line, `'${name}' is installed as ${version}, the table says ${row.version}`);
  }
  for (const [name, { line }] of rows)
    if (declared[name] === undefined) add(line, `'${name}' is not a dependency any more; remove the row`);
  return found;
}
