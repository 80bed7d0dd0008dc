// The codecs a pipeline file may name.
export { bytes } from './bytes.ts';
export { json } from './json.ts';
export { msgpack } from './msgpack.ts';
export type { InferOutput, SchemaIssue, SchemaResult, StandardSchema } from './standardSchema.ts';
