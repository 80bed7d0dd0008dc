// Whoever reads an export's type in an editor also reads what it is: every public export has a doc comment.
import { posix } from 'node:path';
import type { Finding, Source } from './source.ts';
import { areaOf, lineOf } from './source.ts';

/** Folders whose every export is documented; of the other folders, what the package's entry points re-export. */
const AREAS = ['engine', 'operators', 'codecs', 'testing'];
const ENTRY_POINTS = ['index.ts', 'testing/index.ts', 'runtime/index.ts'];

type Statement = Source['program']['body'][number];

/** An export as it is declared: where, and what comment stands before it. */
export interface Exported {
  readonly name: string;
  readonly source: Source;
  readonly offset: number;
  /** The text of the doc comment without its frame; undefined when there is none. */
  readonly doc: string | undefined;
}

/** The doc comment that ends right before `offset`, without its frame. */
function docBefore(source: Source, offset: number): string | undefined {
  for (let i = source.comments.length - 1; i >= 0; i--) {
    const comment = source.comments[i];
    if (comment === undefined || comment.end > offset) continue;
    if (comment.type !== 'Block' || !comment.value.startsWith('*') || source.text.slice(comment.end, offset).trim() !== '')
      return undefined;
    return comment.value
      .slice(1)
      .split('\n')
      .map((line) => line.replace(/^\s*\* ?/, '').trimEnd())
      .join('\n')
      .trim();
  }
  return undefined;
}

/** The names a declaration declares. */
function namesOf(declaration: Statement): readonly string[] {
  if (declaration.type === 'VariableDeclaration')
    return declaration.declarations.flatMap(({ id }) => (id.type === 'Identifier' ? [id.name] : []));
  if ('id' in declaration && declaration.id !== null && declaration.id.type === 'Identifier') return [declaration.id.name];
  return [];
}

/** Everything a file exports by a declaration of its own. Of overloads the first one counts. */
export function declaredExports(source: Source): ReadonlyMap<string, Exported> {
  const exported = new Map<string, Exported>();
  const locals = new Map<string, number>();
  const add = (name: string, offset: number): void => {
    if (!exported.has(name)) exported.set(name, { name, source, offset, doc: docBefore(source, offset) });
  };
  for (const statement of source.program.body) {
    for (const name of namesOf(statement)) if (!locals.has(name)) locals.set(name, statement.start);
    if (statement.type === 'ExportNamedDeclaration' && statement.declaration !== null)
      for (const name of namesOf(statement.declaration as Statement)) add(name, statement.start);
    if (statement.type === 'ExportDefaultDeclaration') add('default', statement.start);
  }
  for (const statement of source.program.body)
    if (statement.type === 'ExportNamedDeclaration' && statement.declaration === null && statement.source === null)
      for (const { local, exported: outside } of statement.specifiers)
        if (local.type === 'Identifier' && outside.type === 'Identifier') add(outside.name, locals.get(local.name) ?? statement.start);
  return exported;
}

/** What a file re-exports, followed to the declarations. `export *` is followed too. */
export function reExports(source: Source, sources: ReadonlyMap<string, Source>): readonly Exported[] {
  const found: Exported[] = [];
  for (const statement of source.program.body) {
    if ((statement.type !== 'ExportNamedDeclaration' && statement.type !== 'ExportAllDeclaration') || statement.source === null) continue;
    const target = sources.get(posix.join(posix.dirname(source.path), statement.source.value));
    if (target === undefined) continue;
    const declared = declaredExports(target);
    if (statement.type === 'ExportAllDeclaration') found.push(...declared.values(), ...reExports(target, sources));
    else
      for (const { local } of statement.specifiers) {
        const name = local.type === 'Identifier' ? local.name : '';
        const one = declared.get(name) ?? reExports(target, sources).find((other) => other.name === name);
        if (one !== undefined) found.push(one);
      }
  }
  return found;
}

/** Public exports without a doc comment. */
export function documented(sources: ReadonlyMap<string, Source>): readonly Finding[] {
  const owed = new Map<string, Exported>();
  const owe = (one: Exported): void => void owed.set(`${one.source.path}:${one.name}`, one);
  for (const source of sources.values()) {
    if (AREAS.includes(areaOf(source.path))) for (const one of declaredExports(source).values()) owe(one);
    if (ENTRY_POINTS.includes(source.path))
      for (const one of [...declaredExports(source).values(), ...reExports(source, sources)]) owe(one);
  }
  return [...owed.values()]
    .filter(({ doc }) => doc === undefined || doc === '')
    .map(({ name, source, offset }) => ({
      path: source.path,
      line: lineOf(source, offset),
      rule: 'documented',
      message: `export '${name}' has no doc comment; put /** … */ right before it, the first line saying what it is or emits`,
    }));
}
