// docs/operators.md out of the doc comments of what import 'millrace' gives.
import { type Exported, reExports } from '../tidy/documented.ts';
import type { Source } from '../tidy/source.ts';

/** A label of house style's doc comment (`Shape   Rec<K, V> → …`): what follows the prose, set as a block of its own. */
const FIELD = /^[A-Z][a-z]+\s{2,}\S/;

interface DocParts {
  readonly prose: string;
  readonly fields: string;
  readonly examples: readonly string[];
}

/** A doc comment in its parts: prose, fields, examples. */
export function docParts(doc: string): DocParts {
  const [body = '', ...examples] = doc.split(/^@example[ \t]*/m);
  const lines = body.split('\n');
  const first = lines.findIndex((line) => FIELD.test(line));
  const end = first === -1 ? lines.length : first;
  return {
    prose: lines.slice(0, end).join('\n').trim(),
    fields: lines.slice(end).join('\n').trim(),
    examples: examples.map(outdented),
  };
}

/** The text without the spaces that all its lines after the first share: the first one follows the `@example`. */
function outdented(text: string): string {
  const [first = '', ...rest] = text.trimEnd().split('\n');
  const indent = Math.min(...rest.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)));
  return [first.trim(), ...rest.map((line) => line.slice(Number.isFinite(indent) ? indent : 0))].join('\n').trim();
}

/** What a caller writes: the head of the declaration, without its body or value. */
function signatureOf({ source, offset, name }: Exported): string | undefined {
  for (const statement of source.program.body) {
    if (statement.start !== offset || statement.type !== 'ExportNamedDeclaration') continue;
    const { declaration } = statement;
    if (declaration?.type === 'FunctionDeclaration')
      return source.text.slice(declaration.start, declaration.body?.start ?? declaration.end).trim();
    if (declaration?.type === 'TSDeclareFunction') return source.text.slice(declaration.start, declaration.end).replace(/;$/, '').trim();
    if (declaration?.type === 'VariableDeclaration') {
      const one = declaration.declarations.find(({ id }) => id.type === 'Identifier' && id.name === name);
      if (one !== undefined) return `${declaration.kind} ${source.text.slice(one.id.start, one.id.end)}`;
    }
  }
  return undefined;
}

function section(exported: Exported): readonly string[] {
  const { prose, fields, examples } = docParts(exported.doc ?? '');
  const signature = signatureOf(exported);
  return [
    `## ${exported.name}`,
    '',
    prose,
    '',
    ...(signature === undefined ? [] : ['```ts', signature, '```', '']),
    ...(fields === '' ? [] : ['```text', fields, '```', '']),
    ...examples.flatMap((example) => ['Example:', '', '```text', example, '```', '']),
  ];
}

/** The parts of the page: heading, and what belongs there by the file it is declared in. The first that fits takes it. */
const GROUPS: readonly (readonly [heading: string, holds: (path: string) => boolean])[] = [
  ['Aggregators', (path) => path.startsWith('operators/aggregators/')],
  ['Windows', (path) => /^operators\/(?:tumbling|hopping|sliding|session|calendar)\.ts$/.test(path)],
  ['Steps', (path) => path.startsWith('operators/')],
  ['Topics, streams, pipelines', (path) => path.startsWith('engine/')],
  ['Codecs', (path) => path.startsWith('codecs/')],
  ['Sources and targets', (path) => path.startsWith('ingest/') || path.startsWith('sinks/')],
];
const ORDER = ['Steps', 'Windows', 'Aggregators', 'Topics, streams, pipelines', 'Codecs', 'Sources and targets'];

/** The whole page: every function of `import 'millrace'`, by group and alphabet. */
export function operatorsPage(sources: ReadonlyMap<string, Source>): string {
  const index = sources.get('index.ts');
  const exported = new Map((index === undefined ? [] : reExports(index, sources)).map((one) => [one.name, one]));
  const groups = new Map<string, Exported[]>(ORDER.map((heading) => [heading, []]));
  for (const one of exported.values()) {
    const group = GROUPS.find(([, holds]) => holds(one.source.path));
    if (group !== undefined && signatureOf(one) !== undefined) groups.get(group[0])?.push(one);
  }
  for (const group of groups.values()) group.sort((a, b) => (a.name < b.name ? -1 : 1));
  return [
    '# Operators',
    '',
    '<!-- Generated from the doc comments of the code by scripts/docs.ts. Do not edit: run `npm run docs`. -->',
    '',
    'Everything a pipeline file imports from `millrace`. A callback gets the value first and the record last.',
    'An id comes first exactly where something durable is named. `Stream` itself has four methods: `pipe`, `branch`, `side`, `to`.',
    'In the examples, `in d1 0s=20 9s=22` means: for key d1, the value 20 at second 0 and 22 at second 9.',
    '',
    ...[...groups]
      .filter(([, group]) => group.length > 0)
      .flatMap(([heading, group]) => [`${heading}: ${group.map(linkTo).join(' · ')}`, '']),
    ...[...groups].filter(([, group]) => group.length > 0).flatMap(([heading, group]) => [`# ${heading}`, '', ...group.flatMap(section)]),
  ].join('\n');
}

function linkTo({ name }: Exported): string {
  return `[${name}](#${name.toLowerCase()})`;
}
