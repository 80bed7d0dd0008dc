// A step is a value; each task turns it into one RxJS operator.
import { Observable, type OperatorFunction, Subscriber } from 'rxjs';
import type { Rec } from './record.ts';
import type { KeyValueStore, TableView, Timers, TimersSpec, WindowStore, WindowStoreSpec } from './stores.ts';
import type { Codec } from './topic.ts';

/** A record of any type: what flows between steps once the compiler has checked them. */
export type AnyRec = Rec<any, any>;

/** A step: records of type A in, records of type B out, and named side outputs of type S. */
export interface Step<in A, out B, out S = {}> {
  /** Only for the compiler. */
  readonly '~in'?: (record: A) => void;
  /** Only for the compiler. */
  readonly '~out'?: () => B;
  /** Only for the compiler. */
  readonly '~sides'?: () => S;
  readonly spec: StepSpec;
}

/** What the engine needs of a step. */
export interface StepSpec {
  readonly kind: string;
  /** Kebab-case, given exactly when the step names something durable. */
  readonly id?: string;
  /** One line for people: `tumbling 5m, grace 30s: pm25 mean, readings count`. */
  readonly describe: string;
  /** What the stored state means beyond its cells: window kind and size, rule parameters that change a row's meaning. */
  readonly shape?: string;
  /** How far behind the step's clock its results may lie. Steps below see time that much later. Unit: ms. */
  readonly graceMs?: number;
  readonly sides?: readonly string[];
  /** Tables the step looks into; the task reads them to their end before its first record. */
  readonly tables?: readonly TableRef[];
  /** Set on `rekey` alone: the step cuts the pipeline here and goes on behind an internal topic. */
  readonly rekey?: (value: any, record: AnyRec) => unknown;
  /** Builds the operator for one task. Not called on a rekey. */
  build(context: StepContext): OperatorFunction<AnyRec, AnyRec>;
}

/** A table as a pipeline names it. */
export interface TableRef {
  readonly topic: { readonly name: string };
}

/** All a step may touch while it runs: its clock, its stores, its sides. */
export interface StepContext {
  readonly pipeline: string;
  /** The step's id, or a name made of its kind and place. */
  readonly stepId: string;
  /** The step's stream time: the segment's, minus the grace above this step. -Infinity before the first record. Unit: epoch ms. */
  readonly clock: { readonly streamTimeMs: number };
  /** True once something in the current record or due call failed: whatever comes is undone, so it need not be done. */
  readonly failed: boolean;
  /**
   * True while a record is only tried, before what is due ahead of it is called; all it does is undone and it will come again.
   * Only a step whose effect cannot be undone need look.
   */
  readonly trial: boolean;
  /** Hands an exception to the task: the whole record is undone and dead-lettered. */
  fail(error: unknown): void;
  keyValueStore<K, V>(name: string, codec?: Codec<V>): KeyValueStore<K, V>;
  windowStore<K>(spec: WindowStoreSpec<K>): WindowStore<K>;
  timers<K>(spec: TimersSpec<K>): Timers<K>;
  table<K, V>(ref: TableRef): TableView<K, V>;
  /** Where records for a named side output go. */
  side(name: string): (record: AnyRec) => void;
  /** Adds to a counter of this step, shown in /metrics. */
  count(counter: string, n?: number): void;
}

/** Makes a step of its spec. The type parameters are what the factory promises. */
export function step<A, B, S = {}>(spec: StepSpec): Step<A, B, S> {
  return Object.freeze({ spec: Object.freeze(spec) });
}

/**
 * An operator out of one function per record. Whatever the function throws goes to the task, never into RxJS,
 * where it would end the chain for good.
 */
export function perRecord(context: StepContext, next: (record: AnyRec, out: Subscriber<AnyRec>) => void): OperatorFunction<AnyRec, AnyRec> {
  return (source) => new Observable<AnyRec>((out) => source.subscribe(new PerRecord(out, context, next)));
}

/** A Subscriber of our own instead of an observer: RxJS would wrap an observer twice, and every record would pay for it. */
class PerRecord extends Subscriber<AnyRec> {
  readonly #context: StepContext;
  readonly #next: (record: AnyRec, out: Subscriber<AnyRec>) => void;
  readonly #out: Subscriber<AnyRec>;

  constructor(out: Subscriber<AnyRec>, context: StepContext, next: (record: AnyRec, out: Subscriber<AnyRec>) => void) {
    super(out);
    this.#out = out;
    this.#context = context;
    this.#next = next;
  }

  protected override _next(record: AnyRec): void {
    if (this.#context.failed) return;
    try {
      this.#next(record, this.#out);
    } catch (error) {
      this.#context.fail(error);
    }
  }
}
