// json(schema): values as JSON text, checked by a schema both ways.
import { MillraceError, messageOf } from '../engine/errors.ts';
import type { Codec } from '../engine/topic.ts';
import { jsonDecoder } from './jsonText.ts';
import { describeIssues, type InferOutput, type SchemaResult, type StandardSchema } from './standardSchema.ts';

/** The first writes are all read back and checked, later one in so many: a schema does not change its mind. */
const CHECKED_FIRST = 64;
const CHECKED_EVERY = 1_024;

/**
 * A codec of JSON text whose values fit the schema: what is read is parsed, then validated; what is written is validated,
 * then turned into text. Any synchronous Standard Schema will do (zod, valibot, arktype, one's own).
 *
 * Errors  E_CONFIG (no Standard Schema) and E_SCHEMA_ASYNC when the file is read, or at the first value ·
 *         decode: E_DECODE with the position of the fault, E_SCHEMA with paths ·
 *         encode: E_SCHEMA, E_RESULT (not expressible as JSON), E_SCHEMA_ONE_WAY (what it writes it does not read back)
 * @example topic('city.air', json(z.object({ pm25: z.number() })))
 */
export function json<S extends StandardSchema<unknown>>(schema: S): Codec<InferOutput<S>> {
  const validate = validatorOf<InferOutput<S>>(schema);
  const decode = jsonDecoder();
  let writes = 0;
  return Object.freeze({
    contentType: 'application/json',
    decode: (bytes: Buffer, start: number, end: number) => validate(decode(bytes, start, end)),
    encode(value: InferOutput<S>) {
      const written = validate(value);
      const text = textOf(written);
      if (writes < CHECKED_FIRST || writes % CHECKED_EVERY === 0) checkReadsBack(validate, text);
      writes++;
      return Buffer.from(text, 'utf8');
    },
  });
}

function validatorOf<V>(schema: StandardSchema<unknown>): (value: unknown) => V {
  const standard = (schema as Partial<StandardSchema<unknown>> | null | undefined)?.['~standard'];
  if (typeof standard?.validate !== 'function')
    throw new MillraceError(
      'E_CONFIG',
      `json: expects a Standard Schema (zod, valibot, arktype…), got ${schema === null ? 'null' : typeof schema}`,
    );
  refuseAsync(standard.vendor, () => standard.validate(undefined));
  return (value) => {
    const result = answerOf(standard, value);
    if (result.issues !== undefined) throw new MillraceError('E_SCHEMA', describeIssues(result.issues));
    return result.value as V;
  };
}

/** A schema that is asynchronous by nature says so to any value; what it says to a particular one is met later. */
function refuseAsync(vendor: string, probe: () => unknown): void {
  let result: unknown;
  try {
    result = probe();
  } catch {
    return;
  }
  if (isPromise(result)) throw asynchronous(vendor, result);
}

function answerOf({ vendor, validate }: StandardSchema<unknown>['~standard'], value: unknown): SchemaResult<unknown> {
  let result: SchemaResult<unknown> | Promise<SchemaResult<unknown>>;
  try {
    result = validate(value);
  } catch (error) {
    throw new MillraceError('E_SCHEMA', `the schema threw: ${messageOf(error)}`, { cause: error });
  }
  if (isPromise(result)) throw asynchronous(vendor, result);
  return result;
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

function asynchronous(vendor: string, promise: Promise<unknown>): MillraceError {
  promise.then(undefined, () => undefined);
  return new MillraceError(
    'E_SCHEMA_ASYNC',
    `the ${vendor} schema validates asynchronously; leave out what waits, such as async refinements`,
  );
}

function textOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new MillraceError('E_RESULT', `JSON cannot express this value: ${messageOf(error)}`, { cause: error });
  }
  if (text === undefined) throw new MillraceError('E_RESULT', `JSON cannot express ${typeof value}`);
  // JSON.stringify writes null for NaN and the infinities without a word.
  if (text.includes('null')) refuseLostNumbers(value, '');
  return text;
}

function refuseLostNumbers(value: unknown, path: string): void {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new MillraceError(
      'E_RESULT',
      `JSON cannot express ${value}${path === '' ? '' : ` at '${path.slice(1)}'`}; leave the field out or write null`,
    );
  if (typeof value === 'object' && value !== null)
    for (const [name, inner] of Object.entries(value)) refuseLostNumbers(inner, `${path}.${name}`);
}

/** What was written must read back to the same text, or the next reader sees something else than was meant. */
function checkReadsBack(validate: (value: unknown) => unknown, text: string): void {
  let again: string | undefined;
  try {
    again = JSON.stringify(validate(JSON.parse(text)));
  } catch (error) {
    throw oneWay(messageOf(error), error);
  }
  if (again !== text) throw oneWay('it reads back as something else');
}

function oneWay(why: string, cause?: unknown): MillraceError {
  return new MillraceError(
    'E_SCHEMA_ONE_WAY',
    `the schema changes what it reads, so what it writes does not read back (${why}); write to a topic whose schema describes the written form`,
    { cause },
  );
}
