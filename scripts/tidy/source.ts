// A file of the repository as the tidy rules see it: its text, its syntax tree, and where things are in it.
import { type Comment, type EcmaScriptModule, parseSync } from 'oxc-parser';

/** One thing a rule found: printed as `path:line rule — message`. */
export interface Finding {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  /** What is wrong and what to do instead. */
  readonly message: string;
}

/** A parsed TypeScript file. Offsets count UTF-16 units from the start of `text`. */
export interface Source {
  /** Relative to the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly program: ReturnType<typeof parseSync>['program'];
  readonly comments: readonly Comment[];
  readonly module: EcmaScriptModule;
  /** The first syntax error, if the file cannot be parsed. */
  readonly syntaxError: string | undefined;
}

/** Parses a file. A syntax error is kept, not thrown: the type check reports it better. */
export function parseSource(path: string, text: string): Source {
  const { program, comments, module, errors } = parseSync(path, text, { lang: 'ts', sourceType: 'module' });
  return { path, text, program, comments, module, syntaxError: errors[0]?.message };
}

/** The line an offset lies in, from 1. */
export function lineOf(source: Source, offset: number): number {
  let line = 1;
  for (let i = source.text.indexOf('\n'); i !== -1 && i < offset; i = source.text.indexOf('\n', i + 1)) line++;
  return line;
}

/** The folder a file belongs to: `engine`, `log`, …; a file of the root folder is its own area, e.g. `index.ts`. */
export function areaOf(path: string): string {
  const slash = path.indexOf('/');
  return slash === -1 ? path : path.slice(0, slash);
}
