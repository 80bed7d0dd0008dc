// What is not inferred, and the form that is. Compiled by types.test.ts, never run.
// biome-ignore-all format: a mistake and its comment belong on neighbouring lines
import { filter, json, map, type Rec, type Step, type Stream, stream, topic } from 'millrace';
import { z } from 'zod';

const s = stream(topic('a', json(z.object({ pm25: z.number(), zone: z.string() }))));

// A step made outside a pipe has no type to infer from.
// @ts-expect-error v is unknown
const loose = filter((v) => v.pm25 > 0);

// Annotating the callback narrows the stream: zone is lost downstream.
// @ts-expect-error zone is gone
s.pipe(filter((v: { pm25: number }) => v.pm25 > 0), map((v) => v.zone));

// The form that keeps the rest of the value: a generic factory with a constraint.
const plausible = <K, V extends { readonly pm25: number }>(): Step<Rec<K, V>, Rec<K, V>> => filter((v) => v.pm25 > 0);
s.pipe(
  plausible(),
  map((v) => v.zone),
);

// Composite steps are functions of a stream: no second notion of composition is needed.
const clean = <K, V extends { readonly pm25: number }>(from: Stream<K, V>) =>
  from.pipe(
    filter((v) => v.pm25 > 0),
    map((v) => ({ ...v, ok: true })),
  );
clean(s).pipe(filter((v) => v.ok && v.zone !== ''));
void loose;
