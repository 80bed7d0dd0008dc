// Standard Schema, as far as a codec needs it: structural, so users bring zod, valibot, arktype or their own.

/** A schema of https://standardschema.dev, version 1. */
export interface StandardSchema<Out> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Out> | Promise<SchemaResult<Out>>;
    readonly types?: { readonly input: unknown; readonly output: Out } | undefined;
  };
}

/** What a validator answers: the value, or what is wrong with it. */
export type SchemaResult<Out> = { readonly value: Out; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong, and where. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** The type a schema gives. */
export type InferOutput<S> = S extends { readonly '~standard': { readonly types?: { readonly output: infer O } | undefined } } ? O : never;

/** Issues shown in a message; more would hide the first. */
const SHOWN_MAX = 5;

/** The issues in one line: `at 'pm25': expected number; at 'samples[3]': …`. */
export function describeIssues(issues: readonly SchemaIssue[]): string {
  const shown = issues
    .slice(0, SHOWN_MAX)
    .map(({ message, path = [] }) => (path.length === 0 ? message : `at '${pathText(path)}': ${message}`));
  return issues.length > SHOWN_MAX ? `${shown.join('; ')}; and ${issues.length - SHOWN_MAX} more` : shown.join('; ');
}

function pathText(path: readonly (PropertyKey | { readonly key: PropertyKey })[]): string {
  let text = '';
  for (const part of path) {
    const key = typeof part === 'object' ? part.key : part;
    text += typeof key === 'number' ? `[${key}]` : `${text === '' ? '' : '.'}${String(key)}`;
  }
  return text;
}
