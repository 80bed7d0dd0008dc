// What a pipeline file is written with: streams, tables and the graph they leave behind.
import { MillraceError } from './errors.ts';
import type { Rec } from './record.ts';
import type { Step, StepSpec } from './step.ts';
import type { Target, Topic } from './topic.ts';

/** A node of the pipeline's graph. Immutable; points at what feeds it. */
export type Node =
  | { readonly kind: 'source'; readonly topic: Topic<any, any> }
  | { readonly kind: 'step'; readonly from: Node; readonly spec: StepSpec }
  | { readonly kind: 'side'; readonly from: Node & { kind: 'step' }; readonly side: string }
  | { readonly kind: 'fork'; readonly from: Node; readonly ways: Readonly<Record<string, (value: any) => boolean>> }
  | { readonly kind: 'way'; readonly from: Node & { kind: 'fork' }; readonly way: string }
  | { readonly kind: 'merge'; readonly from: readonly Node[] };

/** A stream that goes to a target. A pipeline is a list of these. */
export interface Output {
  readonly kind: 'output';
  readonly from: Node;
  readonly target: Target<any, any>;
}

/** An unbounded sequence of keyed records. Four methods for ever; everything else is a step or a free function. */
export interface Stream<out K, out V, out S = {}> {
  /** Only for the compiler. */
  readonly '~types'?: () => Rec<K, V>;
  readonly node: Node;
  /** Runs the records through up to eight steps. The sides are those of the last one. */
  pipe<B1, S1>(a: Step<Rec<K, V>, B1, S1>): StreamOf<B1, S1>;
  pipe<B1, B2, S2>(a: Step<Rec<K, V>, B1, unknown>, b: Step<B1, B2, S2>): StreamOf<B2, S2>;
  pipe<B1, B2, B3, S3>(a: Step<Rec<K, V>, B1, unknown>, b: Step<B1, B2, unknown>, c: Step<B2, B3, S3>): StreamOf<B3, S3>;
  pipe<B1, B2, B3, B4, S4>(
    a: Step<Rec<K, V>, B1, unknown>,
    b: Step<B1, B2, unknown>,
    c: Step<B2, B3, unknown>,
    d: Step<B3, B4, S4>,
  ): StreamOf<B4, S4>;
  pipe<B1, B2, B3, B4, B5, S5>(
    a: Step<Rec<K, V>, B1, unknown>,
    b: Step<B1, B2, unknown>,
    c: Step<B2, B3, unknown>,
    d: Step<B3, B4, unknown>,
    e: Step<B4, B5, S5>,
  ): StreamOf<B5, S5>;
  pipe<B1, B2, B3, B4, B5, B6, S6>(
    a: Step<Rec<K, V>, B1, unknown>,
    b: Step<B1, B2, unknown>,
    c: Step<B2, B3, unknown>,
    d: Step<B3, B4, unknown>,
    e: Step<B4, B5, unknown>,
    f: Step<B5, B6, S6>,
  ): StreamOf<B6, S6>;
  pipe<B1, B2, B3, B4, B5, B6, B7, S7>(
    a: Step<Rec<K, V>, B1, unknown>,
    b: Step<B1, B2, unknown>,
    c: Step<B2, B3, unknown>,
    d: Step<B3, B4, unknown>,
    e: Step<B4, B5, unknown>,
    f: Step<B5, B6, unknown>,
    g: Step<B6, B7, S7>,
  ): StreamOf<B7, S7>;
  pipe<B1, B2, B3, B4, B5, B6, B7, B8, S8>(
    a: Step<Rec<K, V>, B1, unknown>,
    b: Step<B1, B2, unknown>,
    c: Step<B2, B3, unknown>,
    d: Step<B3, B4, unknown>,
    e: Step<B4, B5, unknown>,
    f: Step<B5, B6, unknown>,
    g: Step<B6, B7, unknown>,
    h: Step<B7, B8, S8>,
  ): StreamOf<B8, S8>;
  /** Splits by the first predicate that holds, in the order written; `rest` is what none took. */
  branch<N extends string>(ways: { readonly [Name in N]: (value: V) => boolean }): { readonly [Name in N | 'rest']: Stream<K, V> };
  /** A side output of the last step, e.g. `late`. */
  side<N extends keyof S>(name: N): S[N];
  /** Sends the records to a topic, a table or the alerts. */
  to(target: Target<K, V>): Output;
}

/** The stream of records of type R, with sides S. */
export type StreamOf<R, S> = R extends Rec<infer K, infer V> ? Stream<K, V, S> : never;

/** The latest value per key of a topic, co-partitioned with the stream that looks into it. */
export interface Table<out K, out V> {
  readonly kind: 'table';
  /** Only for the compiler. */
  readonly '~key'?: () => K;
  /** Only for the compiler. */
  readonly '~row'?: () => V;
  readonly topic: Topic<any, any>;
}

function streamAt(node: Node): Stream<any, any, any> {
  return Object.freeze({
    node,
    pipe: (...steps: readonly Step<any, any, any>[]) =>
      streamAt(steps.reduce<Node>((from, { spec }) => Object.freeze({ kind: 'step', from, spec }), node)),
    branch: (ways: Readonly<Record<string, (value: any) => boolean>>) => {
      if (Object.hasOwn(ways, 'rest'))
        throw new MillraceError('E_PIPELINE', "branch: 'rest' is what no other way took; give the way another name");
      const fork = Object.freeze({ kind: 'fork', from: node, ways } as const);
      return Object.fromEntries(
        [...Object.keys(ways), 'rest'].map((way) => [way, streamAt(Object.freeze({ kind: 'way', from: fork, way }))]),
      );
    },
    side: (name: PropertyKey) => {
      if (node.kind !== 'step' || !node.spec.sides?.includes(String(name)))
        throw new MillraceError(
          'E_PIPELINE',
          `side '${String(name)}': the last step has ${node.kind === 'step' && node.spec.sides ? node.spec.sides.map((s) => `'${s}'`).join(', ') : 'no side outputs'}`,
        );
      return streamAt(Object.freeze({ kind: 'side', from: node, side: String(name) }));
    },
    to: (target: Target<any, any>): Output => Object.freeze({ kind: 'output', from: node, target }),
  }) as Stream<any, any, any>;
}

/** Reads a topic as a stream: every record counts. */
export function stream<K, V>(topic: Topic<K, V>): Stream<K, V> {
  return streamAt(Object.freeze({ kind: 'source', topic }));
}

/** Reads a topic as a table: the latest value per key counts, null deletes. */
export function table<K, V>(topic: Topic<K, V>): Table<K, V> {
  return Object.freeze({ kind: 'table', topic });
}

/** One stream out of several of the same type. Order across them follows event time as far as the segment knows it. */
export function merge<K, V>(...streams: readonly Stream<K, V>[]): Stream<K, V> {
  if (streams.length === 0) throw new MillraceError('E_PIPELINE', 'merge: needs at least one stream');
  return streamAt(Object.freeze({ kind: 'merge', from: streams.map((s) => s.node) }));
}
